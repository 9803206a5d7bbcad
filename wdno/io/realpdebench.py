"""Raw files of RealPDEBench (Hu et al. 2025): one HDF5 file a simulation or experiment.

Fluids: "measured_data/u", "v" and, of simulations, "p", with the axes (time, y, x);
"x" and "y" (y, x), the instants "t", and at times the vorticity "vo". Combustion:
"trajectory" (time, y, x) of experiments, "measured_data" (time, y, x[, channel]) of
simulations and surrogates. File names hold the parameters. The Arrow tables of the same
data are not read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno._files import located
from wdno.io.hdf5 import Stored, opened, vector
from wdno.trajectory.lazy import lazy

__all__ = ["matches_realpdebench", "open_realpdebench"]

_FLUID = ("u", "v", "p")
_POINT = {"cell_methods": "time: point"}
_DIMS = ("time", "y", "x")


def matches_realpdebench(file: Any) -> bool:
    """Whether an open ``h5py.File`` is of this layout."""
    return bool(_places(file))


def open_realpdebench(path: str | Path) -> xr.Dataset:
    """One file, or every file of a folder, on (sample, time, y, x), lazily.

    Fluids have "u", "v" and, where the files do, "p" and "vo"; combustion has
    "observed" or, of simulations, "numerical_0" … "numerical_14". The coordinate
    "simulation" is the name of the file, which holds its parameters. Positions are the
    coordinates "x" and "y" where the grid is rectangular and ends where it began; else
    they are the variables "x_position" and "y_position".

    Args:
        path: a file, or a folder such as ``cylinder/real``.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: a file is of another layout, incomplete or truncated, or has other
            arrays, extents, instants or positions than the first.
    """
    paths = _files(located(path))
    with opened(paths[0]) as file:
        places, lines, moving = _checked_places(file), _lines(file), _moving(file)
    for other in paths[1:]:
        _check_alike(paths[0], other)

    def stacked(key: str, dims: tuple[str, ...]) -> xr.Variable:
        return lazy(lambda n: Stored(paths[n], key), len(paths), dims)

    variables = {}
    for name, (key, channel) in places.items():
        dims = _DIMS if channel is None else (*_DIMS, "channel")
        whole = stacked(key, dims)
        variables[name] = whole if channel is None else whole.isel(channel=channel)
        variables[name].attrs = dict(_POINT)
    for dim, axes in moving.items():
        variables[f"{dim}_position"] = stacked(dim, _DIMS[3 - axes :])
    extents = {dim: len(line) for dim, line in lines.items()}
    for name, variable in variables.items():
        for dim, size in variable.sizes.items():
            if extents.setdefault(str(dim), size) != size:
                raise ValueError(
                    f"Along {dim!r} every array has one extent, but in {paths[0]} "
                    f"{name!r} has {size} where {extents[str(dim)]} were expected. Is "
                    "it complete?"
                )
    coords = {**lines, "simulation": ("sample", [p.stem for p in paths])}
    return xr.Dataset(variables, coords, {"source": Path(path).name})


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [p for p in path.iterdir() if p.suffix in (".h5", ".hdf5")]
    if not found:
        raise ValueError(
            f"Simulations are files *.h5 of a folder, but {path} has none. Is it the "
            "right level, such as cylinder/real?"
        )

    def numbers(file: Path) -> list[float]:
        return [float(part) for part in re.findall(r"\d+\.?\d*", file.stem)]

    return sorted(found, key=lambda file: (numbers(file), file.name))


def _places(file: Any) -> Mapping[str, tuple[str, int | None]]:
    """Where each variable lies: name of the dataset, and its channel if it has any."""
    if "trajectory" in file:
        return {"observed": ("trajectory", None)}
    measured = file.get("measured_data")
    if hasattr(measured, "keys"):
        places = {name: f"measured_data/{name}" for name in (*_FLUID, "vo")}
        if "vo" in file:
            places["vo"] = "vo"
        found = {name: (key, None) for name, key in places.items() if key in file}
        return found if {"u", "v"} <= found.keys() else {}
    shape = () if measured is None else measured.shape
    if len(shape) == 4:
        return {f"numerical_{n}": ("measured_data", n) for n in range(shape[-1])}
    return {"observed": ("measured_data", None)} if len(shape) == 3 else {}


def _checked_places(file: Any) -> Mapping[str, tuple[str, int | None]]:
    if places := _places(file):
        return places
    raise ValueError(
        "Files of RealPDEBench hold 'measured_data' with 'u' and 'v', or "
        f"'trajectory', but {file.filename} has {sorted(file)[:8]}. Is it of this "
        "layout?"
    )


def _lines(file: Any) -> dict[str, np.ndarray]:
    """Instants, and positions along the axes of a rectangular grid at rest."""
    found = {}
    for name in ("t", "time"):
        if name in file:
            found["time"] = np.atleast_1d(vector(file, name).squeeze())
    for axis, dim in enumerate("yx"):
        if dim not in file:
            continue
        stored = Stored(file.filename, dim)
        frames, plane = stored.shape[:-2], (slice(None),) * min(len(stored.shape), 2)
        keys = [(n, *plane) for n in (0, frames[0] - 1)] if frames else [plane]
        ends = [stored.read(key) for key in keys]
        line = ends[0].take([0], axis=1 - axis) if len(plane) == 2 else ends[0]
        if all(np.array_equal(end, np.broadcast_to(line, end.shape)) for end in ends):
            found[dim] = line.ravel()
    return found


def _moving(file: Any) -> dict[str, int]:
    """Number of axes of the positions that are no lines."""
    lines = _lines(file)
    return {dim: file[dim].ndim for dim in "yx" if dim in file and dim not in lines}


def _check_alike(first: Path, other: Path) -> None:
    described = []
    for path in (first, other):
        with opened(path) as file:
            places = _checked_places(file)
            shapes = {name: file[key].shape for name, (key, _) in places.items()}
            described.append({"arrays": shapes} | _lines(file))
    ours, theirs = described
    for what in ours | theirs:
        if not np.array_equal(ours.get(what), theirs.get(what)):
            raise ValueError(
                f"Files that are opened together are alike, but {other.name} differs "
                f"from {first.name} in {what!r}: {_brief(theirs.get(what))} against "
                f"{_brief(ours.get(what))}. Open them one by one."
            )


def _brief(found: Any) -> str:
    if not isinstance(found, np.ndarray):
        return str(found)
    return f"{len(found)} from {found[0]:g} to {found[-1]:g}"
