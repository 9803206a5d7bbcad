"""Advection on a ring, exact."""

import dataclasses

import jax
import jax.numpy as jnp
import netCDF4
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from wdno.systems import Advection, PhysicalSystem, generate, verify

KEY = jax.random.key(0)
SMALL = Advection(points=32, frames=10, duration=0.5)


def wave(x, number=3, phase=0.4):
    return np.sin(2 * np.pi * number * x + phase)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1.0, 2.5])
def test_waves_move_at_their_speed(dtype, length):
    system = dataclasses.replace(SMALL, length=length)
    time, x = system.coords["time"][1:, None], system.coords["x"] / length
    speed = np.array([0.1, -1.7, 30.0])
    inputs = {
        "u0": jnp.asarray(np.stack([wave(x)] * 3), dtype),
        "advection_speed": jnp.asarray(speed, dtype),
    }
    u = system.solve(inputs)["u"]
    expected = [wave(x - s * time / length) for s in speed]
    assert u.dtype == dtype and u.shape == (3, 10, 32)
    tolerance = 1e-12 if dtype == np.float64 else 2e-4  # of β, times all those turns
    np.testing.assert_allclose(u, expected, atol=tolerance)


def test_whole_points_are_shifts_of_any_state():
    u0 = jax.random.normal(KEY, (1, 32))
    speed = jnp.array([1 / 32 / 0.05])  # one point an interval
    u = SMALL.solve({"u0": u0, "advection_speed": speed})["u"]
    shifted = [np.roll(u0[0], n) for n in range(1, 11)]
    np.testing.assert_allclose(u[0], shifted, atol=1e-12)


def test_mean_and_energy_are_kept():
    inputs = SMALL.sample_inputs(KEY, 20)
    u = np.asarray(SMALL.solve(inputs)["u"], float)
    u0 = np.asarray(inputs["u0"], float)
    np.testing.assert_allclose(
        u.mean(-1), u0.mean(-1)[:, None] + 0 * u.mean(-1), atol=1e-6
    )
    resolved = np.abs(np.fft.rfft(u, axis=-1))
    before = np.abs(np.fft.rfft(u0, axis=-1))[:, None] + 0 * resolved
    np.testing.assert_allclose(resolved[..., :-1], before[..., :-1], atol=1e-4)


def test_trajectories_carry_their_speed_and_can_be_run_again():
    truth = Advection(points=16, frames=4).trajectories(KEY, samples=3)
    assert isinstance(SMALL, PhysicalSystem) and list(truth.data_vars) == ["u"]
    assert truth.advection_speed.dims == ("sample",)
    assert truth.advection_speed.attrs["units"] == "1"
    system = Advection(points=16, frames=4)
    again = system.run(truth.u.isel(time=0))
    xr.testing.assert_allclose(again, truth, atol=1e-6)
    # one state at several speeds
    speeds = xr.DataArray(np.float32([0.1, 1]), dims="member")
    start = truth.isel(time=0, sample=0, drop=True)
    fan = system.run(start.assign_coords(advection_speed=speeds))
    assert fan.u.dims == ("member", "time", "x")
    assert fan.advection_speed.dims == ("member",)


def test_what_is_missing_is_named():
    truth = SMALL.trajectories(KEY, samples=2)
    bare = truth.u.isel(time=0).drop_vars("advection_speed")
    with pytest.raises(ValueError, match="'advection_speed' is missing"):
        SMALL.run(bare)
    with pytest.raises(ValueError, match="needs inputs of the shapes"):
        SMALL.solve({"u0": jnp.zeros((2, 32))})


def test_a_file_has_the_speed_of_every_trajectory(tmp_path):
    path = generate(SMALL, tmp_path / "a.nc", samples=5, seed=3, chunk=2)
    verify(path)
    with xr.open_dataset(path) as file:
        assert file.advection_speed.dims == ("sample",)
        key = jax.random.key(3, impl="threefry2x32")
        parts = [
            SMALL.trajectories(jax.random.fold_in(key, n), size)
            for n, size in enumerate((2, 2, 1))
        ]
        speeds = np.concatenate([part.advection_speed for part in parts])
        np.testing.assert_array_equal(file.advection_speed, speeds)
    with (tmp_path / "b.nc").open("wb") as copy:
        copy.write(path.read_bytes())
    with netCDF4.Dataset(tmp_path / "b.nc", "a") as file:
        file["advection_speed"][4] = 0.5
    with pytest.raises(ValueError, match="checksum"):
        verify(tmp_path / "b.nc")


def test_speeds_are_log_uniform():
    speed = np.asarray(Advection().sample_inputs(KEY, 2000)["advection_speed"])
    share = np.log(speed / 0.1) / np.log(70)
    assert stats.kstest(share, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"duration": 0.0}, "duration is 0"),
        ({"speeds": (0.0, 1.0)}, "slowest is 0"),
        ({"speeds": (2.0, 1.0)}, r"\(2.0, 1.0\). Exchange"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Advection(**parameters)
