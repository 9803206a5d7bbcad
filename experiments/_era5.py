"""2-m temperature of ERA5 as a problem of forecasting: periods and simple forecasts.

Everything that a forecast is measured against, climatology, damping and size of errors,
comes from the days of training alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from wdno import metrics, weather

NAME = "t2m"
PERIODS = ("training", "validation", "test")

Forecaster = Callable[[xr.Dataset, int], xr.Dataset]
"""(departures from damped persistence, number of the part) -> departures forecast."""


class Problem(NamedTuple):
    """Anomalies of each period in windows, and what they are departures from."""

    climatology: xr.Dataset
    damped: weather.DampedPersistence
    anomalies: dict[str, xr.Dataset]

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
        climatology = climatology_of(periods["training"])
        anomalies = {
            period: xr.concat(
                [
                    weather.forecast_windows(
                        weather.departures(piece, climatology), [NAME], max(past), lead
                    )
                    for piece in pieces
                ],
                "sample",
            )
            for period, pieces in periods.items()
        }
        damped = weather.DampedPersistence.fit(anomalies["training"], [NAME])
        return cls(climatology, damped, anomalies)

    def windows(self, period: str) -> xr.Dataset:
        """What models are trained on: departures from damped persistence."""
        return self.damped.departures(self.anomalies[period])

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


def climatology_of(pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    """The hourly climatology of all pieces together, with days of equal weight.

    Means and harmonics are linear in the record, so that it is the mean of those of the
    pieces, weighted by their days. The pieces need not follow one another.
    """
    days = sum(piece.sizes["time"] for piece in pieces)
    weighted = [
        weather.hourly_climatology(piece, [NAME]) * (piece.sizes["time"] / days)
        for piece in pieces
    ]
    return sum(weighted[1:], start=weighted[0])


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
