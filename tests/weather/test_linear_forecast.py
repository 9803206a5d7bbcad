"""The linear forecast and the errors of days that a fit has not seen."""

from functools import partial

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from wdno import weather

DIMS = ("sample", "time", "latitude", "longitude")
PLACE = (5, 6)
LEAD = np.arange(4.0)
FAINT = 1e-12
"""A penalty that is none."""


def windows(rule, samples=60, longitude=None):
    """Anomalies that follow a rule of (a(0), c, τ), with the map of an hour before."""
    draw = np.random.default_rng(0)
    start, change = draw.normal(0, 2, (2, samples, *PLACE))
    later = [start, *(rule(start, change, hours) for hours in LEAD[1:])]
    coords = {
        "time": LEAD,
        "latitude": 50.0 + np.arange(PLACE[0]),
        "longitude": np.arange(float(PLACE[1])) if longitude is None else longitude,
        "t2m_1h_before": (("sample", *DIMS[2:]), start - change),
    }
    return xr.Dataset({"t2m": (DIMS, np.stack(later, 1), {"units": "K"})}, coords)


def near(start, change, hours):
    return 0.8**hours * start + 0.3 * hours * change


def fitted(given, scales=(0.0,), penalty=FAINT):
    how = {"scales": scales, "penalty": penalty}
    return weather.LinearForecast.fit(given, ["t2m"], **how)


def test_weights_of_neighbours_are_found():
    given = windows(near)
    found = fitted(given)
    expected = np.stack([0.8**LEAD, 0.3 * LEAD], 1)[..., None]
    weights = found.near["t2m"].transpose("time", "state", "scale")
    np.testing.assert_allclose(weights, expected, atol=1e-10)
    np.testing.assert_allclose(found.forecast(given).t2m, given.t2m, atol=1e-9)
    np.testing.assert_array_equal(found.error.t2m, 1.0)  # nothing is off
    assert found.forecast(given).t2m.attrs["units"] == "K"


@pytest.mark.parametrize("mode", ["nearest", "wrap"])
def test_neighbours_are_those_on_the_globe(mode):
    """Round the globe the last longitude is next to the first, elsewhere it is not."""
    round_globe = np.arange(0.0, 360, 60) if mode == "wrap" else None

    def means(start, change, hours):
        sigma = (0, 1.5, 1.5)
        return hours * gaussian_filter(change, sigma, mode=("nearest", "nearest", mode))

    given = windows(means, longitude=round_globe)
    found = fitted(given, scales=(0.0, 1.5))
    np.testing.assert_allclose(found.forecast(given).t2m, given.t2m, atol=1e-9)
    weights = found.near["t2m"].sel(state="change", scale=1.5)
    np.testing.assert_allclose(weights, LEAD, atol=1e-9)


def test_whole_maps_are_regressed_with_a_penalty():
    """What neighbours leave is the ridge regression of the textbook, on all points."""
    draw = np.random.default_rng(1)
    far = draw.normal(0, 0.2, (np.prod(PLACE), np.prod(PLACE)))

    def rule(start, change, hours):
        return hours * (change.reshape(len(change), -1) @ far).reshape(start.shape)

    given, penalty = windows(rule, samples=20), 0.05
    found = fitted(given, penalty=penalty)
    start = given.t2m.values[:, 0]
    states = np.stack([start, start - given.t2m_1h_before.values], 1)
    weights = found.near["t2m"].transpose("time", "state", "scale").values[..., 0]
    left = given.t2m.values - np.einsum("ts,nsyx->ntyx", weights, states)
    z = states / np.sqrt((states**2).sum((2, 3)).mean(0))[:, None, None]
    z, left = z.reshape(20, -1), left.reshape(20, -1)
    ridge = z.T @ z / 20 + penalty * np.eye(z.shape[1])
    expected = z @ np.linalg.solve(ridge, z.T @ left / 20)
    forecast = found.forecast(given).t2m.values
    near_part = np.einsum("ts,nsyx->ntyx", weights, states)
    ours = (forecast - near_part).reshape(20, -1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, atol=0.01 * scale)
    np.testing.assert_array_equal(forecast[:, 0], start)


def test_states_that_say_the_same_are_no_harm():
    """Where nothing was an hour before, the change is the anomaly itself."""
    given = windows(lambda start, change, hours: 0.8**hours * start)
    given = given.assign_coords(t2m_1h_before=0 * given.t2m_1h_before)
    found = fitted(given, scales=(0.0, 2.0, 2.0))
    np.testing.assert_allclose(found.forecast(given).t2m, given.t2m, atol=1e-9)
    assert np.abs(found.near["t2m"]).max() < 1.0 + 1e-9


