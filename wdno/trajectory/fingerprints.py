"""By what data are known again without reading all of them."""

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from wdno.trajectory.storing import storable

__all__ = ["fingerprint"]

FRAMES = 256
"""Frames of a variable that are looked at, spread over trajectories and instants."""
PLACES = 128
"""Points of each of them along an axis of space."""


def fingerprint(dataset: xr.Dataset) -> str:
    """SHA-256 of data: sizes, coordinates, attributes, and a sample of all values.

    Of each variable some 256 frames are read, spread evenly over trajectories and over
    the instants of these, and of a frame every n-th point along axes of more than 128
    points, others of them in each trajectory. The order of axes and the pieces in which
    data lie make no difference; a value that is not looked at makes none either.

    Args:
        dataset: trajectories, of which parts are read.
    """
    dataset = storable(dataset)
    digest = hashlib.sha256()
    digest.update(_text(dataset.sizes, dataset.attrs))
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        variable = variable.transpose(*sorted(map(str, variable.dims)))
        digest.update(name.encode() + _text(variable.sizes, variable.attrs))
        for values in _sample(variable):
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _text(sizes: Mapping[Hashable, int], attributes: Mapping[str, Any]) -> bytes:
    facts = {str(dim): size for dim, size in sizes.items()}
    facts |= {f"attribute {name}": _plain(v) for name, v in attributes.items()}
    return json.dumps(facts, sort_keys=True).encode()


def _plain(value: Any) -> Any:
    """A list of one is what it holds: to NetCDF they are the same."""
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _sample(variable: xr.Variable) -> Iterator[np.ndarray]:
    """Values of some places, a trajectory after the other."""
    if variable.ndim < 2:  # such as coordinates
        yield variable.values
        return
    count = variable.sizes.get("sample", 1)
    rows = np.unique(np.linspace(0, count - 1, FRAMES).astype(int)) if count else ()
    for number, row in enumerate(rows):
        most = dict.fromkeys(variable.dims, PLACES)
        most["time"] = -(-FRAMES // len(rows))
        part = {
            dim: _every(extent, most[dim], number)
            for dim, extent in variable.sizes.items()
        }
        if "sample" in part:
            part["sample"] = int(row)
        yield variable.isel(part).values


def _every(extent: int, most: int, number: int) -> slice:
    """About so many places along an axis, which move on from trajectory to next."""
    step = -(-extent // most) or 1
    return slice(number % step, None, step)
