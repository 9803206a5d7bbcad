"""Dynamic grain: identities at the ends, conservation between, and who is refined."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import CONDITION, filled, random

from wdno import WaveletLayout
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.networks import DynamicGrainConfig, Shape, build
from wdno.networks.attention import Where
from wdno.networks.cells import cone_reach, most
from wdno.networks.patches import dilate
from wdno.networks.positions import position_encoding, positions_of
from wdno.operator import tasks
from wdno.wavelets import grain

LAYOUT = WaveletLayout(
    tasks.simulation(("u",), (), ("time", "x"))[0],
    ("time", "x"),
    (8, 24),
    "haar",
    ("periodization",) * 2,
    levels=2,
)
FINE = grain.fine_channels(LAYOUT)
GRID, CELLS = (2, 6), 6
CONFIG = DynamicGrainConfig(
    (1, 2), width=8, depth=1, heads=2, fine=FINE, kept=2, refinements=2, reach=(0, 1)
)
SIGMA = jnp.array([0.3, 2.0, 20.0], jnp.float32)
X, COND = random(3, *GRID, 16, seed=1), random(3, *GRID, CONDITION, seed=2)


def made(config):
    shape = Shape(2, len(LAYOUT.channels), CONDITION)
    return filled(lambda: build(config, shape, rngs=nnx.Rngs(0)))


@pytest.fixture(scope="module")
def network():
    return made(CONFIG)


@nnx.jit
def grained(module, cells=None):
    return module.grained(X, SIGMA, COND, cells)


analysis = jax.jit(WaveletLayout.analysis, static_argnums=0)
synthesis = jax.jit(WaveletLayout.synthesis, static_argnums=0)
entropy = jax.jit(grain.entropy, static_argnames=("block", "bins"))


def test_layouts_tell_fine_details_from_coarse_ones():
    assert grain.depths(LAYOUT) == (0, 1, 1, 1, *(2,) * 12)
    assert tuple(range(4, 16)) == FINE
    names = [LAYOUT.channels[n] for n in FINE]
    assert all("1" in name.split(":")[1].split("[")[0] for name in names)
    with pytest.raises(ValueError, match="levels=1"):
        grain.fine_channels(replace(LAYOUT, levels=1))


def test_all_fine_is_the_plain_transformer_in_any_order(network):
    """Coarse blocks, then fine blocks, with every token in its place: no choice."""
    config = replace(CONFIG, kept=CELLS)
    network = made(config)

    @nnx.jit
    def plain(module):
        whole = module._patches
        coarse = jnp.concatenate([X[..., :4], COND], axis=-1)
        every = positions_of(jnp.arange(CELLS)[None], (2, 3))
        where = Where(module.embedding(SIGMA), every, (2, 3))
        code = position_encoding((2, 3, 8), X.dtype).reshape(1, CELLS, 8)
        h = module.embed(whole(coarse))
        h = h + jnp.broadcast_to(code, h.shape)
        for block in module.blocks:
            h = block(h, where)
        f = module.embed_fine(whole(X[..., 4:])) + h
        for block in module.refinements:
            f = block(f, where, h, where)
        fine = module.head_fine(module.norm_fine(f), whole(X[..., 4:]))
        parts = module.head(module.norm(h), whole(X[..., :4])), fine
        low, high = (module._points(part, GRID) for part in parts)
        return jnp.concatenate([low, high], axis=-1)

    wanted = plain(network)
    np.testing.assert_allclose(grained(network).output, wanted, 1e-5, 1e-5)
    order = jnp.array([[3, 1, 0, 5, 2, 4]] * 3)
    np.testing.assert_allclose(grained(network, order).output, wanted, 1e-5, 1e-5)
    assert grained(network).there.all()


def test_details_of_other_cells_are_zero_and_means_are_kept(network):
    """In x0, at every noise level; the means of cells are those of coarse channels."""
    denoiser = Denoiser(freeze(network), EDMPreconditioning())

    @jax.jit
    def found(denoiser):
        _, _, c_in, c_noise = denoiser.preconditioning(SIGMA)
        scaled = c_in[:, None, None, None] * X
        _, there = denoiser.backbone.thaw().estimated(scaled, c_noise, COND)
        return denoiser(X, SIGMA, COND), there

    x0, there = map(np.asarray, found(denoiser))
    assert there[..., :4].all() and (there[..., 4:].mean(axis=(1, 2, 3)) == 1 / 3).all()
    np.testing.assert_array_equal(x0[~there], 0)
    assert abs(x0[there]).min() > 0
    coarse = np.where(np.arange(16) < 4, x0, 0)
    fields = [np.asarray(synthesis(LAYOUT, z)["u"]) for z in (x0, coarse)]
    means = [u.reshape(3, 2, 4, 6, 4).mean(axis=(2, 4)) for u in fields]
    np.testing.assert_allclose(*means, 1e-5, 1e-5)
    assert abs(fields[0] - fields[1]).max() > 0.01


def test_cells_that_are_told_are_those_that_are_refined(network):
    cells = jnp.array([[0, 5], [1, 2], [4, 3]])
    there = np.asarray(grained(network, cells).there[..., 4])
    wanted = np.zeros((3, CELLS), bool)
    np.put_along_axis(wanted, np.asarray(cells), True, axis=1)
    wanted = wanted.reshape(3, 2, 3).repeat(2, axis=2)
    np.testing.assert_array_equal(there, wanted)


def test_a_cell_of_another_grid_makes_its_row_nan(network):
    output = np.asarray(
        grained(network, jnp.array([[0, 5], [1, CELLS], [4, 3]])).output
    )
    assert np.isfinite(output[::2]).all()
    assert np.isnan(output[1, 0, 2:4, 4:]).all()


def test_fine_tokens_hear_of_coarse_ones_and_not_the_other_way(network):
    cells = jnp.array([[0, 1]] * 3)

    @nnx.jit
    def changed(module):
        before = module.grained(X, SIGMA, COND, cells).output
        other = module.grained(X.at[:, 1, 5, 0].add(3.0), SIGMA, COND, cells).output
        finer = module.grained(X.at[:, 0, 0, 4:].add(3.0), SIGMA, COND, cells).output
        return abs(other - before), abs(finer - before)

    other, finer = changed(network)
    assert float(other[:, 0, :4, 4:].max()) > 1e-3
    assert float(finer[..., :4].max()) == 0 and float(finer[..., 4:].max()) > 1e-3


def test_cells_with_most_information_are_chosen_with_their_surroundings():
    scores = jnp.zeros((1, 5, 5)).at[0, 2, 2].set(4.0).at[0, 0, 0].set(1.0)
    wide = most(scores, 9, (1, 1))[0].tolist()
    assert wide[0] == 12
    assert set(wide) == {5 * r + c for r in (1, 2, 3) for c in (1, 2, 3)}
    assert set(most(scores, 2, (0, 0))[0].tolist()) == {12, 0}
    far = dilate(scores, (0, 2))[0]
    np.testing.assert_array_equal(far[2], 4)
    np.testing.assert_array_equal(far[1], 0)
    assert cone_reach(2.0, (0.1, 0.05, 1.0)) == (1, 5, 2)


def test_scores_find_the_cell_with_the_front():
    x = np.zeros((2, 8, 24))
    x[:, :, 10:] = 1.0
    x[:, :, 23] = 0.0
    x[:, 4:, 22:] = 1.0  # the end of the last row of cells is smooth
    for score in (grain.gradient_energy, grain.entropy):
        found = np.asarray(jax.jit(score, static_argnums=1)(x, (4, 4)))
        assert found.shape == (2, 2, 6)
        assert found[:, :, 2].min() > found[:, :, :2].max() + 1e-3
        assert found[:, :, 2].min() > found[:, :, 3:5].max() + 1e-3
    # Six kernels and two halves against two halves, all apart: log 7 between them.
    steps = np.arange(8.0)
    even, ends = (
        entropy(np.broadcast_to(u, (1, 4, 8)), block=(4, 8), bins=7001)
        for u in (steps, steps // 4)
    )
    np.testing.assert_allclose(even - ends, np.log(7), 5e-3)
    with pytest.raises(ValueError, match=r"blocks of \(4, 5\)"):
        entropy(x, block=(4, 5))


def test_energy_of_details_is_that_of_the_synthesis_without_them():
    """Parseval, for an orthogonal wavelet: what is lost is what the score says."""
    u = np.random.default_rng(0).normal(size=(2, 8, 24))
    u = u * np.linspace(0.1, 3.0, 24)
    layout = LAYOUT.fit([{"u": jax.device_put(u)}])
    z = np.asarray(analysis(layout, {"u": u}))
    lost = np.where(np.isin(np.arange(16), FINE), 0.0, z)
    error = np.square(synthesis(layout, lost)["u"] - u)
    by_cell = error.reshape(2, 2, 4, 6, 4).sum(axis=(2, 4))
    energy = jax.jit(grain.detail_energy, static_argnums=1)
    ratio = by_cell / energy(z, FINE, layout.energy_share)
    np.testing.assert_allclose(ratio, ratio.mean(), 1e-6)
    alike = np.asarray(energy(z, FINE))
    assert np.ptp(by_cell / alike) > 0.01
    np.testing.assert_allclose(alike, np.square(z[..., 4:]).mean(axis=-1), 1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kept": 0}, "'kept' is 0"),
        ({"heads": 3}, "3 heads do not divide"),
        ({"fine": (-1,)}, "'fine' is"),
        ({"reach": (-1, 0)}, "'reach' is"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kept": 7}, r"`kept` is 7 on a grid of \(2, 3\)"),
        ({"fine": (16,)}, "0 to 15, but `fine`"),
        ({"fine": tuple(range(16))}, "0 to 15, but `fine`"),
        ({"reach": (1,)}, "`reach` has one number per grid axis"),
    ],
)
def test_what_the_grid_does_not_have_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(partial(call, replace(CONFIG, **setting)))


def call(config):
    return build(config, Shape(2, 16, CONDITION), rngs=nnx.Rngs(0))(X, SIGMA, COND)
