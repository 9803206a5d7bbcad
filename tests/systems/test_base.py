"""The labelled border of physical systems."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from wdno.systems import (
    Advection,
    Burgers,
    CompressibleNavierStokes,
    LabelledSystem,
    PhysicalSystem,
    Smoke,
    run,
    trajectories,
)
from wdno.systems.base import check_positive

KEY = jax.random.key(0)
SMALL = Burgers(points=24, frames=4, duration=0.4)


@pytest.fixture(scope="module")
def truth():
    return SMALL.trajectories(KEY, samples=3)


@dataclass(frozen=True)
class Growth(LabelledSystem):
    """y' = v on no grid in space: all that a new system has to write."""

    state: ClassVar[tuple[str, ...]] = ("y",)
    control: ClassVar[tuple[str, ...]] = ("v",)
    attributes: ClassVar[dict[str, dict[str, str]]] = {"y": {"units": "m"}}

    @property
    def coords(self):
        return {"time": np.arange(6.0)}

    def sample_inputs(self, key, samples):
        return {"y0": jnp.zeros(samples), "v": jax.random.normal(key, (samples, 5))}

    def solve(self, inputs):
        return {"y": inputs["y0"][:, None] + jnp.cumsum(inputs["v"], axis=1)}


@dataclass(frozen=True)
class Basin(LabelledSystem):
    """y' = v above a bed: what a new system may add."""

    state: ClassVar[tuple[str, ...]] = ("y",)
    control: ClassVar[tuple[str, ...]] = ("v",)
    auxiliary: ClassVar[dict[str, tuple[str, ...]]] = {
        "depth": ("time", "x"),
        "volume": ("time",),
    }
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        "bed": {"units": "m"},
        "volume": {"units": "m2"},
    }

    @property
    def coords(self):
        return {"time": np.arange(4.0), "x": np.array([0.0, 0.5])}

    @property
    def static(self):
        return {"bed": np.array([1, 2], np.float32)}

    def sample_inputs(self, key, samples):
        v = jax.random.uniform(key, (samples, 3, 2), jnp.float32)
        return {"y0": jnp.full((samples, 2), 2, jnp.float32), "v": v}

    def solve(self, inputs):
        y = inputs["y0"][:, None] + jnp.cumsum(inputs["v"], axis=1)
        depth = y - jnp.asarray(self.static["bed"])[None, None]
        return {"y": y, "depth": depth, "volume": depth.sum(axis=-1) / 2}

    def check(self, inputs):
        dry = (np.asarray(inputs["y0"]) < self.static["bed"]).any(axis=1)
        if dry.any():
            raise ValueError(f"dry in sample {int(np.argmax(dry))}")


def test_burgers_is_a_physical_system():
    assert isinstance(SMALL, PhysicalSystem)


def test_trajectories_are_labelled(truth):
    assert truth.u.dims == truth.f.dims == ("sample", "time", "x")
    assert dict(truth.sizes) == {"sample": 3, "time": 5, "x": 24}
    np.testing.assert_allclose(truth.time, [0, 0.1, 0.2, 0.3, 0.4])
    assert truth.u.dtype == truth.f.dtype == np.float32
    assert truth.u.attrs["units"] == "1" and truth.x.attrs["long_name"]
    assert truth.u.attrs["cell_methods"] == "time: point"
    assert truth.f.attrs["cell_methods"] == "time: mean"


def test_trajectories_hold_inputs_and_solution(truth):
    inputs = SMALL.sample_inputs(KEY, 3)
    np.testing.assert_array_equal(truth.u.isel(time=0), inputs["u0"])
    np.testing.assert_array_equal(truth.f[:, :-1], inputs["f"])
    np.testing.assert_array_equal(truth.u[:, 1:], SMALL.solve(inputs)["u"])
    assert not truth.f.isel(time=-1).any()


def test_the_key_decides(truth):
    xr.testing.assert_identical(trajectories(SMALL, KEY, 3), truth)
    assert (SMALL.trajectories(jax.random.key(1), samples=3).u != truth.u).any()


