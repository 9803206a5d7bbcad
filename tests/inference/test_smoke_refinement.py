"""The shipped refiner of smoke on labelled scenes that nobody has trained it on."""

import jax
import numpy as np
import pytest
import xarray as xr

import wdno
from wdno.systems import Smoke
from wdno.trajectory import coarsen

NAMES = ["density", "vx", "vy"]


@pytest.fixture(scope="module")
def model():
    return wdno.load("smoke-refinement")


@pytest.fixture(scope="module")
def truth(model):
    """Two scenes on a quarter of the points, taken for those of the model's box."""
    system = Smoke(points=32, frames=16, refinement=4, substeps=16)
    scenes = system.trajectories(jax.random.key(5), samples=2)
    small = model.on((model.window, 32, 32))
    places = small.domain.coords(small.targets.dims, small.targets.grid)
    return scenes.assign_coords({dim: places[dim] for dim in ("y", "x")})


def refined(model, truth, factor=2, **how):
    return wdno.super_resolve(
        model,
        coarsen(truth, factor)[NAMES],
        truth.density.isel(time=0, drop=True),
        truth[["cx", "cy"]],
        factor=factor,
        key=jax.random.key(0),
        **how,
    )


def errors(found, truth):
    square = np.square((found[NAMES] - truth[NAMES]).isel(time=slice(1, None)))
    return square.mean(["sample", "time", "y", "x"])


@pytest.mark.slow
def test_labelled_scenes_are_refined_better_than_by_interpolation(model, truth):
    found = refined(model, truth)
    assert found.density.dims == ("sample", "time", "y", "x")
    assert found.sizes == truth.sizes
    xr.testing.assert_equal(found.time, truth.time)
    np.testing.assert_array_equal(found.density[:, 0], truth.density[:, 0])
    coarse = coarsen(truth, 2)[NAMES].fillna(0)
    places = {dim: truth[dim] for dim in ("time", "y", "x")}
    rival = errors(coarse.interp(places, kwargs={"fill_value": None}), truth)
    ours = errors(found, truth)
    assert float(ours.density) < 0.5 * float(rival.density)
    assert all(float(ours[name]) < float(rival[name]) for name in ("vx", "vy"))


@pytest.mark.slow
def test_its_output_is_its_next_input(model, truth):
    """Twice in a row, and no worse than the first doubling with exact states after."""
    twice = refined(model, truth, factor=4)
    once = refined(model, coarsen(truth, 2))
    again = wdno.super_resolve(
        model,
        once[NAMES],
        truth.density.isel(time=0, drop=True),
        truth[["cx", "cy"]],
        key=jax.random.key(0),
    )
    np.testing.assert_allclose(twice.density, again.density, atol=0.02)


@pytest.mark.slow
def test_velocities_are_needed(model, truth):
    with pytest.raises(ValueError, match="'vx'"):
        wdno.super_resolve(
            model,
            coarsen(truth, 2).density,
            truth.density.isel(time=0, drop=True),
            truth[["cx", "cy"]],
            key=jax.random.key(0),
        )
