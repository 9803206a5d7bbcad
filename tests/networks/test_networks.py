"""Backbones on any grid: shapes, what they heed, what they must not mix."""

import dataclasses
import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage, special

from wdno.networks import (
    NETWORKS,
    FourierConfig,
    LocalConfig,
    MixerConfig,
    MultiplierConfig,
    TransformerConfig,
    build,
)
from wdno.networks.attention import (
    Attention,
    RelativePositionBias,
    distance_classes,
    full,
    linear,
    ordered,
    rotated,
)
from wdno.networks.convolution import Convolution
from wdno.networks.convolution import convolve as convolved
from wdno.networks.fourier import SpectralConvolution
from wdno.networks.layers import (
    Modulation,
    NoiseEmbedding,
    SelfAttention,
    crop,
    pad_to_multiple,
)
from wdno.networks.mixer import TokenMixing
from wdno.networks.multiplier import RingConvolution
from wdno.networks.patches import from_patches, to_patches
from wdno.networks.transformer import position_encoding
from wdno.official import unet_blocks
from wdno.official.inpainting import InpaintingConfig
from wdno.official.unet import UNet
from wdno.official.unet_blocks import (
    ResidualBlock,
    TimestepEmbedding,
    UNetConfig,
    space_to_depth,
    unmodulated,
)
from wdno.official.video_unet import VideoUNet, VideoUNetConfig, on_frames, over_time

CHANNELS, CONDITION = 3, 2
SINGLE = np.dtype(np.float32)
KINDS = ["transformer", "fourier", "local"]
UNETS = {"unet": (8, 10), "video": (2, 8, 10)}
"""U-Nets, and a grid for each."""
each_kind = pytest.mark.parametrize("kind", KINDS)
on_one_grid = pytest.mark.parametrize("kind", [*KINDS, "mixer"])
"""For tests on 4 × 6 points, the one grid of the tiny mixer."""
each_unet = pytest.mark.parametrize("kind", UNETS)


def config(kind, axes=2, depth=1):
    """A tiny network that still has every part."""
    if kind == "fourier":
        return FourierConfig((4, 6, 4)[:axes], width=8, depth=depth)
    if kind == "local":
        return LocalConfig((3, 5, 3)[:axes], width=8, depth=depth)
    if kind == "mixer":
        patch, tokens = (2, 3, 1)[:axes], (2, 2, 3)[:axes]
        return MixerConfig(patch, tokens, width=8, depth=depth)
    if kind in UNETS:
        shape = UNetConfig if kind == "unet" else VideoUNetConfig
        return shape(8, (1, 2), groups=2, heads=2, head_width=4)
    return TransformerConfig((2, 3, 2)[:axes], width=8, depth=depth, heads=2)


def fresh(kind, axes=2, depth=1):
    shape = config(kind, axes, depth)
    return build(shape, axes, CHANNELS, CONDITION, rngs=nnx.Rngs(0))