@pytest.mark.parametrize("instants", [4, 5])
def test_run_repeats_the_trajectories(truth, instants):
    """The last row of the control, which acts no more, may be there or not."""
    again = SMALL.run(truth.u.isel(time=0), truth.f.isel(time=slice(instants)))
    xr.testing.assert_allclose(again, truth, atol=1e-6)


def test_run_does_not_mind_the_order_of_dimensions(truth):
    turned = truth.transpose("x", "time", "sample")
    again = run(SMALL, turned.u.isel(time=0), turned.f)
    xr.testing.assert_allclose(again, truth, atol=1e-6)


def test_run_of_a_single_trajectory(truth):
    one = truth.isel(sample=1)
    again = SMALL.run(one.u.isel(time=0), one.f)
    assert again.u.dims == ("sample", "time", "x")
    np.testing.assert_allclose(again.u[0], one.u, atol=1e-6)


def test_run_broadcasts_over_members(truth):
    """One initial state, an ensemble of controls."""
    factors = xr.DataArray([1.0, 0.0], dims="member").astype("float32")
    ensemble = SMALL.run(truth.u.isel(time=0), truth.f * factors)
    assert ensemble.u.dims == ("sample", "member", "time", "x")
    np.testing.assert_allclose(ensemble.u.isel(member=0), truth.u, atol=1e-6)
    calm = SMALL.run(truth.u.isel(time=0), 0 * truth.f)
    np.testing.assert_allclose(ensemble.u.isel(member=1), calm.u, atol=1e-6)


def test_run_of_mixed_precision_takes_the_higher(truth):
    again = SMALL.run(truth.u.isel(time=0).astype(float), truth.f)
    assert again.u.dtype == np.float64


def test_run_refuses_another_grid(truth):
    shifted = truth.u.isel(time=0).assign_coords(x=truth.x + 0.02)
    with pytest.raises(ValueError, match=r"must be given at x .*\.interp\(x="):
        SMALL.run(shifted, truth.f)
    with pytest.raises(ValueError, match=r"must be given at time .*\.interp\(time="):
        SMALL.run(truth.u.isel(time=0), truth.f.isel(time=slice(3)))


def test_run_refuses_what_is_not_finite(truth):
    broken = truth.f.copy(deep=True)
    broken[2, 1, 5] = np.nan
    with pytest.raises(ValueError, match="f has NaN or Inf in sample 2"):
        SMALL.run(truth.u.isel(time=0), broken)


def test_run_refuses_batches_that_disagree(truth):
    with pytest.raises(ValueError, match="must agree on"):
        SMALL.run(truth.u.isel(time=0, sample=slice(2)), truth.f)


def test_a_diverging_solution_is_reported_with_its_sample(truth):
    strong = truth.f * xr.DataArray([1, 1e6, 1], dims="sample").astype("float32")
    with pytest.raises(ValueError, match="u diverged in sample 1 .*max_speed"):
        SMALL.run(truth.u.isel(time=0), strong)


def test_at_least_one_trajectory():
    with pytest.raises(ValueError, match="samples is 0"):
        SMALL.trajectories(KEY, samples=0)


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_parameters_are_positive_and_finite(value):
    with pytest.raises(ValueError, match="must be positive, but length"):
        check_positive(points=3, length=value)


def test_a_new_system_is_its_equation_only():
    system = Growth()
    data = system.trajectories(KEY, samples=2)
    np.testing.assert_allclose(data.y.diff("time"), data.v[:, :-1], rtol=1e-12)
    again = system.run(data.y.isel(time=0), data.v)
    xr.testing.assert_allclose(again, data)


@pytest.fixture(scope="module")
def basin():
    return Basin().trajectories(KEY, samples=2)


