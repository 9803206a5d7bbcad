"""Axes of labelled data as numbers, and results with the labels of what came in."""

from datetime import timedelta
from typing import Any

import cftime
import numpy as np
import xarray as xr

from wdno._arrays import working_type
from wdno.trajectory._checks import Labelled

__all__ = ["as_came", "axis_numbers", "begun_with", "from_first", "instants_as_came"]

_SECOND = np.timedelta64(1, "s")
_EPOCH = np.datetime64("1970-01-01", "ns")
_SINCE = "seconds since 1970-01-01"


def axis_numbers(name: str, points: np.ndarray) -> np.ndarray:
    """Points of an axis as numbers: dates and durations in seconds, dates since 1970.

    Dates are those of NumPy, or of other calendars (cftime).

    Args:
        name: of the axis, for messages.
        points: its coordinate.

    Raises:
        ValueError: they are neither numbers nor instants, such as text.
    """
    kind = points.dtype.kind
    if kind == "M":
        return (points - _EPOCH) / _SECOND
    if kind == "m":
        return points / _SECOND
    first: Any = points.ravel()[0] if points.size else None
    if isinstance(first, cftime.datetime):
        return np.asarray(cftime.date2num(points, _SINCE, first.calendar), float)
    if isinstance(first, timedelta):
        return np.array([part.total_seconds() for part in points])
    if kind not in "fiu":
        raise ValueError(
            f"Points of an axis are numbers, dates or durations, but {name!r} has "
            f"{points.ravel()[:2].tolist()} … of type {points.dtype}. Convert them, "
            "dates e.g. by `pandas.to_datetime`."
        )
    return points.astype(points.dtype.newbyteorder("="), copy=False)


def from_first(name: str, points: np.ndarray) -> np.ndarray:
    """Points of an axis as numbers; dates in seconds from the first of them.

    So no digits are lost to the years since 1970.
    """
    first: Any = points.ravel()[0] if points.size else None
    dates = isinstance(first, cftime.datetime | np.datetime64)
    return axis_numbers(name, points - first if dates else points)


def begun_with(instants: np.ndarray, given: Labelled | None) -> np.ndarray:
    """The same instants, in seconds, from the first that `given` has, if it has one."""
    if given is None or "time" not in given.coords:
        return instants
    first = axis_numbers("time", np.ravel(given["time"].values)[:1])[0]
    return instants - instants[0] + float(first)


def as_came(record: xr.Dataset, *given: Labelled | None) -> xr.Dataset:
    """A result with the labels, instants and precision of what it was made from.

    Labels of samples and members, other coordinates and points of axes are those of the
    first input that has them; instants are of the kind (dates, durations) of the
    inputs. Fields are in the precision that came: float64 although JAX computed in
    float32, and float32 at least.

    Args:
        record: on (*batch, time, *space), with "time" in seconds.
        given: labelled inputs, the one that the record begins with first.
    """
    inputs = [part for part in given if part is not None]
    found: dict[Any, xr.Variable] = {}
    for part in inputs:
        for name, coord in _in_order(part, found).coords.items():
            if name in found or name in record.data_vars or name == "time":
                continue
            on_its_axis = name not in record.dims or coord.dims == (name,)
            fits = all(record.sizes.get(d) == n for d, n in coord.sizes.items())
            if on_its_axis and fits and "time" not in coord.dims:
                found[name] = xr.Variable(coord.dims, coord.values, coord.attrs)
    instants = instants_as_came(record["time"].values, *inputs)
    found["time"] = xr.Variable("time", instants, record["time"].attrs)
    precise = [
        working_type(str(name), field.dtype)
        for part in inputs
        for name, field in _fields(part).items()
        if name in record.data_vars
    ]
    if precise:
        dtype = np.result_type(*precise)
        record = record.astype(dtype)
    return record.assign_coords(found)


def _fields(part: Labelled) -> dict[Any, xr.DataArray]:
    return dict(part.data_vars) if isinstance(part, xr.Dataset) else {part.name: part}


def _in_order(part: Labelled, found: dict[Any, xr.Variable]) -> Labelled:
    """The input without stacked labels, in the order of labels that are found."""
    stacked = [
        n for n in part.dims if n in part.indexes and part.indexes[n].nlevels > 1
    ]
    part = part.reset_index(stacked)
    known = {d: found[d].values for d in part.dims if d in found and d in part.indexes}
    return part.sel(
        {
            dim: labels
            for dim, labels in known.items()
            if not np.array_equal(part[dim].values, labels)
            and set(labels.tolist()) == set(part[dim].values.tolist())
        }
    )


def instants_as_came(seconds: np.ndarray, *given: Labelled | None) -> np.ndarray:
    """Seconds as the dates or durations of the input that begins there."""
    for part in given:
        if part is None:
            continue
        own = part["time"].values if "time" in part.coords else np.empty(0)
        if not own.size or own.ndim > 1:
            continue
        first = np.ravel(own)[0]
        if abs(axis_numbers("time", np.ravel(own)[:1])[0] - seconds[0]) > 0:
            continue
        if len(np.ravel(own)) == len(seconds):
            return own
        elapsed = seconds - seconds[0]
        if isinstance(first, np.datetime64 | np.timedelta64):
            # Of seconds since 1970 double precision holds microseconds.
            digits = 6 if isinstance(first, np.datetime64) else 9
            rounded = np.round(np.round(elapsed, digits) * 1e9)
            return first.astype(f"{own.dtype.kind}8[ns]") + rounded.astype("m8[ns]")
        if isinstance(first, cftime.datetime):
            return np.array([first + timedelta(seconds=float(s)) for s in elapsed])
    return seconds
