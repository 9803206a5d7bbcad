"""Departures of days from a forecast that was fitted to other days."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from wdno.trajectory import named
from wdno.weather.climatology import departures, pooled_climatology
from wdno.weather.first_guess import FirstGuess, size_of_errors
from wdno.weather.windows import forecast_windows

__all__ = ["CrossFitted", "anomaly_windows", "cross_fitted"]

_DAY = np.timedelta64(1, "D")


class CrossFitted(NamedTuple):
    """A climatology and a forecast of all days, and departures of days not seen."""

    climatology: xr.Dataset
    forecast: FirstGuess
    """Its `error` is that on days which a fit has not seen."""
    windows: xr.Dataset
    """Departures in units of that error: what a model is trained on."""


def anomaly_windows(
    records: Sequence[xr.Dataset],
    climatology: xr.Dataset,
    variables: Sequence[str],
    history: int,
    lead: int,
) -> xr.Dataset:
    """`forecast_windows` of the anomalies of several records, one after another."""
    parts = [
        forecast_windows(departures(record, climatology), variables, history, lead)
        for record in records
    ]
    return xr.concat(parts, "sample")


def cross_fitted(
    records: Sequence[xr.Dataset],
    variables: Sequence[str],
    fit: Callable[[xr.Dataset], FirstGuess],
    history: int,
    lead: int,
    folds: int = 5,
) -> CrossFitted:
    """Fit to all days, and for each part of them to the others, for honest errors.

    A forecast with many weights is closer to the days it was fitted to than to others.
    An ensemble that learns departures of those days is too sure of itself. So the days
    are cut into consecutive parts; climatology and forecast are fitted to the other
    days, but for those within `lead` of a part, and the departures of all parts
    together have the error s(τ, x) of days that were not seen.

    Args:
        records: days of training, whole days one after another in each.
        variables: names of the fields.
        fit: from windows of anomalies to a forecast.
        history: hours before the start of a window that are given.
        lead: hours of the forecast.
        folds: parts of the days.

    Raises:
        ValueError: there are fewer than two folds, or too few days for them.

    Example:
        >>> fit = partial(weather.LinearForecast.fit, variables=["t2m"])
        >>> found = weather.cross_fitted([training], ["t2m"], fit, 1, 24)
    """
    days = np.unique(np.concatenate([_days(record) for record in records]))
    if not 2 <= folds <= len(days):
        raise ValueError(
            "Days are cut into 2 parts or more of a day or more, but got "
            f"{folds} folds of {len(days)} days. Take more days or fewer folds."
        )
    cut = (variables, history, lead)
    parts = [_unseen(records, part, fit, *cut) for part in np.array_split(days, folds)]
    windows = xr.concat(parts, "sample")
    error, scaled = {}, {}
    for name, off in named(windows, variables).items():
        error[name] = size_of_errors(off, float(np.sqrt((off**2).mean())))
        scaled[name] = (off / error[name]).transpose(*off.dims).astype(off.dtype)
    climatology = pooled_climatology(records, variables)
    forecast = fit(anomaly_windows(records, climatology, *cut))
    return CrossFitted(
        climatology,
        replace(forecast, error=xr.Dataset(error)),
        windows.assign(scaled),
    )


def _unseen(
    records: Sequence[xr.Dataset],
    part: np.ndarray,
    fit: Callable[[xr.Dataset], FirstGuess],
    variables: Sequence[str],
    history: int,
    lead: int,
) -> xr.Dataset:
    """Departures of windows that start on these days, in units of the variable."""
    gap = -(-max(history, lead) // 24) * _DAY
    window = np.timedelta64(history + lead, "h")
    others = []
    for record in records:
        days = _days(record)
        for kept in (days < part[0] - gap, days > part[-1] + gap):
            times = record["time"].values[kept]
            if times.size and times[-1] - times[0] >= window:
                others.append(record.isel(time=kept))
    if not others:
        raise ValueError(
            "Each part of the days leaves others to fit to, a window or more besides "
            f"those within {lead} h of it, but {part[0]} … {part[-1]} leaves none. "
            "Take more days or more folds."
        )
    climatology = pooled_climatology(others, variables)
    forecast = fit(anomaly_windows(others, climatology, variables, history, lead))
    plain = replace(forecast, error=xr.ones_like(forecast.error))
    windows = anomaly_windows(records, climatology, variables, history, lead)
    starts = windows["init_time"].values.astype("M8[D]")
    return plain.departures(windows.isel(sample=np.isin(starts, part)))


def _days(record: xr.Dataset) -> np.ndarray:
    return record["time"].values.astype("M8[D]")