def random(*shape, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return jnp.asarray(draw, jnp.float32)


def filled(make, scale=0.4):
    """The module that `make` returns with random numbers in place of all parameters.

    None is at its initial zero, so that no branch is silent.
    """
    graph, parameters = nnx.split(nnx.eval_shape(make))
    leaves, structure = jax.tree.flatten(parameters)
    values = [random(*p.shape, seed=i, scale=scale) for i, p in enumerate(leaves)]
    return nnx.merge(graph, jax.tree.unflatten(structure, values))


@cache
def busy(kind):
    """A network for two axes with all branches active."""
    return filled(lambda: fresh(kind))


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


@pytest.mark.parametrize("grid", [(4,), (4, 6), (4, 6, 3)], ids=str)
def test_output_of_a_mixer_has_the_shape_and_dtype_of_its_input(grid):
    out = nnx.eval_shape(lambda: fresh("mixer", len(grid), depth=2)(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


def test_patches_are_blocks_of_points_with_their_channels_beside():
    x = np.asarray(random(2, 4, 6, 3, 5))
    patch = (2, 3, 1)
    came = to_patches(jnp.asarray(x), patch)
    assert came.shape == (2, 2, 2, 3, 2 * 3 * 1 * 5)
    for token in np.ndindex(2, 2, 3):
        lows = [n * size for n, size in zip(token, patch, strict=True)]
        block = [slice(low, low + p) for low, p in zip(lows, patch, strict=True)]
        wanted = x[:, *block].reshape(2, -1)
        np.testing.assert_array_equal(came[:, *token], wanted)


@pytest.mark.parametrize(
    ("grid", "patch"),
    [
        ((6,), (3,)),
        ((4, 6), (4, 1)),
        ((4, 6, 3), (2, 3, 3)),
        ((2, 4, 2, 6), (1, 2, 2, 3)),
    ],
    ids=str,
)
def test_patches_are_put_back_where_they_were(grid, patch):
    x = random(2, *grid, 5)
    np.testing.assert_array_equal(from_patches(to_patches(x, patch), patch), x)


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


# --- what the output depends on -------------------------------------------------------


# multipliers on a ring

RING = MultiplierConfig(instants=4, numbers=1, frequencies=8, modes=5, width=6, depth=2)


def ring(config=RING):
    return filled(lambda: build(config, 2, CHANNELS, CONDITION + 1, rngs=nnx.Rngs(0)))


def on_ring(points=8, seed=0, number=0.7):
    cond = random(2, 4, points, CONDITION + 1, seed=seed + 1)
    x, cond = random(2, 4, points, CHANNELS, seed=seed), cond.at[..., -1].set(number)
    return x, jnp.array([0.3, -1.0], jnp.float32), cond


def test_ring_convolution_is_that_of_the_fourier_transform():
    layer = filled(lambda: RingConvolution(5, 3, rngs=nnx.Rngs(0)))
    x = random(2, 8, 3)
    real, imaginary = np.asarray(layer.weight[...])
    matrix = real + 1j * imaginary
    waves = np.einsum("bki,kij->bkj", np.fft.rfft(np.asarray(x, float), axis=1), matrix)
    expected = np.fft.irfft(waves, 8, axis=1)
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)
    few = filled(lambda: RingConvolution(2, 3, rngs=nnx.Rngs(0)))
    spectrum = np.fft.rfft(few(x), axis=1)
    assert np.abs(spectrum[:, 2:]).max() < 1e-4 < np.abs(spectrum[:, :2]).max()


def test_multipliers_commute_with_turns_of_the_ring():
    network, (x, c_noise, cond) = ring(), on_ring()
    turned = network(jnp.roll(x, 3, 2), c_noise, jnp.roll(cond, 3, 2))
    straight = network(x, c_noise, cond)
    np.testing.assert_allclose(turned, jnp.roll(straight, 3, 2), rtol=1e-3, atol=1e-3)


def test_multipliers_are_affine_in_the_fields_but_not_in_numbers():
    network, (x, c_noise, cond) = ring(), on_ring()
    other, _, beside = on_ring(seed=7)
    both = network(x + other, c_noise, (cond + beside).at[..., -1].set(0.7))
    apart = network(x, c_noise, cond) + network(other, c_noise, beside)
    apart -= network(0 * x, c_noise, (0 * cond).at[..., -1].set(0.7))
    scale = float(jnp.abs(apart).max())
    np.testing.assert_allclose(both, apart, atol=1e-4 * scale)
    numbers = [network(x, c_noise, cond.at[..., -1].set(n)) for n in (0.0, 1.0, 2.0)]
    curvature = numbers[0] - 2 * numbers[1] + numbers[2]
    assert float(jnp.abs(curvature).max()) > 0.01 * scale


def test_multipliers_are_those_of_a_longer_ring_with_the_same_waves():
    """Twice as many points of fields that the shorter ring resolves."""
    network = ring(dataclasses.replace(RING, modes=3))
    x, c_noise, cond = on_ring(points=16)

    def smooth(field):
        waves = jnp.fft.rfft(field, axis=2)[:, :, :3]
        return [2 * n / 16 * jnp.fft.irfft(waves, n, axis=2) / 2 for n in (8, 16)]

    (x8, x16), (cond8, cond16) = smooth(x), smooth(cond)
    cond8, cond16 = (c.at[..., -1].set(0.7) for c in (cond8, cond16))
    coarse, fine = network(x8, c_noise, cond8), network(x16, c_noise, cond16)
    np.testing.assert_allclose(fine[:, :, ::2], coarse, rtol=1e-3, atol=1e-2)


def test_multipliers_refuse_other_grids_and_conditions():
    x, c_noise, cond = on_ring()
    with pytest.raises(ValueError, match="4 instants"):
        ring()(x[:, :2], c_noise, cond[:, :2])
    with pytest.raises(ValueError, match="but got 3 axes"):
        build(RING, 3, CHANNELS, CONDITION, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="1 channels"):
        build(RING, 2, CHANNELS, 1, rngs=nnx.Rngs(0))


@on_one_grid
def test_untrained_head_gives_zero_whatever_it_sees(kind):
    network = filled(lambda: fresh(kind))
    network.head = nnx.jit(lambda: fresh(kind).head)()
    np.testing.assert_array_equal(call(network, *inputs(4, 6)), 0.0)


@on_one_grid
def test_every_input_matters(kind):
    x, c_noise, cond = inputs(4, 6)
    out = call(busy(kind), x, c_noise, cond)
    changed = [(x, c_noise + 0.1, cond)]
    changed += [(x.at[..., i].add(1.0), c_noise, cond) for i in range(CHANNELS)]
    changed += [(x, c_noise, cond.at[..., i].add(1.0)) for i in range(CONDITION)]
    for other in changed:
        rows = abs(call(busy(kind), *other) - out).max(axis=(1, 2, 3))
        assert float(rows.min()) > 1e-3


@on_one_grid
def test_rows_of_a_batch_are_independent(kind):
    arguments = inputs(4, 6)
    together = call(busy(kind), *arguments)
    for i in range(3):
        alone = call(busy(kind), *(a[i : i + 1] for a in arguments))
        np.testing.assert_allclose(together[i : i + 1], alone, 1e-4, 1e-5)


@on_one_grid
def test_gradient_is_finite_and_reaches_every_parameter(kind):
    wish = random(3, 4, 6, CHANNELS, seed=9)
    slope = nnx.jit(nnx.grad(lambda n, *inputs: jnp.vdot(wish, n(*inputs))))
    for path, leaf in jax.tree.leaves_with_path(slope(busy(kind), *inputs(4, 6))):
        gradient = np.asarray(leaf)
        assert np.isfinite(gradient).all(), path
        assert abs(gradient).max() > 1e-6, f"{path} has no effect"


# --- construction ---------------------------------------------------------------------


@on_one_grid
def test_the_configuration_chooses_the_network(kind):
    network = nnx.eval_shape(lambda: fresh(kind))
    assert type(network) is NETWORKS[type(config(kind))]
    assert network.config == config(kind)


@pytest.mark.parametrize(("patch", "axes"), [((2,), 2), ((2, 4), 1), ((2, 4), 3)])
def test_transformer_refuses_a_patch_of_other_dimension(patch, axes):
    shape = TransformerConfig(patch=patch, width=8, depth=1, heads=2)
    message = rf"one extent per grid axis, {axes} here.*Give {axes} numbers"
    with pytest.raises(ValueError, match=message):
        build(shape, axes, CHANNELS, CONDITION, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("patch", "tokens", "axes"),
    [((2,), (2, 2), 2), ((2, 2), (2,), 2), ((2, 2), (2, 2), 1), ((2, 2), (2, 2), 3)],
)
def test_mixer_refuses_patches_or_tokens_of_other_dimension(patch, tokens, axes):
    message = rf"along each grid axis, {axes} here.*Give {axes} numbers each"
    with pytest.raises(ValueError, match=message):
        build(
            MixerConfig(patch, tokens, width=8, depth=1),
            axes,
            CHANNELS,
            CONDITION,
            rngs=nnx.Rngs(0),
        )


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


# --- U-Nets ---------------------------------------------------------------------------


@cache
def busy_unet(kind):
    """Parameters of a U-Net, all active, and its output as a function of them."""
    graph, parameters = nnx.split(filled(lambda: fresh(kind, len(UNETS[kind])), 0.2))
    run = jax.jit(
        lambda parameters, *inputs: nnx.merge(graph, parameters)(*inputs),
        # a third of the time, most of which is spent on compilation
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return parameters, lambda *arguments: np.asarray(run(*arguments))


@pytest.mark.parametrize(
    ("kind", "grid"),
    [("unet", (4, 2, 6)), ("video", (1, 2, 4))],
)
def test_output_of_a_unet_has_the_shape_and_dtype_of_its_input(kind, grid):
    out = nnx.eval_shape(lambda: fresh(kind, len(grid))(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


def single_channels(x):
    """Ones in one channel at a time."""
    ones = np.eye(x.shape[-1], dtype=np.float32)
    return [np.broadcast_to(one, x.shape) for one in ones]


@each_unet
def test_every_input_of_a_unet_matters(kind):
    parameters, run = busy_unet(kind)
    x, c_noise, cond = inputs(*UNETS[kind])
    out = run(parameters, x, c_noise, cond)
    changed = [(x, c_noise + 0.1, cond)]
    changed += [(x + one, c_noise, cond) for one in single_channels(x)]
    changed += [(x, c_noise, cond + one) for one in single_channels(cond)]
    assert len(changed) == 1 + CHANNELS + CONDITION
    for other in changed:
        gaps = abs(run(parameters, *other) - out)
        assert gaps.reshape(3, -1).max(axis=1).min() > 1e-3


@each_unet
def test_every_parameter_of_a_unet_matters(kind):
    parameters, run = busy_unet(kind)
    arguments = inputs(*UNETS[kind])
    out = run(parameters, *arguments)
    assert np.isfinite(out).all()
    leaves, structure = jax.tree.flatten_with_path(parameters)
    values = [np.asarray(leaf) for _, leaf in leaves]
    for i, (path, leaf) in enumerate(leaves):
        moved = values[i] + np.asarray(random(*leaf.shape, seed=(i, 1), scale=10.0))
        other = jax.tree.unflatten(structure, [*values[:i], moved, *values[i + 1 :]])
        gap = abs(run(other, *arguments) - out).max()
        assert gap > 1e-3, f"{path} has no effect"


@each_unet
def test_rows_of_a_unet_are_independent(kind):
    parameters, run = busy_unet(kind)
    one, other = (inputs(*UNETS[kind], seed=seed) for seed in (0, 1))
    out = run(parameters, *one)
    for row in range(3):
        mixed = [np.array(array) for array in other]
        for array, wanted in zip(mixed, one, strict=True):
            array[row] = wanted[row]
        came = run(parameters, *mixed)[row]
        np.testing.assert_allclose(came, out[row], 1e-4, 1e-5)


@each_unet
def test_the_configuration_chooses_the_unet(kind):
    network = nnx.eval_shape(lambda: fresh(kind, len(UNETS[kind])))
    assert type(network) is {"unet": UNet, "video": VideoUNet}[kind]
    assert network.config == config(kind)


@pytest.mark.parametrize(
    ("shape", "axes", "channels", "count"),
    [(UNetConfig(), 2, 9, 140_748_553), (VideoUNetConfig(), 3, 42, 23_837_482)],
)
def test_default_unets_have_as_many_parameters_as_the_official_ones(
    shape, axes, channels, count
):
    make = lambda: build(shape, axes, channels, 0, rngs=nnx.Rngs(0))  # noqa: E731
    state = nnx.state(nnx.eval_shape(make), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == count


@pytest.mark.parametrize(
    ("kind", "grid"),
    [("unet", (7,)), ("unet", (8, 9)), ("video", (3, 4, 5))],
)
def test_a_unet_refuses_a_grid_that_it_cannot_halve(kind, grid):
    extents = grid if kind == "unet" else grid[1:]
    message = rf"halves its grid 1 times.*\({extents[0]}, ?.*multiples of 2"
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: fresh(kind, len(grid))(*inputs(*grid)))


def test_a_unet_halves_its_grid_once_for_each_level_but_the_last():
    shape = UNetConfig(8, (1, 1, 2), groups=2, heads=2, head_width=4)
    make = lambda: build(shape, 1, CHANNELS, CONDITION, rngs=nnx.Rngs(0))  # noqa: E731
    with pytest.raises(ValueError, match=r"2 times.*\(6,\).*multiples of 4"):
        nnx.eval_shape(lambda: make()(*inputs(6)))


@pytest.mark.parametrize("axes", [1, 2])
def test_a_video_has_three_axes(axes):
    message = rf"time and two axes of space, .* {axes} axes. Take a UNet"
    with pytest.raises(ValueError, match=message):
        fresh("video", axes)


def test_blocks_of_two_points_become_channels():
    for axes, grid in enumerate([(6,), (4, 6), (4, 2, 6)], 1):
        x = np.asarray(random(2, *grid, 3))
        came = np.asarray(space_to_depth(jnp.asarray(x)))
        assert came.shape == (2, *(n // 2 for n in grid), 2**axes * 3)
        for i, at in enumerate(itertools.product((0, 1), repeat=axes)):
            wanted = x[:, *(slice(start, None, 2) for start in at)]
            np.testing.assert_array_equal(came[..., i :: 2**axes], wanted)


def test_doubled_repeats_every_point_along_every_axis():
    for axes, grid in enumerate([(3,), (2, 3), (2, 1, 3)], 1):
        x = random(2, *grid, 3)
        came = np.asarray(unet_blocks.doubled(x))
        assert came.shape == (2, *(2 * n for n in grid), 3)
        for at in itertools.product((0, 1), repeat=axes):
            some = came[:, *(slice(start, None, 2) for start in at)]
            np.testing.assert_array_equal(some, x)


def test_timestep_embedding_is_its_formula():
    embedding = filled(lambda: TimestepEmbedding(8, rngs=nnx.Rngs(0)))
    steps = jnp.asarray([0.0, 3.0, 999.0], jnp.float32)
    phase = np.outer(steps, [1, 10 ** (-4 / 3), 10 ** (-8 / 3), 1e-4])
    waves = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    inner, outer = (
        [np.asarray(p[...], float) for p in (layer.kernel, layer.bias)]
        for layer in (embedding.inner, embedding.outer)
    )
    hidden = waves @ inner[0] + inner[1]
    hidden = hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2
    wanted = hidden @ outer[0] + outer[1]
    wanted = wanted / (1 + np.exp(-wanted))
    assert wanted.shape == (3, 32)
    np.testing.assert_allclose(embedding(steps), wanted, 1e-4, 2e-4)


@pytest.mark.parametrize("width", [4, 6])
def test_a_silent_residual_block_is_its_skip(width):
    block = filled(lambda: ResidualBlock(1, 4, width, 2, unmodulated, rngs=nnx.Rngs(0)))
    x, embedding = random(2, 5, 4), random(2, 3, seed=1)
    wanted = x if width == 4 else block.skip(x)
    assert abs(call(block, x, embedding) - wanted).max() > 0.1
    for parameter in (block.outer.norm.scale, block.outer.norm.bias):
        parameter[...] = jnp.zeros(width, jnp.float32)
    np.testing.assert_allclose(call(block, x, embedding), wanted, 1e-5)


def test_layers_on_frames_do_not_mix_them():
    x = random(2, 3, 4, 5, 6)
    came = on_frames(lambda frame: jnp.cumsum(frame, axis=1)[:, ::2], x)
    np.testing.assert_allclose(came, np.cumsum(x, axis=2)[:, :, ::2], 1e-5, 1e-6)


# --- inpainting -----------------------------------------------------------------------


def inpainting(kind):
    make = lambda: build(  # noqa: E731
        InpaintingConfig(config(kind)),
        len(UNETS[kind]),
        CHANNELS,
        2 * CHANNELS,
        rngs=nnx.Rngs(0),
    )
    return nnx.eval_shape(make)


@each_unet
def test_inpainting_has_the_network_of_its_configuration(kind):
    network = inpainting(kind)
    assert type(network.network) is {"unet": UNet, "video": VideoUNet}[kind]
    assert network.network.config == network.config.network == config(kind)
    x, c_noise, _ = inputs(*UNETS[kind])
    cond = jnp.concatenate([x, x], axis=-1)
    out = nnx.eval_shape(lambda network: network(x, c_noise, cond), network)
    assert out.shape == x.shape and out.dtype == np.float32


def test_inpainting_sees_what_is_known_and_the_noisy_array_elsewhere():
    x, c_noise, _ = inputs(4, 6)
    values = random(*x.shape, seed=5)
    known = np.random.default_rng(6).random(x.shape) < 0.4
    cond = jnp.concatenate([values, jnp.asarray(known, x.dtype)], axis=-1)
    network, seen = inpainting("unet"), []
    network.network = nnx.static(lambda *inputs: seen.extend(inputs) or inputs[0])
    out = network(x, c_noise, cond)
    np.testing.assert_array_equal(out, np.where(known, values, x))
    assert seen[0] is out and seen[1] is c_noise and seen[2].shape == (3, 4, 6, 0)


@pytest.mark.parametrize("condition", [0, CHANNELS, 2 * CHANNELS + 1])
def test_inpainting_refuses_a_condition_that_is_not_values_and_mask(condition):
    shape = InpaintingConfig(config("unet"))
    message = rf"each of the 3 channels.* has {condition} channels.*TiledConditions"
    with pytest.raises(ValueError, match=message):
        build(shape, 2, CHANNELS, condition, rngs=nnx.Rngs(0))


# --- convolution ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "span", "calls"),
    [
        ((9, 10), (1, 1), 0),  # a product of matrices
        ((7,), (3,), 0),  # a product with patches
        ((8, 8), (3, 5), 0),
        ((3, 4, 5), (5, 1, 3), 0),
        ((80,), (7,), 1),  # XLA's
        ((9, 8), (7, 3), 1),
        ((4, 5, 6), (3, 3, 5), 0),  # slices by patches
        ((2, 9, 8), (3, 5, 3), 3),  # slices by XLA
    ],
)
def test_every_formulation_is_the_convolution_of_scipy(grid, span, calls):
    x = random(2, *grid, 3).astype("float64")
    kernel = random(*span, 3, 4, seed=1).astype("float64")
    wanted = np.zeros((2, *grid, 4))
    for row, i, o in np.ndindex(2, 3, 4):
        terms = np.asarray(x)[row, ..., i], np.asarray(kernel)[..., i, o]
        wanted[row, ..., o] += ndimage.correlate(*terms, mode="constant")
    program = jax.jit(convolved).trace(x, kernel)
    assert str(program.jaxpr).count("conv_general_dilated[") == calls
    came = program.lower().compile()(x, kernel)
    np.testing.assert_allclose(came, wanted, 0, 1e-12)


def test_a_convolution_adds_its_bias_and_starts_without():
    make = lambda: Convolution((3, 3), 2, 5, rngs=nnx.Rngs(0))  # noqa: E731
    np.testing.assert_array_equal(nnx.jit(make)().bias[...], np.zeros(5))
    module, x = filled(make), random(2, 4, 6, 2)
    assert module.kernel.shape == (3, 3, 2, 5)
    wanted = np.asarray(jax.jit(convolved)(x, module.kernel[...]))
    wanted = wanted + np.asarray(module.bias[...])
    np.testing.assert_allclose(call(module, x), wanted, 0, 1e-5)


# --- attention ------------------------------------------------------------------------


def softmax(x, axis):
    exponential = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponential / exponential.sum(axis=axis, keepdims=True)


def heads(tokens=9, features=6):
    """Queries, keys and values of two rows and three heads."""
    return [random(2, tokens, 3, features, seed=seed) for seed in range(3)]


def test_linear_attention_is_its_formula():
    q, k, v = map(np.asarray, heads())
    context = np.einsum("bnhd,bnhe->bhde", softmax(k, 1), v)
    wanted = np.einsum("bnhd,bhde->bnhe", softmax(q, 3), context) / np.sqrt(6)
    np.testing.assert_allclose(jax.jit(linear)(*heads()), wanted, 0, 1e-6)


def test_full_attention_is_its_formula():
    q, k, v = map(np.asarray, heads())
    scores = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(6), 3)
    wanted = np.einsum("bhnm,bmhe->bnhe", scores, v)
    np.testing.assert_allclose(full(*heads()), wanted, 0, 1e-5)


def turned(x):
    """Pairs of features as complex numbers, times ``exp(i n speed)``."""
    tokens, features = x.shape[1], x.shape[-1]
    speed = 10000.0 ** (-2 * np.arange(features // 2) / features)
    pairs = np.asarray(x, float).reshape(*x.shape[:-1], -1, 2)
    angle = np.arange(tokens)[:, None, None] * speed
    product = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    return np.stack([product.real, product.imag], axis=-1).reshape(x.shape)


def test_ordered_attention_turns_queries_and_keys_and_adds_a_bias():
    q, k, v = heads()
    bias = random(3, 9, 9, seed=3)
    scores = np.einsum("bnhd,bmhd->bhnm", turned(q), turned(k)) / np.sqrt(6)
    wanted = np.einsum("bhnm,bmhe->bnhe", softmax(scores + np.asarray(bias), 3), v)
    np.testing.assert_allclose(ordered(bias)(q, k, v), wanted, 0, 1e-5)


def test_rotation_turns_each_pair_by_its_angle():
    x, *_ = heads(tokens=50)
    came = rotated(x)
    np.testing.assert_allclose(came, turned(x), 0, 1e-5)
    np.testing.assert_array_equal(came[:, 0], x[:, 0])
    norms = (np.linalg.norm(a, axis=-1) for a in (came, x))
    np.testing.assert_allclose(*norms, 1e-5)


def test_scores_of_rotated_tokens_depend_on_their_distance_only():
    q, k = (jnp.repeat(a[:1, :1, :1], 9, axis=1) for a in heads()[:2])
    q, k = (np.asarray(rotated(a))[0, :, 0] for a in (q, k))
    scores = q @ k.T
    np.testing.assert_allclose(scores[1:, 1:], scores[:-1, :-1], 0, 1e-5)
    assert abs(np.diff(scores[0])).min() > 1e-3
    assert abs(scores - scores.T)[0, 1:].min() > 1e-3


def test_near_distances_have_a_class_each_and_far_ones_share():
    behind = [*range(8), 8, 8, 9, 9, 10, 10, 11, 11]
    behind += [12] * 4 + [13] * 3 + [14] * 4 + [15] * 53
    came = distance_classes(80, 32, 32)
    assert len(behind) == 80
    np.testing.assert_array_equal(came[-1, ::-1], behind)
    np.testing.assert_array_equal(came[0], [0, *(16 + c for c in behind[1:])])
    np.testing.assert_array_equal(came[1:, 1:], came[:-1, :-1])


def test_position_bias_is_a_number_for_each_head_and_class():
    bias = filled(lambda: RelativePositionBias(2, rngs=nnx.Rngs(0)))
    came, table = bias(12), np.asarray(bias.table[...])
    assert came.shape == (2, 12, 12) and table.shape == (32, 2)
    for i, j in ((0, 0), (5, 2), (2, 5), (11, 0), (0, 11)):
        distance = min(abs(j - i), 9 if abs(j - i) > 9 else 11)
        row = distance + (16 if j > i else 0)
        np.testing.assert_array_equal(came[:, i, j], table[row])


def test_attention_adds_what_it_mixes_of_normalised_tokens():
    make = lambda out: Attention(6, 2, 4, out, rngs=nnx.Rngs(0))  # noqa: E731
    module = filled(lambda: make(nnx.Linear(8, 6, rngs=nnx.Rngs(1))))
    x = random(2, 5, 6)
    shapes = []

    def mix(q, k, v):
        shapes.extend((q.shape, k.shape, v.shape))
        return q + 2 * k + 3 * v.at[:, :, 1].multiply(2.0)

    came = module(x, mix)
    assert shapes == [(2, 5, 2, 4)] * 3
    y = np.asarray(x)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    parts = y * np.asarray(module.norm.scale[...]) @ np.asarray(module.qkv.kernel[...])
    q, k, v = np.split(parts, 3, axis=-1)
    mixed = q + 2 * k + 3 * v * np.repeat([1.0, 2.0], 4)
    kernel, bias = (np.asarray(p[...]) for p in (module.out.kernel, module.out.bias))
    np.testing.assert_allclose(came, np.asarray(x) + mixed @ kernel + bias, 1e-4, 1e-5)


def test_attention_over_time_is_that_of_each_point_alone():
    make = lambda out: Attention(6, 2, 4, out, rngs=nnx.Rngs(0))  # noqa: E731
    attend = filled(lambda: make(nnx.Linear(8, 6, rngs=nnx.Rngs(1))))
    mix = ordered(random(2, 5, 5, seed=1))
    x = random(2, 5, 3, 4, 6)
    came = np.asarray(jax.jit(lambda x: over_time(attend, x, mix))(x))
    at_point = jax.jit(lambda tokens: attend(tokens, mix))
    for i, j in ((0, 0), (2, 1), (1, 3)):
        alone = at_point(x[:, :, i, j])
        np.testing.assert_allclose(came[:, :, i, j], alone, 1e-5, 1e-5)
