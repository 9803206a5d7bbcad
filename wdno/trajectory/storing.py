"""Labelled results written to files, as NetCDF or Zarr can hold them."""

import importlib.util
import json
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr

from wdno import _files
from wdno._files import located, replacing
from wdno.trajectory.places import is_zarr

__all__ = ["check_output", "save", "storable"]

_OF_THE_FILE = {
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
}
"""Attributes by which values of a file are decoded: those in memory are."""
_PIECE = 2**18
"""Most bytes that are read with the one that is asked for."""
_OF_DATES = {"units", "calendar"}


def check_output(path: str | Path) -> Path:
    """The path of a result, once `save` can write it; to be asked before work begins.

    Raises:
        OSError: if its folder does not exist or cannot be written to, or it is a folder
            itself, unless a Zarr store is to be replaced.
        ModuleNotFoundError: if zarr is not installed for a path that ends in ".zarr".
    """
    path = located(path)
    if path.suffix != ".zarr":
        return _files.check_output(path)
    if importlib.util.find_spec("zarr") is None:
        raise ModuleNotFoundError(
            f"{path} is written by zarr, which is not installed. Install it: pip "
            "install 'wdno[zarr]', or choose a path that does not end in .zarr."
        )
    return path if is_zarr(path) else _files.check_output(path)


def save(dataset: xr.Dataset, path: str | Path) -> None:
    """Write trajectories to a NetCDF file, or a Zarr store if the path ends in .zarr.

    The file holds the values of memory: encodings and attributes that say how another
    file was encoded are left out, and attributes that no file can hold (true, null,
    lists of lists …) become JSON text. An interrupted run leaves the old file. Numbers
    in NetCDF have checksums, by which damage is told when they are read.

    Raises:
        ValueError: If it is no dataset.
        OSError: If the folder of ``path`` does not exist or cannot be written to.
        ModuleNotFoundError: If zarr is not installed for a path that ends in ".zarr".
    """
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(
            f"Files hold an xarray.Dataset, but got a {type(dataset).__name__}. Give "
            'an array a name by `.to_dataset(name="u")`.'
        )
    path, dataset = check_output(path), storable(dataset)
    with replacing(path) as temporary:
        if path.suffix == ".zarr":
            dataset.to_zarr(temporary, mode="w")
        else:
            checked = {name: _checked(v) for name, v in dataset.variables.items()}
            dataset.to_netcdf(temporary, engine="netcdf4", encoding=checked)


def _checked(variable: xr.Variable) -> dict[str, Any]:
    """How HDF5 keeps a checksum of each piece of an array; of text it has none."""
    if not variable.size or not variable.ndim or variable.dtype.kind in "OSUT":
        return {}
    piece, width = list(variable.shape), variable.dtype.itemsize
    for axis, extent in enumerate(piece):
        inside = width * math.prod(piece[axis + 1 :])
        piece[axis] = min(extent, max(1, _PIECE // inside))
    return {"fletcher32": True, "chunksizes": tuple(piece)}


def storable(dataset: xr.Dataset) -> xr.Dataset:
    """The same values without encodings, in what files can hold."""
    several = [
        name
        for name, index in dataset.indexes.items()
        if index.nlevels > 1 and name in dataset.dims
    ]
    dataset = dataset.reset_index(several).drop_encoding()
    variables = {
        _name(name): _variable(variable) for name, variable in dataset.variables.items()
    }
    coords = [_name(name) for name in dataset.coords]
    return xr.Dataset(variables, attrs=_attributes(dataset.attrs)).set_coords(coords)


def _name(name: Hashable) -> str:
    """No file has "/" in a name: it goes into groups."""
    return str(name).replace("/", "_")


def _variable(variable: xr.Variable) -> xr.Variable:
    dates = variable.dtype.kind in "mM"
    data = variable._data  # lazy values stay so
    if variable.dtype.kind == "O":
        first = variable.values.ravel()[:1]
        dates = bool(first.size) and isinstance(first[0], cftime.datetime)
        data = variable.values if dates else _text(variable.values)
    dropped = _OF_THE_FILE | _OF_DATES if dates else _OF_THE_FILE
    kept = {n: value for n, value in variable.attrs.items() if n not in dropped}
    return xr.Variable([*map(_name, variable.dims)], data, _attributes(kept))


def _text(values: np.ndarray) -> np.ndarray:
    words = [v if isinstance(v, str) else _plain(v) for v in values.ravel()]
    return np.array([str(word) for word in words], dtype=str).reshape(values.shape)


def _attributes(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {_name(name): _plain(value) for name, value in attributes.items()}


def _plain(value: Any) -> Any:
    """A number, text, or a list of either; JSON text for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic | np.ndarray):
        value = np.asarray(value)
        if value.dtype.kind in "iuf" and value.ndim < 2 and value.size:
            whole = value.dtype.kind != "f"
            return value.astype(value.dtype.newbyteorder("=") if whole else float)
        value = (
            value.astype(str).tolist() if value.dtype.kind in "mM" else value.tolist()
        )
    if isinstance(value, str | float):
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, list | tuple) and value:
        if all(isinstance(v, str) for v in value):
            return list(value)
        if all(type(v) in (int, float) and abs(v) < 2**63 for v in value):
            return np.asarray(value)
    return json.dumps(value, default=_word)


def _word(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)
