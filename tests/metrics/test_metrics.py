"""Scores against hand values, closed forms and independent implementations."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from wdno import metrics

POINT = [
    metrics.mse,
    metrics.mae,
    metrics.max_error,
    metrics.relative_l2,
    metrics.nrmse_per_step,
]
ENSEMBLE = [
    metrics.rmse_ensemble_mean,
    metrics.rmse_member,
    metrics.fair_crps,
    metrics.spread_skill,
    metrics.rank_histogram,
]


def field(values, *dims: str) -> xr.DataArray:
    dims = dims or ("sample", "time", "x")
    values = np.asarray(values, dtype=float)
    sizes = dict(zip(dims, values.shape, strict=True))
    grid = [dim for dim in sizes if dim not in ("sample", "member")]
    coords = {dim: np.linspace(0, 1, sizes[dim]) for dim in grid}
    return xr.DataArray(values, coords, dims, attrs={"units": "m s-1"})


def ensemble(values) -> xr.DataArray:
    return field(values, "sample", "member", "time", "x")


@pytest.fixture
def pair() -> tuple[xr.DataArray, xr.DataArray]:
    """An ensemble (4 samples, 5 members, 6 times, 7 points) and a truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 6, 7))
    members = truth[:, None] + 0.3 * rng.normal(size=(4, 5, 6, 7)) + 0.1
    return ensemble(members), field(truth)


# Hand values: one sample, two times, two points.
TRUTH = field([[[3.0, 4.0], [0.0, 1.0]]])
FORECAST = field([[[3.0, 2.0], [1.0, 1.0]]])


@pytest.mark.parametrize(
    "score, expected, units",
    [
        (metrics.mse, (0 + 4 + 1 + 0) / 4, "(m s-1)^2"),
        (metrics.mae, (0 + 2 + 1 + 0) / 4, "m s-1"),
        (metrics.max_error, 2.0, "m s-1"),
        (metrics.relative_l2, np.sqrt(5 / 26), "1"),
        (metrics.nrmse_per_step, (np.sqrt(4 / 25) + np.sqrt(1 / 1)) / 2, "1"),
    ],
)
def test_hand_values(score, expected, units):
    result = score(FORECAST, TRUTH)
    assert result.dims == ("sample",)
    assert result.item() == pytest.approx(expected, rel=1e-14)
    assert result.attrs["units"] == units
    assert result.name == score.__name__


def test_nrmse_over_time_keeps_time():
    result = metrics.nrmse_over_time(FORECAST, TRUTH)
    np.testing.assert_allclose(result.values, [[0.4, 1.0]])


def test_per_step_error_is_not_the_frobenius_error():
    """A decayed truth: equal absolute errors weigh far more where it is small."""
    decay = np.exp(-np.arange(8.0))[None, :, None] * np.ones((1, 8, 5))
    truth, forecast = field(decay), field(decay + 0.01)
    per_step = metrics.nrmse_per_step(forecast, truth).item()
    assert per_step == pytest.approx(0.01 * np.exp(np.arange(8.0)).mean())
    frobenius = metrics.relative_l2(forecast, truth).item()
    assert frobenius == pytest.approx(
        0.01 / np.sqrt(np.exp(-2 * np.arange(8.0)).mean())
    )
    assert per_step > 10 * frobenius


def test_average_divides_by_the_number_of_samples(pair):
    forecast, truth = pair[0].mean("member"), pair[1]
    errors = (forecast - truth).values
    per_step = np.sqrt((errors**2).mean(2) / (truth.values**2).mean(2))
    mean = metrics.nrmse_per_step(forecast, truth).mean("sample").item()
    assert mean == pytest.approx(per_step.mean(axis=0).mean(), rel=1e-13)


def test_excluding_the_perfect_initial_state_raises_the_error():
    truth = field(np.ones((2, 81, 4)))
    forecast = truth + 0.5 * (truth.time > 0)
    excluded = [metrics.exclude_initial(part) for part in (forecast, truth)]
    assert excluded[0].sizes["time"] == 80
    np.testing.assert_allclose(metrics.mse(*excluded), 0.25)
    np.testing.assert_allclose(metrics.mse(forecast, truth), 0.25 * 80 / 81)


