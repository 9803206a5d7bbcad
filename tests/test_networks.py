"""Backbones on any grid: shapes, what they heed, what they must not mix."""

import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from wdno.networks import (
    NETWORKS,
    FourierConfig,
    InpaintingConfig,
    LocalConfig,
    TransformerConfig,
    UNet,
    UNetConfig,
    VideoUNet,
    VideoUNetConfig,
    attention,
    build,
    convolution,
)
from wdno.networks.convolution import Convolution
from wdno.networks.fourier import SpectralConvolution
from wdno.networks.layers import (
    Modulation,
    NoiseEmbedding,
    SelfAttention,
    crop,
    pad_to_multiple,
)
from wdno.networks.transformer import position_encoding
from wdno.networks.unet_blocks import (
    ResidualBlock,
    TimestepEmbedding,
    doubled,
    space_to_depth,
    unmodulated,
)
from wdno.networks.video_unet import on_frames, over_time

CHANNELS, CONDITION = 3, 2
SINGLE = np.dtype(np.float32)
KINDS = ["transformer", "fourier", "local"]
UNETS = ["unet", "video"]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_kind_and_unet = pytest.mark.parametrize("kind", KINDS + UNETS)


def config(kind, axes=2, depth=1):
    """A tiny network that still has every part."""
    if kind == "fourier":
        return FourierConfig((4, 6, 4)[:axes], width=8, depth=depth)
    if kind in UNETS:
        shape = UNetConfig if kind == "unet" else VideoUNetConfig
        return shape(8, (1, 2), groups=2, heads=2, head_width=4)
    if kind == "local":
        return LocalConfig((3, 5, 3)[:axes], width=8, depth=depth)
    return TransformerConfig((2, 3, 2)[:axes], width=8, depth=depth, heads=2)


def fresh(kind, axes=2, depth=1):
    shape = config(kind, axes, depth)
    return build(shape, axes, CHANNELS, CONDITION, rngs=nnx.Rngs(0))


