"""The token transformer: positions that turn, gates that start at zero, windows."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import CONFIGS, call, filled, inputs, random, shape

from wdno.diffusion.denoiser import TokenBackbone
from wdno.networks import TokenTransformerConfig, build
from wdno.networks.attention import TokenAttention, Where, shared_window
from wdno.networks.positions import positions_of, rotated
from wdno.networks.token_transformer import forgotten

GRID, TOKENS = (7, 11), 16
"""Four by four patches of 2 x 3 points, the last ones cropped."""
AXES = ((0, 1), (1, 0))


def network(windows=(), depth=2):
    config = replace(CONFIGS["tokens"](2, depth), windows=windows)
    return filled(lambda: build(config, shape(), rngs=nnx.Rngs(0)))


def test_products_of_turned_features_depend_on_differences_of_positions():
    q, k = (np.asarray(random(1, 1, 1, 14, seed=n)) for n in (1, 2))
    compiled = jax.jit(rotated)

    def turned(h, position):
        return np.asarray(compiled(h, np.reshape(position, (1, 1, 3))))

    ahead = np.array([2, 1, 4])
    products = [
        np.sum(turned(q, base) * turned(k, base + ahead))
        for base in np.array([(0, 0, 0), (3, 5, 2)])
    ]
    np.testing.assert_allclose(*products, 1e-4)
    other = np.sum(turned(q, [0, 0, 0]) * turned(k, [2, 1, 5]))
    assert abs(other - products[0]) > 1e-3
    for position in ([4, 2, 9], [1, 0, 7]):
        length = np.linalg.norm(turned(q, position), axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(q, axis=-1), 1e-5)


def test_positions_are_counted_with_the_last_axis_fastest():
    places = jnp.array([[0, 3, 7, 23]])
    wanted = np.stack(np.unravel_index(np.asarray(places), (2, 3, 4)), axis=-1)
    np.testing.assert_array_equal(positions_of(places, (2, 3, 4)), wanted)


def test_blocks_start_as_the_identity_and_gates_open():
    config = CONFIGS["tokens"](2, 1)
    fresh = nnx.jit(lambda: build(config, shape(), rngs=nnx.Rngs(0)))()

    @nnx.jit
    def through(module, *arguments):
        h, where = module.enter(*arguments)
        return h, module.blocks[0](h, where)

    np.testing.assert_array_equal(*through(fresh, *inputs(4, 6)))
    before, after = map(np.asarray, through(network(depth=1), *inputs(4, 6)))
    assert abs(after - before).max() > 0.1


def test_noise_of_more_numbers_than_features_passes_by_the_tokens():
    """With factors of one and nothing else, what leaves is what came."""
    module, (x, c_noise, cond) = network(depth=1), inputs(*GRID)
    dense = module.head.dense
    dense.kernel[...] = jnp.zeros_like(dense.kernel[...])
    half = dense.bias.shape[0] // 2
    dense.bias[...] = jnp.repeat(jnp.array([0.0, 1.0], jnp.float32), half)
    np.testing.assert_array_equal(call(module, x, c_noise, cond), x)


@pytest.mark.parametrize(
    "windows", [(), pytest.param(AXES, marks=pytest.mark.slow), ((2, 3),)]
)
def test_all_tokens_in_any_order_are_the_full_evaluation(windows):
    """Also of windows, which hold other tokens in the two evaluations' arrays."""
    module, (x, c_noise, cond) = network(windows), inputs(*GRID)
    draw = np.random.default_rng(0)
    order = jnp.asarray(np.stack([draw.permutation(TOKENS) for _ in range(3)]))
    whole = call(module, x, c_noise, cond)
    np.testing.assert_allclose(call(module, x, c_noise, cond, order), whole, 1e-4, 1e-4)
    assert isinstance(module, TokenBackbone)


def test_attention_in_windows_is_attention_under_a_mask():
    """On a grid that windows do not divide, so that some are padded."""
    grid, window = (5, 4), (2, 3)
    attention = filled(lambda: TokenAttention(8, 2, window, rngs=nnx.Rngs(0)))
    h = random(2, 20, 8)

    @nnx.jit
    def attended(attention, h):
        positions = positions_of(jnp.arange(20)[None], grid)
        place = partial(Where, jnp.zeros((2, 8)), positions)
        other = attention(h.at[:, 0].add(1.0), place(grid))
        mask = shared_window(positions, positions, window)[0, 0]
        return [attention(h, place(g)) for g in (grid, None)] + [other, mask]

    windowed, masked, other, mask = map(np.asarray, attended(attention, h))
    np.testing.assert_allclose(windowed, masked, 1e-5, 1e-5)
    number = [(r // 2, c // 3) for r in range(5) for c in range(4)]
    wanted = [[one == other for other in number] for one in number]
    np.testing.assert_array_equal(mask, wanted)
    changed = abs(other - windowed).max(axis=(0, 2)) > 1e-6
    np.testing.assert_array_equal(changed, mask[0])


def test_one_axis_after_another_reaches_everything():
    """Each token of the grid hears of the first, by two blocks of one axis each."""
    module, (x, c_noise, cond) = network(AXES), inputs(8, 12, batch=1)
    other = np.array(x)
    other[:, 0, 0] += 5.0
    change = np.subtract(*(call(module, x, c_noise, cond) for x in (other, x)))
    assert abs(change).max(axis=-1).min() > 0


def test_remembered_keys_and_values_are_those_of_a_full_evaluation():
    """Of the same x: some tokens then see what all saw, within their windows."""
    module, (x, c_noise, cond) = network(AXES), inputs(*GRID)
    kept = jnp.array([[9, 2, 15], [0, 7, 8], [3, 4, 12]])

    @nnx.jit
    def remembered(module):
        empty = forgotten(module.config)(x)
        whole, memory = module.remembering(x, c_noise, cond, empty)
        return whole, module.remembering(x, c_noise, cond, memory, kept), memory

    whole, (some, after), memory = remembered(module)
    plain = call(module, x, c_noise, cond)
    np.testing.assert_allclose(whole, plain, 1e-4, 1e-4)
    np.testing.assert_allclose(after, memory, 1e-4, 1e-4)
    alone = call(module, x, c_noise, cond, kept)
    inside = np.asarray(alone).any(axis=-1)
    some, plain = np.asarray(some), np.asarray(plain)
    np.testing.assert_allclose(some[inside], plain[inside], 1e-4, 1e-4)
    np.testing.assert_array_equal(some[~inside], 0)
    assert abs(np.subtract(alone, plain))[inside].max() > 1e-2


def test_settings_are_checked():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        TokenTransformerConfig((1, 2), width=8, depth=1, heads=3)
    with pytest.raises(ValueError, match="'windows' is"):
        TokenTransformerConfig((1, 2), windows=((-1, 2),))
    config = TokenTransformerConfig((1, 2), windows=((1,),))
    with pytest.raises(ValueError, match="`windows` has one number per grid axis"):
        build(config, shape(), rngs=nnx.Rngs(0))