def test_departures_return():
    given = windows(lambda start, change, hours: hours * change + start[::-1])
    guess = fitted(given, scales=(0.0, 2.0), penalty=0.5)
    moved = guess.departures(given)
    np.testing.assert_allclose((moved.t2m**2).mean("sample")[1:], 1)
    np.testing.assert_allclose(guess.from_departures(moved).t2m, given.t2m, atol=1e-12)
    several = moved.assign(t2m=xr.concat([0 * moved.t2m, moved.t2m], "member"))
    back = guess.from_departures(several).t2m
    np.testing.assert_allclose(back[0], guess.forecast(given).t2m, atol=1e-12)
    np.testing.assert_allclose(back[1], given.t2m, atol=1e-12)


def test_fits_that_cannot_be_are_refused():
    given = windows(near)
    calm = (0 * given).assign_coords(t2m_1h_before=0 * given.t2m_1h_before)
    for wrong in (given.isel(sample=[0]), calm, given.where(given.time < 3)):
        with pytest.raises(ValueError, match=r"two windows or more .* of more days"):
            fitted(wrong)
    with pytest.raises(ValueError, match=r"needs .* here t2m_1h_before, but got \[\]"):
        fitted(given.drop_vars("t2m_1h_before"))
    wrong = [((), 1.0), ((3.0,), 1.0), ((0.0, -1.0), 1.0), ((0.0,), 0.0)]
    for scales, penalty in wrong:
        with pytest.raises(ValueError, match="the place itself.* positive penalty"):
            fitted(given, scales, penalty)
    moved = fitted(given).departures(given).drop_vars("t2m_1h_before")
    with pytest.raises(ValueError, match="here t2m_1h_before"):
        fitted(given).from_departures(moved)


def noise(days):
    """A record of noise without memory: nothing can be forecast."""
    draw = np.random.default_rng(0)
    time = np.arange(24 * days) * np.timedelta64(1, "h") + np.datetime64("2019-03-01")
    places = {"latitude": 50.0 + np.arange(3), "longitude": np.arange(4.0)}
    values = draw.normal(0, 1, (len(time), 3, 4))
    coords = {"time": time.astype("M8[ns]"), **places}
    return xr.Dataset({"t2m": (("time", *places), values)}, coords)


def test_errors_are_those_of_days_that_were_not_seen():
    """A fit to noise explains some of it, and makes errors elsewhere larger."""
    record = noise(10)
    fit = partial(
        weather.LinearForecast.fit, variables=["t2m"], scales=(0.0,), penalty=0.01
    )
    found = weather.cross_fitted([record], ["t2m"], fit, 1, 24)
    cut = ([record], found.climatology, ["t2m"], 1, 24)
    seen = fit(weather.anomaly_windows(*cut)).error.t2m[1:]
    unseen = found.forecast.error.t2m[1:]
    assert float((seen**2).mean()) < 0.9 < 1.1 < float((unseen**2).mean())
    np.testing.assert_allclose((found.windows.t2m**2).mean("sample")[1:], 1, rtol=1e-6)
    starts = record.time.values[1:-24]
    np.testing.assert_array_equal(np.sort(found.windows.init_time), starts)


def test_no_day_within_a_forecast_of_a_part_is_fitted():
    spans = []

    def spy(windows):
        spans.append(np.unique(windows.valid_time.values.astype("M8[D]")))
        return weather.DampedPersistence.fit(windows, ["t2m"])

    halves = [noise(10).isel(time=slice(120)), noise(10).isel(time=slice(144, None))]
    found = weather.cross_fitted(halves, ["t2m"], spy, 0, 24, folds=3)
    days = np.unique(xr.concat(halves, "time").time.values.astype("M8[D]"))
    parts = np.array_split(days, 3)
    assert len(spans) == 4 and np.array_equal(spans[3], days)
    for part, span in zip(parts, spans, strict=False):
        assert not set(span) & set(np.arange(part[0] - 1, part[-1] + 2))
    assert isinstance(found.forecast, weather.DampedPersistence)


def test_too_few_days_are_refused():
    fit = partial(weather.DampedPersistence.fit, variables=["t2m"])
    for folds in (1, 6):
        with pytest.raises(ValueError, match=f"got {folds} folds of 5 days"):
            weather.cross_fitted([noise(5)], ["t2m"], fit, 0, 24, folds)
    with pytest.raises(ValueError, match="leaves others to fit to"):
        weather.cross_fitted([noise(3)], ["t2m"], fit, 0, 24, 3)
    with pytest.raises(ValueError, match="one record or more"):
        weather.pooled_climatology([], ["t2m"])