def test_two_dimensions_of_space_and_any_order_of_dims():
    rng = np.random.default_rng(1)
    truth = field(rng.normal(size=(2, 3, 4, 5)), "sample", "time", "y", "x")
    forecast = truth + field(rng.normal(size=(2, 3, 4, 5)), *truth.dims)
    flat = [field(part.values.reshape(2, 3, 20)) for part in (forecast, truth)]
    for score in POINT:
        np.testing.assert_allclose(
            score(forecast.transpose("x", "time", "sample", "y"), truth),
            score(*flat),
            rtol=1e-13,
        )


def test_deterministic_scores_keep_members(pair):
    for score in POINT:
        result = score(*pair)
        assert set(result.dims) == {"sample", "member"}
        second = score(pair[0].isel(member=1), pair[1])
        np.testing.assert_allclose(result.isel(member=1), second)


def test_single_precision_data_are_scored_in_double():
    truth = field(1000 + np.zeros((1, 50, 50))).astype("float32")
    forecast = (truth + np.float32(0.001)).astype("float32")
    exact = (np.float64(forecast.values[0, 0, 0]) - 1000.0) ** 2
    assert metrics.mse(forecast, truth).dtype == np.float64
    assert metrics.mse(forecast, truth).item() == pytest.approx(exact, rel=1e-12)
    shifted = forecast.assign_coords(x=truth.x.astype("float32"))
    assert metrics.mse(shifted, truth).item() == pytest.approx(exact, rel=1e-12)


def test_fair_crps_equals_its_definition(pair):
    members, truth = (part.values for part in pair)
    size = members.shape[1]
    skill = abs(members - truth[:, None]).mean(axis=1)
    pairwise = abs(members[:, :, None] - members[:, None]).sum(axis=(1, 2))
    expected = (skill - pairwise / (2 * size * (size - 1))).mean(axis=(1, 2))
    biased = (skill - pairwise / (2 * size**2)).mean(axis=(1, 2))
    result = metrics.fair_crps(*pair)
    np.testing.assert_allclose(result, expected, rtol=1e-13)
    assert (biased > result.values).all()


def test_fair_crps_equals_scoringrules(pair):
    scoringrules = pytest.importorskip("scoringrules")
    members, truth = (part.values for part in pair)
    expected = scoringrules.crps_ensemble(truth, members, m_axis=1, estimator="fair")
    np.testing.assert_allclose(
        metrics.fair_crps(*pair), expected.mean(axis=(1, 2)), rtol=1e-12
    )


@pytest.mark.parametrize("size", [2, 3, 16])
def test_gaussian_ensemble_is_fair_at_any_size(size):
    """E[CRPS] = sigma / sqrt(pi) and spread / skill = 1, whatever the size."""
    rng = np.random.default_rng(2)
    sigma, points = 0.7, 100
    members = ensemble(sigma * rng.normal(size=(10, size, points, points)))
    truth = field(sigma * rng.normal(size=(10, points, points)))
    crps = metrics.fair_crps(members, truth).mean().item()
    assert crps == pytest.approx(sigma / np.sqrt(np.pi), rel=0.01)
    assert metrics.spread_skill(members, truth).item() == pytest.approx(1, rel=0.02)
    assert metrics.ensemble_variance(members).mean().item() == pytest.approx(
        sigma**2, rel=0.02
    )
    ranks = metrics.rank_histogram(members, truth).mean("sample")
    np.testing.assert_allclose(ranks, 1 / (size + 1), rtol=0.06)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_spread_skill_measures_wrong_confidence(spread):
    rng = np.random.default_rng(3)
    members = ensemble(spread * rng.normal(size=(6, 8, 80, 80)))
    truth = field(rng.normal(size=(6, 80, 80)))
    assert metrics.spread_skill(members, truth).item() == pytest.approx(
        spread, rel=0.02
    )
    ranks = metrics.rank_histogram(members, truth).mean("sample").values
    assert (ranks[0] > ranks[4]) == (spread < 1)


def test_spread_skill_by_hand_and_without_skill():
    members = ensemble([[[[0.0]], [[2.0]]]])
    # Mean 1, unbiased variance 2; error of the mean 3: 9 - 2/2 = 8.
    assert metrics.spread_skill(members, field([[[4.0]]])).item() == pytest.approx(0.5)
    assert metrics.unbiased_mse_ensemble_mean(members, field([[[4.0]]])).item() == 8
    assert metrics.spread_skill(members, field([[[1.0]]])).item() == np.inf


