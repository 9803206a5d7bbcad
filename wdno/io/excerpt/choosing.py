"""Which part of a Zarr store is taken."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

__all__ = ["Excerpt", "choose"]


@dataclass(frozen=True)
class Excerpt:
    """Which part of a store; what is not given is taken whole.

    Attributes:
        url: the store, such as "gs://weatherbench2/datasets/era5/….zarr" or a folder.
        variables: names.
        levels: values of "level", such as pressures in hPa.
        latitudes: south and north, in degrees.
        longitudes: west and east, in degrees. A region across the seam of the store,
            such as (-10, 10) of longitudes that begin at 0, is joined, and its
            longitudes rise from west to east.
        times: first and last instant, both included, as dates such as "2020" or
            "2020-02-28T06"; the last reaches to the end of the year or day it names.
        every: take every first, second, … of these instants.

    Raises:
        ValueError: `every` is less than 1.
    """

    url: str
    variables: tuple[str, ...] = ()
    levels: tuple[int | float, ...] = ()
    latitudes: tuple[int | float, int | float] | None = None
    longitudes: tuple[int | float, int | float] | None = None
    times: tuple[str, str] | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(
                f"Every first, second, … instant is taken, but got {self.every}. "
                "Give a number from 1."
            )


def choose(
    dataset: xr.Dataset, excerpt: Excerpt
) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Positions along each axis of a store, and the excerpt itself, lazily.

    Raises:
        ValueError: the store has no such variable, axis, level, place or instant.
    """
    held = sorted(map(str, dataset.data_vars))
    if unknown := sorted(set(excerpt.variables) - set(held)):
        raise ValueError(
            f"Variables are those of the store, but it has no {unknown}. It has {held}."
        )
    whole = dataset[list(excerpt.variables or held)]
    positions = {str(dim): np.arange(extent) for dim, extent in whole.sizes.items()}
    wanted = {
        "level": excerpt.levels,
        "latitude": excerpt.latitudes,
        "longitude": excerpt.longitudes,
        "time": excerpt.times,
    }
    for dim in (name for name, given in wanted.items() if given):
        if dim not in whole.coords or dim not in whole.dims:
            raise ValueError(
                f"A part is chosen along an axis with a coordinate, but {dim!r} is "
                f"none of {sorted(map(str, whole.dims))}. Leave out that choice."
            )
        positions[dim] = _CHOICES[dim](whole, excerpt)
        if not len(positions[dim]):
            axis = whole[dim].values
            raise ValueError(
                f"An excerpt has at least one entry on each axis, but none of {dim!r} "
                f"is within {wanted[dim]}; the store has {axis.min()} to {axis.max()}. "
                "Choose another range."
            )
    if "time" in positions:
        positions["time"] = positions["time"][:: excerpt.every]
    part = whole.isel(positions)
    if excerpt.longitudes is not None:
        degrees, west = part["longitude"], excerpt.longitudes[0]
        rising = west + (degrees.values.astype(float) - west).round(4) % 360
        axis = ("longitude", rising.astype(degrees.dtype), degrees.attrs)
        part = part.assign_coords(longitude=axis)
    return positions, part


def _levels(dataset: xr.Dataset, excerpt: Excerpt) -> np.ndarray:
    found = dataset.indexes["level"].get_indexer(excerpt.levels)
    if (found < 0).any():
        raise ValueError(
            f"Levels are those of the store, but {list(excerpt.levels)} are not all "
            f"among {dataset['level'].values.tolist()}. Choose of these."
        )
    return found


def _latitudes(dataset: xr.Dataset, excerpt: Excerpt) -> np.ndarray:
    south, north = excerpt.latitudes or (-90, 90)
    degrees = dataset["latitude"].values
    return np.flatnonzero((south <= degrees) & (degrees <= north))


def _longitudes(dataset: xr.Dataset, excerpt: Excerpt) -> np.ndarray:
    west, east = excerpt.longitudes or (0, 360)
    # Rounded, so that a meridian of single precision is not just west of itself.
    eastward = (dataset["longitude"].values.astype(float) - west).round(4) % 360
    order = np.argsort(eastward, kind="stable")
    return order[eastward[order] <= east - west]


def _times(dataset: xr.Dataset, excerpt: Excerpt) -> np.ndarray:
    first, last = excerpt.times or (None, None)
    chosen = dataset.indexes["time"].slice_indexer(first, last)
    return np.arange(dataset.sizes["time"])[chosen]


_CHOICES = {
    "level": _levels,
    "latitude": _latitudes,
    "longitude": _longitudes,
    "time": _times,
}
