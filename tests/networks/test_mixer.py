"""The mixer: one matrix between all tokens, on one grid."""

import numpy as np
import pytest
from flax import nnx
from tiny_networks import CHANNELS, busy, call, filled, fresh, inputs, random

from wdno.networks.mixer import TokenMixing
from wdno.networks.patches import from_patches, to_patches


@pytest.mark.parametrize("grid", [(4,), (4, 6), (4, 6, 3)], ids=str)
def test_output_of_a_mixer_has_the_shape_and_dtype_of_its_input(grid):
    out = nnx.eval_shape(lambda: fresh("mixer", len(grid), depth=2)(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


def test_tokens_are_mixed_by_one_matrix_for_all_features():
    mixing = filled(lambda: TokenMixing(6, rngs=nnx.Rngs(0)))
    x, weight = random(2, 2, 3, 4), np.asarray(mixing.weight[...], float)
    wanted = np.einsum("bnf,nm->bmf", np.asarray(x, float).reshape(2, 6, 4), weight)
    np.testing.assert_allclose(call(mixing, x), wanted.reshape(x.shape), 1e-5, 1e-5)


def test_mixed_tokens_are_at_first_as_large_as_the_tokens():
    x = random(4, 20, 20, 3)
    mixed = call(TokenMixing(400, rngs=nnx.Rngs(0)), x)
    assert float(mixed.std() / x.std()) == pytest.approx(1, abs=0.1)


def test_mixer_knows_the_places_of_tokens_by_its_matrices_alone():
    """Tokens in another order come out in that order, if the matrices are in it too."""
    network = filled(lambda: fresh("mixer", depth=2))
    x, c_noise, cond = inputs(4, 6)
    out = call(network, x, c_noise, cond)
    order = np.array([2, 0, 3, 1])

    def shuffled(field):
        tokens = to_patches(field, (2, 3))
        moved = tokens.reshape(3, 4, -1)[:, order].reshape(tokens.shape)
        return from_patches(moved, (2, 3))

    for block in network.blocks:
        matrix = block.kernel.weight
        matrix[...] = matrix[...][order][:, order]
    came = call(network, shuffled(x), c_noise, shuffled(cond))
    np.testing.assert_allclose(came, shuffled(out), 1e-4, 1e-5)
    assert abs(call(network, x, c_noise, cond) - out).max() > 1e-3


def test_every_token_of_a_mixer_sees_every_other():
    network, (x, c_noise, cond) = busy("mixer"), inputs(4, 6, batch=1)
    out = call(network, x, c_noise, cond)
    for point in ((0, 0), (1, 4), (3, 2)):
        for change in (
            (x.at[0, *point].add(1.0), cond),
            (x, cond.at[0, *point].add(1.0)),
        ):
            gap = abs(call(network, change[0], c_noise, change[1]) - out)
            assert gap.min() > 1e-6


@pytest.mark.parametrize("grid", [(4, 12), (6, 4), (2, 6)])
def test_mixer_refuses_another_grid_than_its_own(grid):
    message = rf"made for, \(4, 6\), but got \({grid[0]}, {grid[1]}\)"
    with pytest.raises(ValueError, match=message):
        busy("mixer")(*inputs(*grid))
