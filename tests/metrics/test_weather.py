"""Scores on the sphere against closed forms and independent implementations."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial import distance

from wdno import metrics

DIMS = ("sample", "time", "latitude", "longitude")
CELLS = -90 + 180 / 16 * (np.arange(16) + 0.5)
POLES = np.linspace(-90, 90, 17)


def globe(values, latitude=CELLS, *dims):
    values = np.asarray(values, float)
    longitude = np.arange(values.shape[-1]) * 360 / values.shape[-1]
    coords = {"latitude": latitude, "longitude": longitude}
    return xr.DataArray(values, coords, dims or DIMS, attrs={"units": "K"})


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def pair():
    """An ensemble of 5 for 3 forecasts of 4 lead times, and the truth."""
    truth = draw(3, 4, 16, 8)
    center = truth + 0.5 * draw(3, 4, 16, 8, seed=2)
    members = center[:, None] + 0.5 * draw(3, 5, 4, 16, 8, seed=1)
    return globe(members, CELLS, "sample", "member", *DIMS[1:]), globe(truth)


def areas(latitude):
    """Shares of the sphere by integrating the cosine finely over each cell."""
    middle = (latitude[1:] + latitude[:-1]) / 2
    bounds = np.concatenate([[-90], middle, [90]])
    fine = np.deg2rad(np.linspace(bounds[:-1], bounds[1:], 2001))
    return np.trapezoid(np.cos(fine), fine, axis=0) / 2


@pytest.mark.parametrize("latitude", [CELLS, POLES, [-80, -30, 0, 10, 75]])
def test_weights_are_areas(latitude):
    latitude = np.asarray(latitude, float)
    given = xr.DataArray(latitude, {"latitude": latitude}, dims="latitude")
    if len(latitude) == 5:  # uneven, but pole to pole
        assert abs(np.diff(latitude)).max() > 15
    weights = metrics.latitude_weights(given)
    expected = areas(latitude)
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-6)
    falling = metrics.latitude_weights(given[::-1])
    np.testing.assert_allclose(falling, weights[::-1])
    assert weights.mean() == pytest.approx(1)


def test_poles_have_the_weight_of_their_caps():
    given = xr.DataArray(POLES, {"latitude": POLES}, dims="latitude")
    weights = metrics.latitude_weights(given)
    assert 0 < weights[0] < weights[1] / 3  # the cosine would make it zero


@pytest.mark.parametrize(
    "latitude",
    [[-80, 0, 20, -20, 80], [-90, 0, 100], [0.0], [10, 10, 20]],
    ids=str,
)
def test_disorder_has_no_weights(latitude):
    given = xr.DataArray(np.array(latitude, float), dims="latitude")
    with pytest.raises(ValueError, match="two or more between -90 and 90"):
        metrics.latitude_weights(given)


def test_even_regions_weigh_as_the_cosine():
    latitude = xr.DataArray(np.arange(50.25, 58.1, 0.25), dims="latitude")
    cosine = np.cos(np.deg2rad(latitude))
    weights = metrics.latitude_weights(latitude)
    np.testing.assert_allclose(weights, cosine / cosine.mean(), rtol=1e-12)
    falling = metrics.latitude_weights(latitude[::-1])
    np.testing.assert_allclose(falling, weights[::-1], rtol=1e-12)


@pytest.mark.parametrize("latitude", [CELLS, POLES], ids=["cells", "poles"])
@pytest.mark.parametrize("rows", [slice(4, 9), slice(0, 5), slice(9, None)], ids=str)
def test_regions_weigh_as_on_the_globe(latitude, rows):
    given = xr.DataArray(latitude, {"latitude": latitude}, dims="latitude")
    expected = metrics.latitude_weights(given)[rows]
    weights = metrics.latitude_weights(given[rows])
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-12)


def test_scores_of_a_region_are_means_over_its_area(pair):
    forecast, truth = (part[..., 9:14, 2:7] for part in pair)
    error = (forecast.isel(member=0) - truth).values ** 2
    weights = areas(CELLS)[9:14]
    expected = np.average(error.mean((0, -1)), axis=-1, weights=weights) ** 0.5
    rmse = metrics.latitude_weighted_rmse(forecast.isel(member=0), truth)
    np.testing.assert_allclose(rmse, expected, rtol=1e-6)


def test_means_over_the_globe_are_integrals():
    latitude = -90 + (np.arange(180) + 0.5)
    field = globe(
        np.sin(np.deg2rad(latitude))[:, None] ** 2 * np.ones(4),
        latitude,
        "latitude",
        "longitude",
    )
    assert metrics.area_mean(field) == pytest.approx(1 / 3, abs=1e-4)
    with pytest.raises(ValueError, match=r"\['longitude'\] are not among"):
        metrics.area_mean(field.rename(longitude="x"))
    with pytest.raises(ValueError, match="no coordinate"):
        metrics.area_mean(field.drop_vars("latitude"))


def test_the_root_comes_last(pair):
    forecast, truth = pair[0].isel(member=0), pair[1]
    weights = areas(CELLS)
    errors = (forecast - truth).values ** 2
    by_sample = np.average(errors.mean(-1), axis=-1, weights=weights)
    mse = metrics.latitude_weighted_mse(forecast, truth)
    assert mse.dims == ("sample", "time") and mse.attrs["units"] == "(K)^2"
    np.testing.assert_allclose(mse, by_sample, rtol=1e-6)
    rmse = metrics.latitude_weighted_rmse(forecast, truth)
    assert rmse.dims == ("time",)
    np.testing.assert_allclose(rmse, np.sqrt(by_sample.mean(0)), rtol=1e-6)
    assert (np.sqrt(by_sample).mean(0) < rmse.values).all()


def test_errors_weigh_less_near_the_poles():
    truth = globe(np.zeros((1, 1, 16, 8)))
    polar, tropical = truth.copy(), truth.copy()
    polar[0, 0, 0] = 1
    tropical[0, 0, 8] = 1
    scores = [
        metrics.latitude_weighted_rmse(f, truth).item() for f in (polar, tropical)
    ]
    ratio = np.cos(np.deg2rad(CELLS[0])) / np.cos(np.deg2rad(CELLS[8]))
    assert (scores[0] / scores[1]) ** 2 == pytest.approx(ratio, rel=0.01)


def test_falling_latitudes_and_levels_change_nothing(pair):
    forecast, truth = pair[0].isel(member=0), pair[1]
    score = metrics.latitude_weighted_rmse
    turned = [
        part[:, :, ::-1].transpose("longitude", ...) for part in (forecast, truth)
    ]
    np.testing.assert_allclose(score(*turned), score(forecast, truth))
    levels = [xr.concat([part, 2 * part], "level") for part in (forecast, truth)]
    result = score(*levels)
    assert set(result.dims) == {"time", "level"}
    np.testing.assert_allclose(result.isel(level=1), 2 * score(forecast, truth))


def test_anomalies_correlate_as_weighted_cosines(pair):
    forecast, truth = pair[0].isel(member=0), pair[1]
    climatology = globe(0.3 + draw(4, 16, 8, seed=3), CELLS, *DIMS[1:])
    result = metrics.anomaly_correlation(forecast, truth, climatology)
    weights = np.repeat(areas(CELLS), 8)
    for b in range(3):
        for t in range(4):
            ours, theirs = (
                (part.values[b, t] - climatology.values[t]).ravel()
                for part in (forecast, truth)
            )
            expected = 1 - distance.cosine(ours, theirs, weights)
            assert result[b, t] == pytest.approx(expected, rel=1e-6)
    same = metrics.anomaly_correlation(truth, truth, climatology)
    np.testing.assert_allclose(same, 1)
    mirrored = metrics.anomaly_correlation(2 * climatology - truth, truth, climatology)
    np.testing.assert_allclose(mirrored, -1)
    of_members = metrics.anomaly_correlation(pair[0], truth, climatology)
    np.testing.assert_allclose(of_members.isel(member=0), result)


def test_anomalies_are_not_centred():
    """A bias over the globe is an error: a centred correlation would not see it."""
    truth = globe(draw(1, 1, 16, 8))
    flat = globe(np.zeros((16, 8)), CELLS, *DIMS[2:])
    assert metrics.anomaly_correlation(truth + 2, truth, flat).item() < 0.6


def test_borders_of_the_anomaly_correlation(pair):
    truth = pair[1]
    score = metrics.anomaly_correlation
    with pytest.raises(ValueError, match=r"\['dayofyear'\] besides.*climatology_at"):
        score(truth, truth, truth[0, 0].expand_dims(dayofyear=3))
    with pytest.raises(ValueError, match="Climatology and truth .*`latitude` differ"):
        score(truth, truth, truth[0, 0].assign_coords(latitude=CELLS[::-1]))
    with pytest.raises(ValueError, match="Climatology .* `time` they have 2 and 4"):
        score(truth, truth, truth[0, :2])
    with pytest.raises(ValueError, match="climatology must be finite"):
        score(truth, truth, truth[0, 0].where(truth[0, 0] > 0))
    with pytest.raises(ValueError, match="climatology at index .*'sample': 1"):
        score(truth + 1, truth, truth[1])


def test_a_climatology_is_selected_by_date():
    days, hours = np.arange(1, 367), [0, 12]
    values = 10.0 * days[:, None, None, None] + np.arange(2)[None, :, None, None]
    coords = {"dayofyear": days, "hour": hours, "latitude": CELLS}
    coords["longitude"] = np.arange(8) * 45
    whole = xr.DataArray(
        values * np.ones((1, 1, 16, 8)), coords, ("dayofyear", "hour", *DIMS[2:])
    )
    start = np.array(["2020-02-28T12", "2021-12-31T00"], "M8[ns]")
    lead = np.arange(3) * np.timedelta64(12, "h")
    dates = xr.DataArray(start[:, None] + lead, dims=DIMS[:2])
    found = metrics.climatology_at(whole, dates)
    assert set(found.dims) == set(DIMS)
    expected = [[591, 600, 601], [3650, 3651, 10]]  # the leap day is the 60th
    np.testing.assert_array_equal(found[:, :, 0, 0], expected)
    truth = globe(found.transpose(*DIMS).values + 1)
    assert (metrics.anomaly_correlation(truth, truth, found) == 1).all()
    daily = metrics.climatology_at(whole.isel(hour=0, drop=True), dates)
    np.testing.assert_array_equal(daily[0, :, 0, 0], [590, 600, 600])
    hourly = metrics.climatology_at(whole.isel(dayofyear=0, drop=True), dates)
    np.testing.assert_array_equal(hourly[:, :, 3, 2], [[11, 10, 11], [10, 11, 10]])
    assert set(hourly.dims) == set(DIMS)
    with pytest.raises(ValueError, match="by dayofyear, hour or both, but has"):
        metrics.climatology_at(whole[0, 0], dates)
    with pytest.raises(ValueError, match=r"every hour of the dates, but lacks \[12\]"):
        metrics.climatology_at(whole.sel(hour=[0]), dates)
    with pytest.raises(ValueError, match=r"every dayofyear .* lacks \[365\]"):
        metrics.climatology_at(whole.sel(dayofyear=days[:-2]), dates)


def test_probabilities_are_weighted_by_area(pair):
    scoringrules = pytest.importorskip("scoringrules")
    members, truth = (part.values for part in pair)
    points = scoringrules.crps_ensemble(truth, members, m_axis=1, estimator="fair")
    expected = np.average(points.mean(-1), axis=-1, weights=areas(CELLS))
    result = metrics.latitude_weighted_crps(*pair)
    assert result.dims == ("sample", "time")
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_spread_and_skill_by_lead_time_equal_their_definition(pair):
    members, truth = (part.values for part in pair)
    variance = members.var(1, ddof=1)
    error = (members.mean(1) - truth) ** 2 - variance / 5
    both = [
        np.average(part.mean((0, -1)), axis=-1, weights=areas(CELLS))
        for part in (variance, error)
    ]
    result = metrics.latitude_weighted_spread_skill(*pair)
    assert result.dims == ("time",)
    np.testing.assert_allclose(result, np.sqrt(both[0] / both[1]), rtol=1e-6)


@pytest.mark.parametrize("size", [2, 5])
def test_a_reliable_ensemble_scores_one_at_any_size(size):
    dims = ("sample", "member", *DIMS[1:])
    members = globe(draw(40, size, 2, 16, 32, seed=4), CELLS, *dims)
    truth = globe(draw(40, 2, 16, 32, seed=5))
    result = metrics.latitude_weighted_spread_skill(members, truth)
    np.testing.assert_allclose(result, 1, atol=0.04)
    biased = np.sqrt(size / (size + 1))  # without the correction of the skill
    assert abs(result - biased).min() > 0.04


@pytest.mark.parametrize("points", [7, 8])
def test_zonal_energy_is_an_integral_along_the_circle(points):
    field = globe(draw(2, 3, 16, points))
    result = metrics.zonal_energy_spectrum(field)
    assert result.dims == (*DIMS[:3], "zonal_wavenumber")
    radius = (6357e3 + 6378e3) / 2
    circle = 2 * np.pi * radius * np.cos(np.deg2rad(CELLS))
    integral = (field**2).mean("longitude") * circle
    total = result.sum("zonal_wavenumber")
    if points % 2:
        np.testing.assert_allclose(total, integral)
    else:  # the last wave is doubled, as in the original
        np.testing.assert_allclose(total - result[..., -1] / 2, integral)


def test_a_zonal_wave_has_its_energy_at_its_number():
    wave = 3 * np.cos(np.deg2rad(2 * np.arange(0, 360, 30)))
    result = metrics.zonal_energy_spectrum(globe(np.tile(wave, (1, 1, 16, 1))))
    circle = 2 * np.pi * 6367500 * np.cos(np.deg2rad(CELLS[4]))
    expected = np.zeros(7)
    expected[2] = circle * 9 / 2
    np.testing.assert_allclose(result[0, 0, 4], expected, atol=1e-6)
    assert result.attrs["units"] == "m (K)^2"


def test_half_a_globe_has_no_zonal_waves():
    field = globe(np.ones((1, 1, 16, 8)))
    half = field.assign_coords(longitude=np.arange(8) * 22.5)
    with pytest.raises(ValueError, match="longitudes span 180 degrees"):
        metrics.zonal_energy_spectrum(half)


SCORES = [
    metrics.latitude_weighted_rmse,
    metrics.latitude_weighted_crps,
    metrics.latitude_weighted_spread_skill,
]


@pytest.mark.parametrize("score", SCORES)
def test_other_grids_and_values_that_are_not_finite_are_refused(score, pair):
    members, truth = pair
    with pytest.raises(ValueError, match="along `time`"):
        score(members, truth[:, 1:])
    bad = members.copy()
    bad[1, 2, 3, 4, 5] = np.inf
    with pytest.raises(ValueError, match="forecast must be finite.*'sample': 1"):
        score(bad, truth)
    plane = {"latitude": "y", "longitude": "x"}
    with pytest.raises(ValueError, match="need latitude and longitude"):
        score(members.rename(plane), truth.rename(plane))


@pytest.mark.parametrize("score", [*SCORES[1:], metrics.energy_score])
def test_one_member_has_no_spread(score, pair):
    with pytest.raises(ValueError, match="at least 2"):
        score(pair[0].isel(member=[0]), pair[1])
