"""The shipped refiner of shock tubes on records that nobody has trained it on."""

import jax
import numpy as np
import pytest

import wdno
from wdno.operator.interpolation import parted, straight
from wdno.systems.compressible import CompressibleNavierStokes, conserved, primitive
from wdno.trajectory import coarsen

NAMES = ["density", "momentum", "energy"]


@pytest.fixture(scope="module")
def truth():
    """Two tubes on 512 cells, until their waves are apart."""
    tube = CompressibleNavierStokes(points=512, frames=24, duration=0.24)
    return conserved(tube.trajectories(jax.random.key(5), samples=2))


def over_cells(record, cells):
    return coarsen(record, {"time": 1, "x": record.sizes["x"] // cells})


@pytest.fixture(scope="module")
def doublings(truth):
    """From 128 cells to 256 and 512, each the next one's input."""
    model, found = wdno.load("navier-stokes-refinement"), [over_cells(truth, 128)]
    for cells in (256, 512):
        initial = over_cells(truth, cells).isel(time=0, drop=True)
        how = {"steps": 2, "key": jax.random.key(0)}
        found.append(wdno.super_resolve(model, found[-1], initial, **how))
    return found


def error(record, truth):
    """Mean squared error on the finest grid, what is coarser parted by parabolas."""
    square = []
    for name in NAMES:
        means = jax.numpy.asarray(record[name].values)
        while means.shape[2] < truth.sizes["x"]:
            means = parted(means, 2, straight)
        square.append(np.square(means - truth[name].values)[:, 1:].mean())
    return np.mean(square)


@pytest.mark.slow
def test_the_error_falls_with_every_doubling(truth, doublings):
    errors = [error(record, truth) for record in doublings]
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.9 * errors[1]


@pytest.mark.slow
def test_mass_momentum_and_energy_stay_in_every_coarse_cell(doublings):
    for coarse, fine in zip(doublings, doublings[1:], strict=False):
        assert fine.density.dims == ("sample", "time", "x")
        again = over_cells(fine, coarse.sizes["x"])
        np.testing.assert_allclose(again.x, coarse.x)
        for name in NAMES:
            np.testing.assert_allclose(again[name], coarse[name], atol=1e-6)


@pytest.mark.slow
def test_what_comes_out_is_a_gas(doublings):
    gas = primitive(doublings[-1])
    assert float(gas.density.min()) > 0 and float(gas.pressure.min()) > 0


def test_velocity_and_pressure_are_not_refined(truth):
    gas = primitive(over_cells(truth, 256))
    with pytest.raises(ValueError, match="momentum"):
        wdno.super_resolve(
            wdno.load("navier-stokes-refinement"),
            gas,
            primitive(truth).isel(time=0, drop=True),
            key=jax.random.key(0),
        )
