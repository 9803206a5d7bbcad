"""The transformer: positions, and the evaluation of some patches alone."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_networks import CHANNELS, busy, call, inputs

from wdno.diffusion.denoiser import Backbone, Denoiser, TokenBackbone, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.networks.positions import position_encoding

SINGLE = np.dtype(np.float32)


def test_transformer_tells_positions_apart():
    alike = [np.ones_like(a) for a in inputs(8, 12, batch=1)]
    out = np.asarray(call(busy("tokens"), *alike))
    patches = out.reshape(4, 2, 4, 3, CHANNELS).transpose(0, 2, 1, 3, 4).reshape(16, -1)
    gaps = abs(patches[:, None] - patches[None]).max(axis=-1)
    assert (gaps + np.eye(16)).min() > 1e-4


@pytest.mark.parametrize("grid", [(900,), (30, 40), (9, 10, 11)])
@pytest.mark.parametrize("width", [12, 25])
def test_position_encoding_is_distinct_at_every_position(grid, width):
    code = np.asarray(position_encoding((*grid, width), SINGLE))
    assert code.shape == (*grid, width) and abs(code).max() <= 1
    tokens = np.round(code.reshape(math.prod(grid), width), 4)
    assert len(np.unique(tokens, axis=0)) == len(tokens)


def test_position_encoding_of_a_larger_grid_continues_that_of_a_smaller():
    small = position_encoding((3, 4, 12), SINGLE)
    large = position_encoding((6, 9, 12), SINGLE)
    np.testing.assert_array_equal(large[:3, :4], small)


def test_position_encoding_gives_each_axis_its_share():
    """Sines, then cosines of the first axis, then of the second; wavelengths 4 on."""
    code = np.asarray(position_encoding((5, 7, 8), SINGLE))
    quarter = np.pi / 2
    time, x = quarter * np.arange(5), quarter * np.arange(7)
    for channel, wanted in ((0, np.sin(time)), (2, np.cos(time))):
        wanted = np.broadcast_to(wanted[:, None], (5, 7))
        np.testing.assert_allclose(code[..., channel], wanted, 0, 1e-5)
    for channel, wanted in ((4, np.sin(x)), (6, np.cos(x))):
        wanted = np.broadcast_to(wanted, (5, 7))
        np.testing.assert_allclose(code[..., channel], wanted, 0, 1e-5)


# --- some patches alone ---------------------------------------------------------------

GRID, TOKENS = (7, 11), 16
"""Four by four patches of 2 × 3 points, the last ones cropped."""
KEPT = jnp.array([[9, 2, 15], [0, 7, 8], [3, 4, 12]])


def tokenwise():
    return busy("tokens")


def of_points(places):
    """Where the patches at these places of each row lie."""
    where = np.zeros((len(places), TOKENS), bool)
    np.put_along_axis(where, np.asarray(places), True, axis=1)
    return where.reshape(-1, 4, 4).repeat(2, axis=1).repeat(3, axis=2)[:, :7, :11]


def test_a_transformer_is_a_token_backbone_and_others_are_not():
    network = busy("tokens")
    assert isinstance(network, TokenBackbone) and isinstance(network, Backbone)
    assert not isinstance(busy("fourier"), TokenBackbone)
    assert network.patch == (2, 3)
    assert network.token_grid(GRID) == (4, 4)
    assert network.token_grid((2, 4)) == (1, 2)


def test_tokens_of_a_corner_are_the_full_evaluation_of_the_corner():
    """Of an input that consists of these patches, at the same positions."""
    network, (x, c_noise, cond) = tokenwise(), inputs(*GRID)
    corner = np.tile([0, 1, 4, 5], (3, 1))
    came = np.asarray(call(network, x, c_noise, cond, corner))
    few = [np.asarray(a)[:, :4, :6] for a in (x, cond)]
    alone = call(network, few[0], c_noise, few[1])
    np.testing.assert_allclose(came[:, :4, :6], alone, 1e-5, 1e-5)
    assert not came[:, 4:].any() and not came[:, :, 6:].any()


def test_kept_tokens_do_not_see_the_others(monkeypatch):
    """A full evaluation in which attention to the others is masked says the same."""
    network, arguments = busy("tokens", depth=2), inputs(*GRID)
    came = np.asarray(call(network, *arguments, KEPT))
    seen = np.zeros((3, TOKENS), bool)
    np.put_along_axis(seen, np.asarray(KEPT), True, axis=1)
    mask = jnp.asarray(seen)[:, None, None]
    attend = jax.nn.dot_product_attention

    def to_kept(q, k, v, **_):
        return attend(q, k, v, mask=mask)

    monkeypatch.setattr(jax.nn, "dot_product_attention", to_kept)
    masked = np.asarray(jax.jit(lambda *a: network(*a))(*arguments))
    inside = of_points(KEPT)
    np.testing.assert_allclose(came[inside], masked[inside], 1e-5, 1e-5)
    np.testing.assert_array_equal(came[~inside], 0)


def test_a_kept_token_knows_its_own_position():
    network = tokenwise()
    alike = [np.ones_like(a) for a in inputs(*GRID)]
    first, other = (
        np.asarray(call(network, *alike, places))[of_points(places)]
        for places in (np.full((3, 1), 0), np.full((3, 1), 6))
    )
    assert abs(first - other).max() > 1e-3


def test_a_place_beyond_the_grid_makes_its_row_nan():
    network, arguments = tokenwise(), inputs(*GRID)
    beyond = np.array(KEPT)
    beyond[1, 0] = TOKENS
    out = np.asarray(call(network, *arguments, beyond))
    assert np.isnan(out[1][of_points(KEPT[:, 1:])[1]]).all()
    assert np.isfinite(out[::2]).all()


def test_rows_of_tokens_are_mapped_and_differentiated():
    network, (x, c_noise, cond) = tokenwise(), inputs(*GRID)
    together = call(network, x, c_noise, cond, KEPT)
    single = lambda *row: network(*(a[None] for a in row))[0]  # noqa: E731
    apart = jax.jit(jax.vmap(single))(x, c_noise, cond, KEPT)
    np.testing.assert_allclose(apart, together, 1e-5, 1e-5)
    energy = lambda x: jnp.square(network(x, c_noise, cond, KEPT)).sum()  # noqa: E731
    slope = np.asarray(jax.jit(jax.grad(energy))(x))
    inside = of_points(KEPT)
    np.testing.assert_array_equal(slope[~inside], 0)
    assert abs(slope[inside]).min() > 0


def test_a_denoiser_takes_a_backbone_of_some_patches():
    """That of all patches gives all; that of some c_skip x in the others."""
    (x, _, cond), sigma = inputs(*GRID), np.array([0.1, 1.0, 10.0], np.float32)
    sigma = jax.device_put(sigma)
    denoiser = Denoiser(freeze(tokenwise()), EDMPreconditioning())

    @jax.jit
    def denoised(denoiser, tokens):
        some = replace(denoiser, backbone=lambda *a: denoiser.backbone(*a, tokens))
        return some(x, sigma, cond)

    every = np.tile(np.arange(TOKENS), (3, 1))
    whole = jax.jit(lambda denoiser: denoiser(x, sigma, cond))(denoiser)
    np.testing.assert_allclose(denoised(denoiser, every), whole, 1e-5, 1e-5)
    some, inside = np.asarray(denoised(denoiser, KEPT)), of_points(KEPT)
    c_skip = np.asarray(denoiser.preconditioning(sigma)[0])[:, None, None, None]
    left = c_skip * np.asarray(x)
    np.testing.assert_allclose(some[~inside], left[~inside], 1e-6)
    assert abs(some - left)[inside].max() > 0.1
