"""Scores of forecasts of temperature by lead, with intervals over days of starts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from _era5 import Forecaster, Problem

from wdno import metrics
from wdno.metrics.bootstrap import central_quantiles, resampled_means

RESAMPLES = 5000

Formula = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], np.ndarray]
"""(means of a forecast, means of the reference) -> a score, both (draw, lead)."""


def statistics(
    problem: Problem, forecaster: Forecaster, period: str, every: int = 1
) -> xr.Dataset:
    """Means over the region for each start and lead, a day of starts at a time."""
    anomalies = problem.anomalies[period].isel(sample=slice(None, None, every))
    days = anomalies.init_time.values.astype("M8[D]")
    parts = []
    for n, day in enumerate(np.unique(days)):
        part = anomalies.isel(sample=np.flatnonzero(days == day))
        found = problem.kelvin(forecaster(part, n), part.valid_time)
        truth = problem.kelvin(part, part.valid_time)
        expected = problem.expected(part.valid_time)
        later = (metrics.exclude_initial(f) for f in (found, truth, expected))
        parts.append(_means(*later).assign_coords(day=("sample", days[days == day])))
    return xr.concat(parts, "sample")


def _means(
    forecast: xr.DataArray, truth: xr.DataArray, expected: xr.DataArray
) -> xr.Dataset:
    size = forecast.sizes.get("member", 0)
    members = forecast if size else forecast.expand_dims(member=1)
    mean = members.mean("member")
    each = metrics.latitude_weighted_mse(members, truth).mean("member")
    absolute = metrics.area_mean(abs(mean.astype(float) - truth))
    if size:
        crps = metrics.latitude_weighted_crps(members, truth)
        variance = metrics.area_mean(members.astype(float).var("member", ddof=1))
    else:
        crps = absolute
        variance = 0.0 * crps
    found = {
        "square_of_mean": metrics.latitude_weighted_mse(mean, truth),
        "square_of_member": each,
        "absolute_of_mean": absolute,
        "crps": crps,
        "variance": variance,
        "unbiased_square": metrics.latitude_weighted_mse(mean, truth)
        - variance / max(size, 1),
    }
    if abs(mean - expected).max() > 1e-3:  # the climatology itself has none
        found["acc"] = metrics.anomaly_correlation(mean, truth, expected)
    bare = {name: field.reset_coords(drop=True) for name, field in found.items()}
    return xr.Dataset(bare)


def scores(
    found: xr.Dataset, reference: xr.Dataset, leads: Sequence[int]
) -> dict[str, dict[str, list[float]]]:
    """Scores by lead with 95 % intervals, [value, low, high].

    Days of starts are drawn with replacement as wholes: starts an hour apart have most
    of their weather in common. `skill` is 1 - RMSE / RMSE of the reference, of the same
    draws.
    """

    formulas: dict[str, Formula] = {
        "rmse": lambda a, b: _roots(a),
        "rmse_member": lambda a, b: np.sqrt(a["square_of_member"]),
        "crps": lambda a, b: a["crps"],
        "skill": lambda a, b: 1 - _roots(a) / _roots(b),
    }
    if "acc" in found:
        formulas["acc"] = lambda a, b: a["acc"]
    if found["variance"].any():
        formulas["spread_skill"] = lambda a, b: np.sqrt(
            a["variance"] / np.maximum(a["unbiased_square"], 1e-12)
        )
        formulas["crps_share"] = lambda a, b: a["crps"] / a["absolute_of_mean"]
    return _intervals(formulas, found, reference, leads)


def differences(
    found: xr.Dataset, reference: xr.Dataset, leads: Sequence[int]
) -> dict[str, dict[str, list[float]]]:
    """Scores less those of the reference in the same draws of days, as `scores`.

    Both have the same weather in common, so that an interval of the difference is
    narrower than those of the two. RMSE and CRPS below zero are better.
    """
    formulas: dict[str, Formula] = {
        "rmse": lambda a, b: _roots(a) - _roots(b),
        "crps": lambda a, b: a["crps"] - b["crps"],
    }
    if "acc" in found and "acc" in reference:
        formulas["acc"] = lambda a, b: a["acc"] - b["acc"]
    return _intervals(formulas, found, reference, leads)


def _roots(part: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.sqrt(part["square_of_mean"])


def _intervals(
    formulas: Mapping[str, Formula],
    found: xr.Dataset,
    reference: xr.Dataset,
    leads: Sequence[int],
) -> dict[str, dict[str, list[float]]]:
    ours, theirs = _resampled(found), _resampled(reference)
    whole, base = _means_over_starts(found), _means_over_starts(reference)
    return {
        name: _by_lead(formula(whole, base), formula(ours, theirs), leads)
        for name, formula in formulas.items()
    }


def _means_over_starts(found: xr.Dataset) -> dict[str, np.ndarray]:
    means = found.mean("sample")
    return {str(name): field.values[None] for name, field in means.items()}


def _by_lead(
    value: np.ndarray, draws: np.ndarray, leads: Sequence[int]
) -> dict[str, list[float]]:
    bounds = np.quantile(draws, central_quantiles(0.95), axis=0)
    rows = np.concatenate([value, bounds])
    return {str(lead): rows[:, lead - 1].round(4).tolist() for lead in leads}


def _resampled(found: xr.Dataset) -> Mapping[str, np.ndarray]:
    """Means over starts of days drawn with replacement, shape (draw, lead)."""
    sums = found.assign(count=xr.ones_like(found["crps"])).groupby("day").sum("sample")
    draws = {
        str(name): resampled_means(field.rename(day="sample"), RESAMPLES, 0)
        for name, field in sums.items()
    }
    count = draws.pop("count")
    return {name: values / count for name, values in draws.items()}
