"""2-m temperature of ERA5 as a problem of forecasting: periods and simple forecasts.

Everything that a forecast is measured against, climatology, damping and size of errors,
comes from the days of training alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from wdno import metrics, weather

NAME = "t2m"
PERIODS = ("training", "validation", "test")

Forecaster = Callable[[xr.Dataset, int], xr.Dataset]
"""(departures from a first guess, number of the part) -> departures forecast."""


class Problem(NamedTuple):
    """Anomalies of each period in windows, and what they are departures from."""

    climatology: xr.Dataset
    damped: weather.DampedPersistence
    linear: weather.FirstGuess
    anomalies: dict[str, xr.Dataset]
    departures: xr.Dataset
    """Of the days of training from linear forecasts that have not seen them."""

    @classmethod
    def read(
        cls, path: Path, dates: Sequence[str], past: Sequence[int], lead: int
    ) -> "Problem":
        """Cut a record at the dates where validation and test begin."""
        parts = zip(PERIODS, weather.split(opened(path), *dates), strict=True)
        return cls.cut({period: [part] for period, part in parts}, past, lead)

    @classmethod
    def cut(
        cls,
        periods: Mapping[str, Sequence[xr.Dataset]],
        past: Sequence[int],
        lead: int,
    ) -> "Problem":
        """Windows within each piece of each period, one of which is "training".

        Pieces are records of whole days, so that every hour is in them as often.
        """
        cut = ([NAME], max(1, *past), lead)
        fit = partial(weather.LinearForecast.fit, variables=[NAME])
        found = weather.cross_fitted(periods["training"], [NAME], fit, *cut[1:])
        anomalies = {
            period: weather.anomaly_windows(pieces, found.climatology, *cut)
            for period, pieces in periods.items()
        }
        damped = weather.DampedPersistence.fit(anomalies["training"], [NAME])
        return cls(found.climatology, damped, found.forecast, anomalies, found.windows)

    def kelvin(self, anomalies: xr.Dataset, dates: xr.DataArray) -> xr.DataArray:
        """Temperatures of anomalies that are valid at these dates."""
        dated = anomalies.assign_coords(valid_time=dates)
        return weather.from_departures(dated, self.climatology)[NAME]

    def expected(self, dates: xr.DataArray) -> xr.DataArray:
        """The climatology at these dates, in K."""
        return metrics.climatology_at(self.climatology[NAME], dates)


def opened(path: Path) -> xr.Dataset:
    """The record of the temperature, in memory and in single precision."""
    return weather.check_finite(weather.open_era5(path, [NAME])).astype(np.float32)


def by_model(problem: Problem, forecaster: Forecaster) -> Forecaster:
    """Anomalies of a model of departures."""

    def anomalies(part: xr.Dataset, n: int) -> xr.Dataset:
        given = problem.linear.departures(part)
        past = {name: given[name] for name in given.coords if "_before" in str(name)}
        found = forecaster(given, n).assign_coords(past)
        return problem.linear.from_departures(found)

    return anomalies


def simple_forecasters(problem: Problem, members: int) -> dict[str, Forecaster]:
    """Rivals without a network, from anomalies to anomalies, by name."""

    def persistence(part: xr.Dataset, n: int) -> xr.Dataset:
        """The temperature, not the anomaly, stays as it is."""
        whole = problem.kelvin(part, part.valid_time).isel(time=0, drop=True)
        stays = whole - problem.expected(part.valid_time)
        return part[[NAME]].assign({NAME: stays.transpose(*part[NAME].dims)})

    linear, damped = problem.linear, problem.damped
    seen = damped.departures(problem.anomalies["training"])
    return {
        "linear forecast with its past errors": dressed(
            linear, problem.departures, members
        ),
        "linear forecast": lambda part, n: linear.forecast(part),
        "damped persistence with its past errors": dressed(damped, seen, members),
        "damped persistence": lambda part, n: damped.forecast(part),
        "persistence": persistence,
        "hourly climatology": lambda part, n: 0.0 * part[[NAME]],
    }


def dressed(guess: weather.FirstGuess, windows: xr.Dataset, members: int) -> Forecaster:
    """An ensemble by past errors, drawn at random and added as wholes."""
    errors = windows[NAME].variable

    def forecaster(part: xr.Dataset, n: int) -> xr.Dataset:
        draw = np.random.default_rng([1, n])
        shape = (part.sizes["sample"], members)
        rows = draw.integers(windows.sizes["sample"], size=shape)
        chosen = xr.Variable(("sample", "member"), rows)
        past = guess.departures(part)
        return guess.from_departures(
            past[[NAME]].assign({NAME: errors[{"sample": chosen}]})
        )

    return forecaster