def test_what_accompanies_the_states_is_known_from_the_first_step_on(basin):
    assert set(basin.data_vars) == {"y", "v", "depth", "volume"}
    assert basin.depth.dims == ("sample", "time", "x")
    assert basin.volume.dims == ("sample", "time")
    assert basin.depth[:, 0].isnull().all() and basin.volume[:, 0].isnull().all()
    depth = (basin.y - basin.bed)[:, 1:]
    np.testing.assert_array_equal(basin.depth[:, 1:], depth)
    np.testing.assert_allclose(basin.volume[:, 1:], depth.mean("x"), rtol=1e-6)
    assert basin.volume.dtype == np.float32
    assert basin.volume.attrs == {"units": "m2", "cell_methods": "time: point"}


def test_what_is_static_is_a_coordinate(basin):
    assert isinstance(Basin(), PhysicalSystem)
    assert "bed" in basin.coords and basin.bed.dims == ("x",)
    assert basin.bed.dtype == np.float32 and basin.bed.attrs == {"units": "m"}
    np.testing.assert_array_equal(basin.bed, [1, 2])


def test_run_repeats_what_accompanies_and_what_is_static(basin):
    factors = xr.DataArray([1.0, 0.0], dims="member").astype("float32")
    again = Basin().run(basin.y.isel(time=0), basin.v * factors)
    assert again.volume.dims == ("sample", "member", "time")
    xr.testing.assert_allclose(again.isel(member=0), basin)
    np.testing.assert_array_equal(
        again.depth[:, 1, 1:], np.broadcast_to([1, 0], (2, 3, 2))
    )
    assert again.bed.dims == ("x",)


def test_run_asks_the_system_whether_its_inputs_make_sense(basin):
    start = basin.y.isel(time=0) - xr.DataArray([0, 1], dims="sample").astype("float32")
    with pytest.raises(ValueError, match="dry in sample 1"):
        Basin().run(start, basin.v)


def test_what_accompanies_must_be_finite_too(basin):
    strong = basin.v.copy(deep=True)
    strong[1] = 1e38
    with pytest.raises(ValueError, match="volume diverged in sample 1"):
        Basin().run(basin.y.isel(time=0), strong)


def test_none_of_this_is_needed():
    assert SMALL.static == Growth().static == {}
    assert SMALL.auxiliary == Growth().auxiliary == {}
    SMALL.check({"u0": jnp.full((1, 24), jnp.nan)})


@pytest.mark.parametrize("frames", [1, 3, 4, 7, 8])
def test_a_record_of_other_length_is_the_same_system(frames):
    """Same grid, interval and substeps: the same solution at the instants of both."""
    other = SMALL.over(frames)
    assert isinstance(other, PhysicalSystem)
    assert (other.substeps, other.spacing) == (SMALL.substeps, SMALL.spacing)
    both = min(frames, SMALL.frames)
    np.testing.assert_allclose(
        other.coords["time"][: both + 1], SMALL.coords["time"][: both + 1], rtol=1e-15
    )
    inputs = {n: f.astype(float) for n, f in SMALL.sample_inputs(KEY, 2).items()}
    longer = jnp.concatenate([inputs["f"], inputs["f"]], axis=1)[:, :frames]
    u = other.solve({"u0": inputs["u0"], "f": longer})["u"]
    np.testing.assert_allclose(
        u[:, :both], SMALL.solve(inputs)["u"][:, :both], rtol=1e-11, atol=1e-13
    )


def test_intervals_do_not_drift_and_substeps_stay_on_any_record():
    system = Burgers()
    for frames in range(1, 200):
        other = system.over(frames)
        assert other.substeps == system.substeps
        assert other.over(system.frames).duration == pytest.approx(8.0, rel=1e-15)


@pytest.mark.parametrize("frames", [0, -3])
def test_a_record_has_frames(frames):
    with pytest.raises(ValueError, match=f"frames is {frames}"):
        SMALL.over(frames)


@pytest.mark.parametrize("kind", [Advection, Burgers, CompressibleNavierStokes, Smoke])
def test_a_system_is_the_value_of_its_parameters(kind):
    """Equal systems are one key, so that what is compiled for one serves the other."""
    assert {kind(): 1, kind().over(8): 2} == {kind(): 1, kind().over(8): 2}
    assert kind() != kind().over(8) and kind().over(8) != kind().over(9)