def test_root_mean_squares_of_mean_and_member():
    members, truth = ensemble([[[[0.0, 0.0]], [[2.0, 4.0]]]]), field([[[1.0, 1.0]]])
    mean = metrics.rmse_ensemble_mean(members, truth).item()
    member = metrics.rmse_member(members, truth).item()
    assert mean == pytest.approx(np.sqrt((0 + 1) / 2))
    assert member == pytest.approx((1 + np.sqrt((1 + 9) / 2)) / 2)


def test_rank_histogram_counts_and_splits_ties():
    members = ensemble([[[[0.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]]])
    truth = field([[[0.5, 2.0, 0.0]]])
    result = metrics.rank_histogram(members, truth)
    # Ranks 1 and 2; the third point ties with both members: a third to each rank.
    np.testing.assert_allclose(result.values, [np.array([1, 4, 4]) / 9])
    assert result.dims == ("sample", "rank")


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(4).gamma(2.0, size=40)
    mean, low, high = metrics.bootstrap_interval(
        xr.DataArray(values, dims="sample"), resamples=20_000
    )
    peer = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=5
    ).confidence_interval
    assert mean.item() == pytest.approx(values.mean())
    assert low.item() == pytest.approx(peer.low, rel=0.01)
    assert high.item() == pytest.approx(peer.high, rel=0.01)


def test_bootstrap_keeps_other_dims_resamples_whole_samples_and_repeats():
    column = np.random.default_rng(5).normal(size=10)
    scores = xr.DataArray(np.stack([column, 3 * column]), dims=("time", "sample"))
    first = metrics.bootstrap_interval(scores, seed=7)
    second = metrics.bootstrap_interval(scores, seed=7)
    other = metrics.bootstrap_interval(scores, seed=8)
    assert first.low.dims == ("time",)
    np.testing.assert_allclose(first.low[1], 3 * first.low[0])
    xr.testing.assert_identical(first.high, second.high)
    assert (first.high != other.high).all()
    narrow = metrics.bootstrap_interval(scores, level=0.5, seed=7)
    assert (narrow.low > first.low).all() and (narrow.high < first.high).all()


def test_bootstrap_covers_the_mean_at_its_level():
    rng = np.random.default_rng(6)
    draws = xr.DataArray(rng.normal(size=(60, 400)), dims=("sample", "trial"))
    _, low, high = metrics.bootstrap_interval(draws, level=0.9, resamples=1000)
    coverage = ((low < 0) & (high > 0)).mean().item()
    assert coverage == pytest.approx(0.9, abs=0.045)


def test_spread_skill_interval_resamples_pairs():
    """Samples that differ in scale only: each has the same ratio, so no uncertainty."""
    rng = np.random.default_rng(7)
    members, truth = rng.normal(size=(1, 4, 9, 9)), rng.normal(size=(1, 9, 9))
    scale = np.arange(1.0, 9.0)[:, None, None]
    members = ensemble(scale[:, None] * members)
    truth = field(scale * truth)
    value, low, high = metrics.spread_skill_interval(members, truth)
    np.testing.assert_allclose([low, high], value, rtol=1e-12)


def test_summary_of_an_ensemble(pair):
    members, truth = pair
    scores = metrics.summary(members, truth, resamples=500, seed=3)
    kept = [metrics.exclude_initial(part) for part in pair]
    value = scores["value"]
    for name in ("rmse_ensemble_mean", "rmse_member", "fair_crps", "spread_skill"):
        expected = getattr(metrics, name)(*kept).mean().item()
        assert value.sel(metric=name).item() == pytest.approx(expected)
    for score in POINT:
        expected = score(kept[0].mean("member"), kept[1]).mean().item()
        assert value.sel(metric=score.__name__).item() == pytest.approx(expected)
    assert (scores["low"] <= value).all() and (value <= scores["high"]).all()
    assert scores.attrs["samples"] == 4 and scores.attrs["members"] == 5
    assert scores.attrs["grid"] == "time 5, x 7"
    assert "initial" in scores.attrs["excluded"]
    assert "95 %" in scores.attrs["interval"] and "seed 3" in scores.attrs["interval"]
    assert "mean of 5" in scores["convention"].sel(metric="mse").item()


