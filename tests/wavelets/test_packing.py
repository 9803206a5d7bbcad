"""Subbands of one field stacked as channels, against PyWavelets and by position."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from wdno.wavelets.packing import (
    Packing,
    blocks_to_channels,
    channels_to_blocks,
    subband_keys,
)

EVEN = ("periodization", "boundary")

pytestmark = pytest.mark.filterwarnings("ignore:Level value of")


def random(*shape, seed=0):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape))


def channel(packing, z, name):
    return z[..., packing.names.index(name)]


# --- names and values -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["periodization", "symmetric", "zero"])
@pytest.mark.parametrize("extents", [(16,), (8, 12), (4, 8, 6)])
def test_one_level_is_dwtn_under_its_keys(extents, mode):
    x = random(2, *extents)
    packing = Packing(extents, "bior2.4", (mode,) * len(extents), levels=1)
    wanted = pywt.dwtn(x, "bior2.4", mode, axes=range(1, x.ndim))
    z = packing.pack(x)
    assert packing.names == tuple(sorted(wanted))
    assert z.shape == (2, *packing.grids[-1], 2 ** len(extents))
    for name in packing.names:
        np.testing.assert_allclose(channel(packing, z, name), wanted[name], 0, 1e-13)


def test_two_levels_are_wavedecn_with_finer_blocks_by_offset():
    """Channel ``ad1[0.1]`` holds every second ``ad`` of level 1, from (0, 1) on."""
    x = random(2, 8, 12)
    packing = Packing((8, 12), "bior2.4", ("periodization",) * 2, levels=2)
    approximation, coarse, fine = pywt.wavedecn(
        x, "bior2.4", "periodization", 2, axes=(1, 2)
    )
    z = packing.pack(x)
    assert packing.names == (
        *("aa2", "ad2", "da2", "dd2"),
        *("ad1[0.0]", "ad1[0.1]", "ad1[1.0]", "ad1[1.1]"),
        *("da1[0.0]", "da1[0.1]", "da1[1.0]", "da1[1.1]"),
        *("dd1[0.0]", "dd1[0.1]", "dd1[1.0]", "dd1[1.1]"),
    )
    wanted = {"aa2": approximation} | {f"{key}2": c for key, c in coarse.items()}
    for (key, c), i, j in itertools.product(fine.items(), (0, 1), (0, 1)):
        wanted[f"{key}1[{i}.{j}]"] = c[:, i::2, j::2]
    assert set(wanted) == set(packing.names)
    for name, c in wanted.items():
        np.testing.assert_allclose(channel(packing, z, name), c, 0, 1e-13)


def test_finer_blocks_that_stick_out_of_their_subband_are_zero():
    """Level 1 of 21 samples has 12 db2 details, level 2 has 7 places for pairs."""
    x = random(2, 21)
    packing = Packing((21,), "db2", ("zero",), levels=2)
    details = pywt.wavedec(x, "db2", "zero", 2)[-1]
    assert packing.grids == [(21,), (12,), (7,)]
    assert packing.names == ("a2", "d2", "d1[0]", "d1[1]")
    z = packing.pack(x)
    for offset in (0, 1):
        came = channel(packing, z, f"d1[{offset}]")
        np.testing.assert_allclose(came[:, :6], details[:, offset::2], 0, 1e-13)
        np.testing.assert_array_equal(came[:, 6:], 0)


def test_a_field_without_axes_is_one_channel():
    packing = Packing((), "haar", (), levels=2)
    x = random(3)
    assert packing.names == ("value",) and packing.grids[-1] == ()
    np.testing.assert_array_equal(packing.pack(x), x[:, None])
    np.testing.assert_array_equal(packing.unpack(packing.pack(x)), x)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_subband_keys_are_those_of_pywavelets_approximation_first(axes):
    keys = subband_keys(axes)
    assert keys[0] == "a" * axes and len(set(keys)) == len(keys)
    assert set(keys) == set(pywt.dwtn(np.ones((2,) * axes), "haar"))


# --- inverse and counts ---------------------------------------------------------------


@st.composite
def arguments(draw):
    """Of a packing: odd extents too where the mode is not critically sampled."""
    levels = draw(st.integers(1, 3))
    mode = draw(st.lists(st.sampled_from((*pywt.Modes.modes[:4], *EVEN)), max_size=2))
    extents = []
    for name in mode:
        # "boundary" needs as many samples as db2 has taps on every level.
        count = draw(st.integers(2, 3))
        extents.append(2**levels * count if name in EVEN else 2 * count + 1)
    return tuple(extents), draw(st.sampled_from(["haar", "db2"])), tuple(mode), levels


@given(arguments())
@settings(max_examples=12, deadline=None)
def test_unpack_inverts_pack(arguments):
    packing = Packing(*arguments)
    x = random(2, *packing.extents)
    z = jax.jit(Packing.pack, static_argnums=0)(packing, x)
    assert z.shape == (2, *packing.grids[-1], len(packing.names))
    assert len(packing.names) == 2 ** (packing.levels * len(packing.extents))
    assert len(set(packing.names)) == len(packing.names)
    back = jax.jit(Packing.unpack, static_argnums=0)(packing, z)
    np.testing.assert_allclose(back, x, 0, 1e-11)


@pytest.mark.parametrize("mode", EVEN)
def test_critically_sampled_packing_only_reorders_an_orthogonal_transform(mode):
    """As many coefficients as samples, with the same sum of squares."""
    x = random(1, 16, 32)
    z = Packing((16, 32), "db2", (mode, mode), levels=2).pack(x)
    assert z.size == x.size
    np.testing.assert_allclose(jnp.sum(z**2), jnp.sum(x**2), 1e-12)


@pytest.mark.parametrize(("factor", "fine"), [(1, (3, 5)), (2, (6, 9)), (4, (9, 20))])
def test_blocks_go_to_channels_by_offset_and_back(factor, fine):
    x, grid = random(2, *fine), tuple(-(-n // factor) for n in fine)
    blocks = blocks_to_channels(x, grid, factor)
    assert blocks.shape == (2, *grid, factor**2)
    for place, (i, j) in enumerate(itertools.product(range(factor), repeat=2)):
        wanted = x[:, i::factor, j::factor]
        came = blocks[:, : wanted.shape[1], : wanted.shape[2], place]
        np.testing.assert_array_equal(came, wanted)
    np.testing.assert_array_equal(channels_to_blocks(blocks, fine, factor), x)


def test_pack_keeps_single_precision_and_compiles():
    packing = Packing((8, 8), "db2", ("periodization",) * 2, levels=2)
    x = random(2, 8, 8).astype(jnp.float32)
    pack = jax.jit(Packing.pack, static_argnums=0)
    assert pack(packing, x).dtype == packing.unpack(pack(packing, x)).dtype == x.dtype
    np.testing.assert_allclose(pack(packing, x), packing.pack(x), 0, 1e-6)


# --- means over pairs -----------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("axes", [(1,), (0, 1)])
def test_channels_of_means_do_not_see_what_pairs_differ_by(levels, axes):
    """And others do."""
    packing = Packing((8, 16), "haar", ("boundary",) * 2, levels)
    u = random(3, 8, 16)
    whole = u
    for axis in axes:
        shape = (*whole.shape[: axis + 1], -1, 2, *whole.shape[axis + 2 :])
        pairs = whole.reshape(shape).mean(axis + 2)
        whole = jnp.repeat(pairs, 2, axis=axis + 1)
    blind = abs(packing.pack(u - whole)).max(axis=(0, 1, 2)) < 1e-12
    assert packing.of_means(axes) == tuple(blind.tolist())
    assert any(packing.of_means(axes)) and not all(packing.of_means(axes))


@pytest.mark.parametrize("wavelet", ["lazy", "db2", "bior2.4", "bior1.3"])
def test_other_wavelets_have_no_channels_of_means_alone(wavelet):
    packing = Packing((8, 16), wavelet, ("periodization",) * 2, 1)
    assert not any(packing.of_means((1,)))


def test_the_dual_of_cohen_daubechies_feauveau_has():
    """Its approximations are those of Haar, its details errors of parabolas."""
    packing = Packing((16,), "rbio1.3", ("periodization",), 1)
    assert packing.of_means((0,)) == (True, False)


def test_means_along_an_axis_keep_the_subbands_of_others():
    packing = Packing((4, 8), "haar", ("boundary",) * 2, 1)
    u = random(2, 4, 8)
    means = u.reshape(2, 2, 2, 4, 2).mean(axis=4)
    both = jnp.stack([means.mean(axis=2), (means[:, :, 0] - means[:, :, 1]) / 2], -1)
    np.testing.assert_allclose(packing.means_along(u, (1,)), both, atol=1e-12)
    np.testing.assert_allclose(packing.means(u), both[..., 0], atol=1e-12)
