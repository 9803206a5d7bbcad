"""2-m temperature of ERA5 as a problem of forecasting: periods, forecasts, scores.

Everything that a forecast is measured against, climatology, damping and size of errors,
comes from the days of training alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from wdno import metrics
from wdno.metrics.bootstrap import central_quantiles, resampled_means
from wdno.systems import era5

NAME = "t2m"
PERIODS = ("training", "validation", "test")
RESAMPLES = 5000

Forecaster = Callable[[xr.Dataset, int], xr.Dataset]
"""(departures from damped persistence, number of the part) -> departures forecast."""


class Problem(NamedTuple):
    """Anomalies of each period in windows, and what they are departures from."""

    climatology: xr.Dataset
    damped: era5.DampedPersistence
    anomalies: dict[str, xr.Dataset]

    @classmethod
    def read(
        cls, path: Path, dates: Sequence[str], past: Sequence[int], lead: int
    ) -> "Problem":
        """Cut a record at the dates where validation and test begin."""
        record = era5.check_finite(era5.open_era5(path, [NAME])).astype(np.float32)
        parts = dict(zip(PERIODS, era5.split(record, *dates), strict=True))
        climatology = era5.hourly_climatology(parts["training"], [NAME])
        anomalies = {
            period: era5.forecast_windows(
                era5.departures(part, climatology), [NAME], max(past), lead
            )
            for period, part in parts.items()
        }
        damped = era5.DampedPersistence.fit(anomalies["training"], [NAME])
        return cls(climatology, damped, anomalies)

    def windows(self, period: str) -> xr.Dataset:
        """What models are trained on: departures from damped persistence."""
        return self.damped.departures(self.anomalies[period])

    def kelvin(self, anomalies: xr.Dataset, dates: xr.DataArray) -> xr.DataArray:
        """Temperatures of anomalies that are valid at these dates."""
        dated = anomalies.assign_coords(valid_time=dates)
        return era5.from_departures(dated, self.climatology)[NAME]

    def expected(self, dates: xr.DataArray) -> xr.DataArray:
        """The climatology at these dates, in K."""
        return metrics.climatology_at(self.climatology[NAME], dates)


def by_model(problem: Problem, forecaster: Forecaster) -> Forecaster:
    """Anomalies of a model of departures."""
    return lambda part, n: problem.damped.from_departures(
        forecaster(problem.damped.departures(part), n)
    )


def simple_forecasters(problem: Problem, members: int) -> dict[str, Forecaster]:
    """Rivals without a network, from anomalies to anomalies, by name.

    Damped persistence becomes an ensemble by its own errors in windows of the days of
    training, drawn at random and added as wholes.
    """
    errors = problem.windows("training")[NAME]

    def persistence(part: xr.Dataset, n: int) -> xr.Dataset:
        """The temperature, not the anomaly, stays as it is."""
        whole = problem.kelvin(part, part.valid_time).isel(time=0, drop=True)
        stays = whole - problem.expected(part.valid_time)
        return part[[NAME]].assign({NAME: stays.transpose(*part[NAME].dims)})

    def dressed(part: xr.Dataset, n: int) -> xr.Dataset:
        draw = np.random.default_rng([1, n])
        shape = (part.sizes["sample"], members)
        rows = draw.integers(errors.sizes["sample"], size=shape)
        chosen = xr.Variable(("sample", "member"), rows)
        windows = problem.damped.departures(part)
        likely = errors.drop_vars(set(errors.coords) - {*errors.dims}).drop_vars(
            "sample", errors="ignore"
        )
        return problem.damped.from_departures(
            windows[[NAME]].assign({NAME: likely.isel(sample=chosen)})
        )

    return {
        "damped persistence with its past errors": dressed,
        "damped persistence": lambda part, n: problem.damped.forecast(part),
        "persistence": persistence,
        "hourly climatology": lambda part, n: 0.0 * part[[NAME]],
    }


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
    if size:
        crps = metrics.latitude_weighted_crps(members, truth)
        variance = metrics.area_mean(members.astype(float).var("member", ddof=1))
    else:
        crps = metrics.area_mean(abs(mean.astype(float) - truth))
        variance = 0.0 * crps
    found = {
        "square_of_mean": metrics.latitude_weighted_mse(mean, truth),
        "square_of_member": each,
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

    def roots(part: dict[str, np.ndarray]) -> np.ndarray:
        return np.sqrt(part["square_of_mean"])

    ours, theirs = _resampled(found), _resampled(reference)
    whole, base = _means_over_starts(found), _means_over_starts(reference)
    formulas: dict[str, Callable] = {
        "rmse": lambda a, b: roots(a),
        "rmse_member": lambda a, b: np.sqrt(a["square_of_member"]),
        "crps": lambda a, b: a["crps"],
        "skill": lambda a, b: 1 - roots(a) / roots(b),
    }
    if "acc" in found:
        formulas["acc"] = lambda a, b: a["acc"]
    if found["variance"].any():
        formulas["spread_skill"] = lambda a, b: np.sqrt(
            a["variance"] / np.maximum(a["unbiased_square"], 1e-12)
        )
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