def random(*shape, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return jnp.asarray(draw, jnp.float32)


def filled(make):
    """The module that `make` returns with random numbers in place of all parameters.

    None is at its initial zero, so that no branch is silent.
    """
    graph, parameters = nnx.split(nnx.eval_shape(make))
    leaves, structure = jax.tree.flatten(parameters)
    values = [random(*p.shape, seed=i, scale=0.4) for i, p in enumerate(leaves)]
    return nnx.merge(graph, jax.tree.unflatten(structure, values))


@cache
def busy(kind):
    """A network for two axes, or for three of a video, with all branches active."""
    return filled(lambda: fresh(kind, len(small(kind))))


def small(kind):
    """A grid for it."""
    return (3, 4, 2) if kind == "video" else (4, 6)


@nnx.jit
def call(module, *inputs):
    return module(*inputs)


def inputs(*grid, batch=3, seed=0):
    """Random coefficients, noise levels from 0.002 to 80 and a random condition."""
    c_noise = jnp.log(jnp.geomspace(0.002, 80.0, batch, dtype=jnp.float32)) / 4
    x = random(batch, *grid, CHANNELS, seed=(seed, 0))
    return x, c_noise, random(batch, *grid, CONDITION, seed=(seed, 1))


# --- grids ----------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(
    "grid",
    [(12,), (13,), (1,), (8, 12), (7, 9), (1, 5), (4, 6, 8), (5, 3, 7)],
    ids=str,
)
def test_output_has_the_shape_and_dtype_of_the_input(kind, grid):
    """Traced only, so that nothing needs to be compiled."""
    out = nnx.eval_shape(lambda: fresh(kind, len(grid), depth=2)(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


@each_kind
def test_same_parameters_run_on_another_grid(kind):
    for grid in ((4, 6), (5, 9)):
        out = call(busy(kind), *inputs(*grid))
        assert out.shape == (3, *grid, CHANNELS)
        assert bool(jnp.all(jnp.isfinite(out))) and float(out.std()) > 1e-3


def test_transformer_tells_positions_apart():
    x, c_noise, cond = (jnp.ones_like(a) for a in inputs(8, 12, batch=1))
    out = call(busy("transformer"), x, c_noise, cond)
    patches = out.reshape(4, 2, 4, 3, CHANNELS).transpose(0, 2, 1, 3, 4).reshape(16, -1)
    gaps = abs(patches[:, None] - patches[None]).max(axis=-1)
    assert float((gaps + jnp.eye(16, dtype=gaps.dtype)).min()) > 1e-4


def convolve(x, weight):
    """Multiply low frequencies of the zero-padded grid, all by NumPy's FFT."""
    axes = tuple(range(1, x.ndim - 1))
    doubled = [2 * n for n in x.shape[1:-1]]
    spectrum = np.fft.rfftn(x, doubled, axes=axes)
    kept = np.zeros_like(spectrum)
    signed = [range(-(m // 2), m // 2) for m in weight.shape[1:-3]]
    for k in itertools.product(*signed, range(weight.shape[-3])):
        matrix = weight[0][k] + 1j * weight[1][k]
        kept[:, *k] = spectrum[:, *k] @ matrix
    smooth = np.fft.irfftn(kept, doubled, axes=axes)
    return smooth[:, *(slice(n) for n in x.shape[1:-1])]


@pytest.mark.parametrize(
    "grid, modes",
    [((9,), (5,)), ((4,), (5,)), ((4, 6), (4, 5)), ((3, 4, 5), (2, 4, 6))],
    ids=str,
)
def test_spectral_convolution_is_that_of_the_fourier_transform(grid, modes):
    layer = SpectralConvolution(modes, 3, rngs=nnx.Rngs(0))
    layer.weight[...] = random(2, *modes, 3, 3, seed=1)
    x = random(2, *grid, 3, seed=2)
    expected = convolve(np.asarray(x, float), np.asarray(layer.weight[...], float))
    np.testing.assert_allclose(call(layer, x), expected, atol=1e-5)


def test_spectral_convolution_leaves_out_what_a_coarse_grid_lacks():
    """Of 10 × 9 modes, a grid of 2 × 3 points has 4 × 4."""
    layer = SpectralConvolution((10, 9), 2, rngs=nnx.Rngs(0))
    small = SpectralConvolution((4, 4), 2, rngs=nnx.Rngs(0))
    rows = np.array([0, 1, -2, -1])
    small.weight[...] = layer.weight[...][:, rows, :4]
    x = random(3, 2, 3, 2)
    np.testing.assert_allclose(call(layer, x), call(small, x), atol=1e-6)


def test_spectral_convolution_commutes_with_shifts_away_from_the_ends():
    """All frequencies of the doubled grid: an exact, linear convolution."""
    layer = SpectralConvolution((17,), 1, rngs=nnx.Rngs(0))
    pulse = jnp.eye(16, dtype=jnp.float32)[jnp.array([3, 5])][..., None]
    first, second = np.asarray(call(layer, pulse))[..., 0]
    np.testing.assert_allclose(first[:-2], second[2:], atol=1e-6)
    assert abs(first).max() > 0.01


def test_local_operator_sees_its_neighbourhood_only():
    """Two blocks of reach 3 × 5: 2 points away in time, 4 in space, no further."""
    network = filled(lambda: fresh("local", depth=2))
    x, c_noise, cond = inputs(9, 17, batch=1)
    change = call(network, x.at[0, 4, 8].add(1.0), c_noise, cond)
    reached = abs(change - call(network, x, c_noise, cond)).max(axis=(0, 3)) > 1e-6
    assert reached[2:7, 4:13].all() and reached.sum() == 5 * 9


def test_local_operator_is_the_same_everywhere_and_on_every_grid():
    network = filled(lambda: fresh("local", depth=2))
    x, c_noise, cond = inputs(12, 24)
    whole = call(network, x, c_noise, cond)
    part = call(network, x[:, 3:, 5:21], c_noise, cond[:, 3:, 5:21])
    np.testing.assert_allclose(part[:, 2:-2, 4:-4], whole[:, 5:-2, 9:17], 1e-4, 1e-4)


# --- what the output depends on -------------------------------------------------------


@each_kind
def test_untrained_head_gives_zero_whatever_it_sees(kind):
    network = filled(lambda: fresh(kind))
    network.head = nnx.jit(lambda: fresh(kind).head)()
    np.testing.assert_array_equal(call(network, *inputs(4, 6)), 0.0)


@each_kind_and_unet
def test_every_input_matters(kind):
    x, c_noise, cond = inputs(*small(kind))
    out = call(busy(kind), x, c_noise, cond)
    changed = [(x, c_noise + 0.1, cond)]
    changed += [(x.at[..., i].add(1.0), c_noise, cond) for i in range(CHANNELS)]
    changed += [(x, c_noise, cond.at[..., i].add(1.0)) for i in range(CONDITION)]
    for other in changed:
        rows = abs(call(busy(kind), *other) - out).max(axis=range(1, x.ndim))
        assert float(rows.min()) > 1e-3


@each_kind_and_unet
def test_rows_of_a_batch_are_independent(kind):
    arguments = inputs(*small(kind))
    together = call(busy(kind), *arguments)
    for i in range(3):
        alone = call(busy(kind), *(a[i : i + 1] for a in arguments))
        np.testing.assert_allclose(together[i : i + 1], alone, 1e-4, 1e-5)


@each_kind_and_unet
def test_gradient_is_finite_and_reaches_every_parameter(kind):
    wish = random(3, *small(kind), CHANNELS, seed=9)
    slope = nnx.jit(nnx.grad(lambda n, *inputs: jnp.vdot(wish, n(*inputs))))
    slopes = slope(busy(kind), *inputs(*small(kind)))
    for path, leaf in jax.tree.leaves_with_path(slopes):
        gradient = np.asarray(leaf)
        assert np.isfinite(gradient).all(), path
        assert abs(gradient).max() > 1e-6, f"{path} has no effect"


# --- construction ---------------------------------------------------------------------


@each_kind_and_unet
def test_the_configuration_chooses_the_network(kind):
    network = nnx.eval_shape(lambda: fresh(kind, len(small(kind))))
    assert type(network) is NETWORKS[type(config(kind))]
    assert network.config == config(kind)


@pytest.mark.parametrize(("patch", "axes"), [((2,), 2), ((2, 4), 1), ((2, 4), 3)])
def test_transformer_refuses_a_patch_of_other_dimension(patch, axes):
    shape = TransformerConfig(patch=patch, width=8, depth=1, heads=2)
    message = rf"one extent per grid axis, {axes} here.*Give {axes} numbers"
    with pytest.raises(ValueError, match=message):
        build(shape, axes, CHANNELS, CONDITION, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("reach", [(3,), (3, 3, 3), (3, 4)])
def test_local_operator_refuses_a_reach_without_a_centre(reach):
    with pytest.raises(ValueError, match=r"odd number.*2 here.*Give 2 odd numbers"):
        build(LocalConfig(reach), 2, CHANNELS, CONDITION, rngs=nnx.Rngs(0))


# --- layers ---------------------------------------------------------------------------


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


def test_noise_embedding_tells_neighbouring_levels_apart():
    embedding = filled(lambda: NoiseEmbedding(8, rngs=nnx.Rngs(0)))
    c_noise = jnp.log(jnp.geomspace(0.002, 80.0, 100, dtype=jnp.float32)) / 4
    vectors = np.asarray(call(embedding, c_noise))
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    assert vectors.shape == (100, 8)
    assert (gaps + np.eye(100)).min() > 1e-3


def test_modulation_starts_as_the_identity_and_acts_alike_at_every_point():
    make = lambda: Modulation(5, 3, rngs=nnx.Rngs(0))  # noqa: E731
    x, embedding = random(2, 4, 6, 3), random(2, 5, seed=1)
    np.testing.assert_array_equal(call(make(), x, embedding), x)
    came = np.asarray(call(filled(make), x, embedding))
    for row, channel in np.ndindex(2, 3):
        before, after = (
            np.asarray(x)[row, ..., channel].ravel(),
            came[row, ..., channel].ravel(),
        )
        line = np.polyfit(before, after, 1)
        np.testing.assert_allclose(np.polyval(line, before), after, 0, 1e-5)
        assert abs(line[0] - 1) > 1e-3 and abs(line[1]) > 1e-3


def test_self_attention_does_not_know_positions():
    make = lambda: SelfAttention(8, heads=2, rngs=nnx.Rngs(0))  # noqa: E731
    x, attention = np.asarray(random(2, 3, 4, 8)), filled(make)
    np.testing.assert_array_equal(call(make(), x), x)  # starts as the identity
    came = np.asarray(call(attention, x))
    assert abs(came - x).max() > 1e-2
    order = np.random.default_rng(0).permutation(12)
    shuffled = x.reshape(2, 12, 8)[:, order].reshape(x.shape)
    wanted = came.reshape(2, 12, 8)[:, order].reshape(x.shape)
    np.testing.assert_allclose(call(attention, shuffled), wanted, 0, 1e-5)


def test_padding_goes_to_the_end_and_is_cut_off_again():
    x = random(2, 5, 6, 3)
    padded = pad_to_multiple(x, (4, 3))
    assert padded.shape == (2, 8, 6, 3)
    np.testing.assert_array_equal(padded[:, 5:], 0.0)
    np.testing.assert_array_equal(crop(padded, (5, 6)), x)
