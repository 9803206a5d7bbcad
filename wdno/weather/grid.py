"""Latitudes and longitudes in order, regions of the globe, and modes of wavelets."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from wdno._arrays import apart, beyond_poles

__all__ = ["Region", "is_circle", "ordered", "wavelet_modes", "within"]

_TOLERANCE = 1e-4
"""In degrees: files hold coordinates in single precision, 3e-5 at 360 degrees."""
_UNEVEN = 1e-2
"""Largest accepted difference of two steps of longitude, as a share of a step."""


class Region(NamedTuple):
    """Part of the globe between two latitudes and two meridians, bounds included.

    It goes from `west` eastward to `east`: ``Region(50, 58, -10, 2)`` crosses
    Greenwich, ``Region(-20, 20, 170, -170)`` the date line, whatever range a file
    counts its longitudes in. ``Region(-90, 90, 0, 360)`` is the globe.
    """

    south: float
    """Least latitude in degrees."""
    north: float
    """Greatest latitude in degrees."""
    west: float
    """First longitude in degrees."""
    east: float
    """Last longitude in degrees."""


def ordered(dataset: xr.Dataset, where: str) -> xr.Dataset:
    """The same fields with latitudes and longitudes rising.

    Falling latitudes are flipped. Longitudes that start again behind Greenwich or the
    date line are counted on, so that 350, 355, 0 becomes 350, 355, 360.

    Args:
        dataset: fields with the coordinates latitude and longitude in degrees.
        where: name of the file, for messages.

    Raises:
        ValueError: latitudes are unordered, repeated or beyond the poles, or longitudes
            do not rise in even steps on one circle.
    """
    latitude = dataset["latitude"].values.astype(float)
    if latitude[0] > latitude[-1]:
        dataset = dataset.isel(latitude=slice(None, None, -1))
    sign = -1 if latitude[0] > latitude[-1] else 1
    _check(~(np.diff(sign * latitude) > 0), latitude, "Latitudes rise or fall", where)
    if beyond := beyond_poles(latitude):
        raise ValueError(
            f"Latitudes lie between -90 and 90 degrees, but in {where} they reach "
            f"{beyond}. Convert them."
        )
    longitude = dataset["longitude"].values.astype(float)
    turns = np.cumsum(np.diff(longitude, prepend=longitude[0]) < 0)
    rising = longitude + 360.0 * turns
    steps = np.diff(rising)
    usual = np.median(steps) if steps.size else 0.0
    wrong = abs(steps - usual) > _UNEVEN * usual
    # A step beyond half of the circle goes back.
    wrong |= (steps <= 0) | (steps > 180) | (rising[1:] - rising[0] > 360 - _TOLERANCE)
    _check(wrong, longitude, "Longitudes rise in even steps on one circle", where)
    return dataset.assign_coords(longitude=dataset["longitude"].copy(data=rising))


def within(dataset: xr.Dataset, region: Region) -> xr.Dataset:
    """The points of a region; longitudes go on rising across the seam of the file.

    They are counted from `region.west`, so that the seam of 0 … 355 lies elsewhere:
    ``Region(50, 58, -10, 2)`` gives -10 … 2.

    Args:
        dataset: ordered fields, see `ordered`.
        region: bounds in degrees, included.

    Raises:
        ValueError: the region is empty or its bounds are out of order, or the record
            does not reach as far.
    """
    south, north, west, _ = map(float, region)
    latitude, longitude = dataset["latitude"].values, dataset["longitude"].values
    east = west + _extent(region)
    if is_circle(dataset):
        turns = np.ceil((west - _TOLERANCE - longitude) / 360)
    else:
        middle = (longitude[0] + longitude[-1]) / 2
        turns = np.full(longitude.shape, np.round(((west + east) / 2 - middle) / 360))
    counted = longitude + 360 * turns
    order = np.argsort(counted)
    rows = _between(latitude, south, north)
    columns = order[_between(counted[order], west, east)]
    short = _ends_before(latitude, max(south, -90.0), min(north, 90.0))
    short |= not is_circle(dataset) and _ends_before(counted, west, east)
    if short or not rows.size or not columns.size:
        raise ValueError(
            f"A region lies within the record and holds some of its points, but "
            f"{region} does not fit latitudes {latitude[0]:g} … {latitude[-1]:g} and "
            f"longitudes {longitude[0]:g} … {longitude[-1]:g}. Choose its bounds among "
            "these, south before north."
        )
    cut = dataset.isel(latitude=rows, longitude=columns)
    return cut.assign_coords(longitude=cut["longitude"].copy(data=counted[columns]))


def is_circle(dataset: xr.Dataset) -> bool:
    """Whether the longitudes, in even steps, go once round the globe."""
    longitude = dataset["longitude"].values.astype(float)
    if longitude.size < 2:
        return False
    step = (longitude[-1] - longitude[0]) / (longitude.size - 1)
    return bool(abs(longitude.size * step - 360) < _UNEVEN * step)


def wavelet_modes(dataset: xr.Dataset) -> tuple[str, str, str]:
    """Modes of wavelets for the axes (time, latitude, longitude), see `Recipe`.

    Longitudes that close a circle continue at its other side, "periodization". The
    other axes have ends that are no neighbours, "boundary": like periodization it keeps
    as many coefficients as samples; it needs an orthogonal wavelet, such as "db2".

    Args:
        dataset: a record or windows, with longitudes in degrees.
    """
    return "boundary", "boundary", "periodization" if is_circle(dataset) else "boundary"


def _extent(region: Region) -> float:
    """Degrees from west to east: 360 where both are the same meridian twice."""
    across = float(region.east - region.west)
    return across % 360 or (360.0 if across else 0.0)


def _between(
    points: Float[np.ndarray, " point"], first: float, last: float
) -> Int[np.ndarray, " inside"]:
    inside = (points >= first - _TOLERANCE) & (points <= last + _TOLERANCE)
    return np.flatnonzero(inside)


def _ends_before(
    points: Float[np.ndarray, " point"], first: float, last: float
) -> bool:
    """Whether the next point, beyond either end of the record, lies in the region."""
    if points.size < 2:
        return False
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    return bool(before >= first - _TOLERANCE or after <= last + _TOLERANCE)


def _check(
    wrong: Bool[np.ndarray, " step"],
    values: Float[np.ndarray, " point"],
    rule: str,
    where: str,
) -> None:
    if wrong.any():
        at = int(np.argmax(wrong)) + 1
        after, before = apart(float(values[at]), float(values[at - 1]))
        raise ValueError(
            f"{rule}, but in {where} {after} comes after {before} at index {at}. Sort "
            "them by `.sortby`, drop what is repeated, and write the file anew."
        )
