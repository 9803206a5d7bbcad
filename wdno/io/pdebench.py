"""Data files of PDEBench (Takamoto et al. 2022, arXiv 2210.07182).

There are two layouts, told apart by their content since both occur under either suffix.
A *single* file holds whole arrays: "tensor" (advection, Burgers, reaction–diffusion,
Darcy) or "density", "pressure", "Vx", … (compressible flow) with the axes (sample,
time, x, y, z), beside "t-coordinate", which is one longer than the data, and
"x-coordinate" …. A file of *groups* (diffusion–sorption, 2-D diffusion–reaction,
shallow water) has one group a sample, "0000" …, with "data" (time, x, y, component)
and "grid/t", "grid/x" ….
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno.io.hdf5 import Stored, attributes, opened, vector
from wdno.trajectory.lazy import lazy, lazy_whole

__all__ = ["matches_pdebench", "open_pdebench"]

_FLOW = ("density", "pressure", "Vx", "Vy", "Vz")
_GROUP = re.compile(r"\d{4,}")
_SUPPORTED = (
    "advection, Burgers, 1-D reaction–diffusion, Darcy and compressible flow, "
    "diffusion–sorption, 2-D diffusion–reaction and shallow water"
)
_POINT = {"cell_methods": "time: point"}


def matches_pdebench(file: Any) -> bool:
    """Whether an open ``h5py.File`` is of this layout."""
    whole = "x-coordinate" in file and ("tensor" in file or "density" in file)
    return whole or bool(_groups(file)) or _incompressible(file)


def _incompressible(file: Any) -> bool:
    """Whether it is of PDEBench, but of the flow whose axes no file describes."""
    return {"velocity", "particles"} <= set(file)


def open_pdebench(
    path: str | Path, components: Sequence[str] = ("u", "v", "w")
) -> xr.Dataset:
    """Trajectories on (sample, time, x, y, z), lazily.

    "tensor" is called "u"; the fields of compressible flow keep their names, as do the
    coefficients "nu" (sample, x, y) of Darcy flow, which has the one instant 0. A
    leading axis of one device, as the generators leave it, is dropped. Attributes of
    the file are kept; of groups, those of the first.

    A selection is read from the file without the rest. What PDEBench calls
    ``reduced_resolution=4, reduced_resolution_t=5`` is
    ``.isel(x=slice(None, None, 4), time=slice(None, None, 5))``, and the first tenth
    of the samples is its test set.

    Args:
        path: the file.
        components: names of the components of a file of groups, in their order; shallow
            water has one, the depth.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another layout, incomplete or truncated, or has more
            components than names were given.
    """
    with opened(path) as file:
        if groups := _groups(file):
            return _from_groups(path, file, groups, components)
        if not matches_pdebench(file):
            raise ValueError(
                "Files of PDEBench hold 'tensor' or 'density' beside 'x-coordinate', "
                f"or groups '0000' …, but {path} has {sorted(file)[:8]}. Is it of this "
                "layout?"
            )
        if _incompressible(file):
            raise ValueError(
                f"Of PDEBench {_SUPPORTED} are read, but {path} is its incompressible "
                f"flow, {sorted(file)[:8]} without coordinates. Read the arrays by "
                "h5py, and label them: xarray.Dataset on (sample, time, x, y)."
            )
        return _from_whole(path, file)


def _groups(file: Any) -> list[str]:
    names = sorted((name for name in file if _GROUP.fullmatch(name)), key=int)
    return names if names and "data" in file[names[0]] else []


def _from_whole(path: str | Path, file: Any) -> xr.Dataset:
    axes = [axis for axis in "xyz" if f"{axis}-coordinate" in file]
    dims = ("sample", "time", *axes)
    fields = {"u": "tensor"}
    if "tensor" not in file:
        fields = {name: name for name in _FLOW[: 2 + len(axes)]}
    variables = {n: _variable(path, stored, dims) for n, stored in fields.items()}
    first = next(iter(variables.values()))
    coords = {axis: vector(file, f"{axis}-coordinate") for axis in axes}
    steady = "t-coordinate" not in file and "nu" in file
    time = np.zeros(1) if steady else vector(file, "t-coordinate")
    if len(time) == first.sizes["time"] + 1:
        time = time[:-1]
    coords = {"time": time, **coords}
    expected = {"sample": first.sizes["sample"]} | {
        n: len(c) for n, c in coords.items()
    }
    if "nu" in file:
        variables["nu"] = _variable(path, "nu", ("sample", *axes))
    for name, variable in variables.items():
        extents = {dim: expected[str(dim)] for dim in variable.dims}
        if dict(variable.sizes) != extents:
            raise ValueError(
                "Every array has the extents of the coordinates (instants may be one "
                f"fewer), but in {path} {name!r} has {dict(variable.sizes)} where "
                f"{extents} were expected. Is the file complete?"
            )
        variable.attrs = dict(_POINT) if "time" in variable.dims else {}
    notes = {**attributes(file), "source": Path(path).name}
    return xr.Dataset(variables, coords, notes)


def _variable(path: str | Path, name: str, dims: tuple[str, ...]) -> xr.Variable:
    reader = Stored(path, name)
    if len(reader.shape) == len(dims) + 1 and reader.shape[0] == 1:
        return lazy_whole(reader, ("device", *dims)).isel(device=0)
    if len(reader.shape) != len(dims):
        raise ValueError(
            f"{name!r} has the axes {dims} here, and at most one axis of extent 1 "
            f"before them, but in {path} it has the shape {reader.shape}. Join the "
            "parts of several devices, or is a coordinate missing?"
        )
    return lazy_whole(reader, dims)


def _from_groups(
    path: str | Path, file: Any, groups: list[str], components: Sequence[str]
) -> xr.Dataset:
    coords = _grid(file, groups[0])
    shape = Stored(path, f"{groups[0]}/data").shape
    if shape[:-1] != tuple(len(points) for points in coords.values()):
        raise ValueError(
            f"The data of a group lie on {list(coords)} and components, but in {path} "
            f"{groups[0]!r} has the shape {shape} on "
            f"{ {dim: len(points) for dim, points in coords.items()} }. Is it complete?"
        )
    if len(components) < shape[-1]:
        raise ValueError(
            f"Every component has a name, but {path} has {shape[-1]} and the names are "
            f"{list(components)}. Give more as `components`."
        )

    def load(n: int) -> Stored:
        with opened(path) as again:
            here = _grid(again, groups[n])
        for dim, points in coords.items():
            if not np.array_equal(here.get(dim, np.empty(0)), points):
                raise ValueError(
                    f"All samples lie on one grid, but in {path} group {groups[n]!r} "
                    f"has another {dim!r} than {groups[0]!r}. Open them apart."
                )
        return Stored(path, f"{groups[n]}/data")

    whole = lazy(load, len(groups), (*coords, "component"))
    variables = {}
    for part, name in enumerate(components[: shape[-1]]):
        variables[name] = whole.isel(component=part)
        variables[name].attrs = dict(_POINT)
    notes = attributes(file) | attributes(file[groups[0]])
    notes["source"] = Path(path).name
    return xr.Dataset(variables, {**coords, "group": ("sample", groups)}, notes)


def _grid(file: Any, group: str) -> dict[str, np.ndarray]:
    axes = [axis for axis in "xyz" if f"{group}/grid/{axis}" in file]
    places = {"time": "t"} | {axis: axis for axis in axes}
    return {dim: vector(file, f"{group}/grid/{key}") for dim, key in places.items()}
