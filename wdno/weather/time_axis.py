"""A record in time: regular steps, periods between dates, and finite values."""

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Date", "check_finite", "check_times", "during", "split", "step_hours"]

Date = str | np.datetime64
"""A date as ISO 8601 writes it, "2019-03" or "2019-03-31T18", or as NumPy holds it."""

_HOUR = np.timedelta64(1, "h")
_LISTED = 3
"""Gaps that a message lists."""


def check_times(dataset: xr.Dataset) -> np.timedelta64:
    """The step of a record, once all of its steps are the same.

    A record with gaps would be taken for one without: its windows would hold states
    at other times than they say.

    Args:
        dataset: a record with dates as "time".

    Raises:
        ValueError: there are fewer than two instants, or some are missing, repeated or
            irregular; the first few are listed.
    """
    times = dataset["time"].values
    steps = np.diff(times)
    kinds, counts = np.unique(steps[steps > np.timedelta64(0)], return_counts=True)
    if not kinds.size:
        raise ValueError(
            "A record has two instants or more, one after another, but got "
            f"{times.size} that are not. Take a longer part of it."
        )
    usual = kinds[np.argmax(counts)]
    if (odd := np.flatnonzero(steps != usual)).size:
        gaps = [f"{steps[i] / _HOUR:g} h after {_brief(times[i])}" for i in odd]
        more = f" and {odd.size - _LISTED} more" if odd.size > _LISTED else ""
        raise ValueError(
            f"A record has one step in time, usually {usual / _HOUR:g} h here, but "
            f"{odd.size} of its {steps.size} steps are others: "
            f"{', '.join(gaps[:_LISTED])}{more}. Add what is missing, take a regular "
            'part of it, or interpolate it, e.g. by `.resample(time="6h").interpolate()'
            "`."
        )
    return usual


def step_hours(dataset: xr.Dataset) -> int:
    """The step of a record in whole hours.

    Raises:
        ValueError: as `check_times`, or the step is no whole number of hours.
    """
    hours = check_times(dataset) / _HOUR
    if hours % 1:
        raise ValueError(
            f"Windows and climatologies count whole hours, but this record has steps "
            f"of {hours:g} h. Take every second instant, say, or means over hours."
        )
    return int(hours)


def during(dataset: xr.Dataset, first: Date, last: Date) -> xr.Dataset:
    """The part of a record from one date to another, both included.

    A date means all of its day (month, year, hour): "2019-03-31" ends at midnight.

    Raises:
        ValueError: the dates are out of order or outside of the record.
    """
    times = dataset["time"].values
    start, end = np.datetime64(first), np.datetime64(last)
    chosen = (_rounded(times, start) >= start) & (_rounded(times, end) <= end)
    inside = _rounded(times[0], start) <= start and _rounded(times[-1], end) >= end
    if not inside or not chosen.any():
        raise ValueError(
            f"Dates lie within the record, {_brief(times[0])} … {_brief(times[-1])}, "
            f"and in order, but got {first} … {last}. Choose others, or open more "
            "files."
        )
    return dataset.isel(time=chosen)


def split(dataset: xr.Dataset, *dates: Date) -> list[xr.Dataset]:
    """Consecutive periods of a record, such as those of training and of evaluation.

    Windows are cut within each, so that none has a state of another period, not even
    in its history.

    Args:
        dataset: a record with dates as "time".
        dates: where each period but the first begins, in order.

    Returns:
        One period more than there are dates.

    Raises:
        ValueError: dates are out of order, or a period has no instant.

    Example:
        >>> times = np.arange("2019-03-01", "2019-03-03", dtype="M8[h]")
        >>> days = split(xr.Dataset(coords={"time": times}), "2019-03-02")
        >>> [day.sizes["time"] for day in days]
        [24, 24]
    """
    times = dataset["time"].values
    begins = np.array([np.datetime64(date) for date in dates], "M8[ns]")
    cuts = [0, *np.searchsorted(times, begins).tolist(), times.size]
    if (np.diff(cuts) <= 0).any():
        raise ValueError(
            "Every period between the dates has some instant of the record, "
            f"{_brief(times[0])} … {_brief(times[-1])}, but {[*map(str, dates)]} make "
            f"periods of {np.diff(cuts).tolist()} instants. Give dates within the "
            "record, in order."
        )
    return [
        dataset.isel(time=slice(*ends))
        for ends in zip(cuts[:-1], cuts[1:], strict=True)
    ]


def check_finite(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its values in memory, once all of them are finite.

    Opened files are read where values are asked for, so that a tile that is missing
    shows only then. Some fields have none over land, such as the temperature of the
    sea.

    Args:
        dataset: a record, windows or a climatology.

    Raises:
        ValueError: a value is NaN or infinite; time and place are named.
    """
    loaded = dataset.compute()
    for name, field in loaded.variables.items():
        if field.dtype.kind != "f" or np.isfinite(field.values).all():
            continue
        bad = np.argwhere(~np.isfinite(field.values))
        place = dict(zip(map(str, field.dims), bad[0].tolist(), strict=True))
        found = dict(place)
        for key in ("init_time", "valid_time", *place):
            if key in loaded.coords and set(loaded[key].dims) <= set(place):
                at = {str(dim): place[str(dim)] for dim in loaded[key].dims}
                found[key] = str(loaded[key].isel(at).values)
        raise ValueError(
            f"Values are finite, but {name} has {len(bad)} that are NaN or infinite, "
            f"the first at {found}. Leave this time or variable out, fill it by "
            "`.fillna`, or load the file again."
        )
    return loaded


def _rounded(times: Any, date: np.datetime64) -> Any:
    """Dates as coarse as another one, so that a day has all of its hours."""
    return times.astype(date.dtype)


def _brief(time: np.datetime64) -> str:
    return np.datetime_as_string(time, unit="m")