def test_summary_of_one_forecast_has_no_scores_of_distribution(pair):
    members, truth = pair
    single = metrics.summary(members.isel(member=0), truth, resamples=50)
    assert set(single["metric"].values) == {score.__name__ for score in POINT}
    alone = metrics.summary(members.isel(member=[0]), truth, resamples=50)
    np.testing.assert_array_equal(alone["value"], single["value"])


def test_summary_survives_a_file(pair, tmp_path):
    scores = metrics.summary(*pair, resamples=50)
    scores.to_netcdf(tmp_path / "scores.nc", engine="netcdf4")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "scores.nc"), scores)


@pytest.mark.parametrize("score", [*POINT, *ENSEMBLE])
def test_other_grids_are_refused(score, pair):
    members, truth = pair
    with pytest.raises(ValueError, match="along `time` they have 6 and 5"):
        score(members, metrics.exclude_initial(truth))
    moved = members.assign_coords(x=members.x + 0.05)
    with pytest.raises(ValueError, match="coordinates `x` differ .*Interpolate"):
        score(moved, truth)
    with pytest.raises(ValueError, match="dims of the truth"):
        score(members.rename(x="y"), truth)
    with pytest.raises(ValueError, match="no `member`"):
        score(members, members)


@pytest.mark.parametrize("score", [*POINT, *ENSEMBLE])
def test_values_that_are_not_finite_are_refused(score, pair):
    members, truth = pair
    bad = members.copy()
    bad[1, 2, 3, 4] = np.nan
    with pytest.raises(ValueError, match="forecast must be finite.*'sample': 1"):
        score(bad, truth)
    with pytest.raises(ValueError, match="truth must be finite"):
        score(members, truth.where(truth.x < 0.9))
    with pytest.raises(ValueError, match="finite"):
        metrics.summary(bad, truth)


@pytest.mark.parametrize("score", ENSEMBLE)
def test_ensembles_need_members(score, pair):
    with pytest.raises(ValueError, match="`member` dimension"):
        score(pair[0].isel(member=0), pair[1])


@pytest.mark.parametrize("score", [metrics.fair_crps, metrics.spread_skill])
def test_one_member_has_no_spread(score, pair):
    with pytest.raises(ValueError, match="at least 2"):
        score(pair[0].isel(member=[0]), pair[1])


def test_other_borders():
    zero = field(np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="not zero throughout a sample"):
        metrics.relative_l2(FORECAST, zero)
    vanishing = TRUTH.where(TRUTH.time > 0, 0.0)
    with pytest.raises(ValueError, match="not zero throughout a step.*'time': 0"):
        metrics.nrmse_per_step(FORECAST, vanishing)
    with pytest.raises(ValueError, match="no `member`"):
        metrics.mse(FORECAST, TRUTH.rename(time="hour"))
    with pytest.raises(ValueError, match="real numbers"):
        metrics.mse(FORECAST.astype(complex), TRUTH)
    with pytest.raises(ValueError, match="at least 2 frames"):
        metrics.exclude_initial(TRUTH.isel(time=[0]))
    with pytest.raises(ValueError, match="at least 2"):
        metrics.bootstrap_interval(metrics.mse(FORECAST, TRUTH))
    two = xr.DataArray([1.0, 2.0], dims="sample")
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.bootstrap_interval(two, level=95.0)
    with pytest.raises(ValueError, match="positive"):
        metrics.bootstrap_interval(two, resamples=0)
    with pytest.raises(ValueError, match="score must be finite"):
        metrics.bootstrap_interval(two.where(two > 1))


def test_a_single_trajectory_is_scored_without_an_interval():
    truth = field(np.arange(12.0).reshape(1, 4, 3)).isel(sample=0)
    cast = (truth + 0.5).expand_dims(sample=1)
    for forecast in (cast, truth + 0.5):
        scores = metrics.summary(forecast, truth).set_coords("convention")
        assert float(scores.value.sel(metric="mse")) == 0.25
        assert scores.low.isnull().all() and scores.high.isnull().all()
        assert scores.attrs["interval"] == "none: a single sample"
    members = cast + xr.DataArray([0.0, 1.0], dims="member")
    scores = metrics.summary(members, truth)
    assert scores.value.notnull().all() and scores.low.isnull().all()
