"""Data files of The Well (Ohana et al. 2024, arXiv 2412.00568; docs/data_format.md).

An HDF5 file holds simulations of one set of parameters: the group "dimensions" has time
and positions; "t0_fields", "t1_fields" and "t2_fields" have scalars, vectors and
tensors with the axes (sample, time, *space, *components). Each says in
"sample_varying", "time_varying" and "dim_varying" which axes it has; the others are
absent. "scalars" has numbers, "boundary_conditions" kinds and masks.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import xarray as xr

from wdno.io.hdf5 import Stored, attributes, opened, vector
from wdno.trajectory.lazy import lazy_whole

__all__ = ["matches_the_well", "open_the_well"]

_FIELDS = ("t0_fields", "t1_fields", "t2_fields")
_BORDERS = "boundary_conditions"


def matches_the_well(file: Any) -> bool:
    """Whether an open ``h5py.File`` is of this layout."""
    described = "dimensions" in file and "spatial_dims" in file["dimensions"].attrs
    counted = "n_trajectories" in file.attrs
    return counted and described and any(group in file for group in _FIELDS)


def open_the_well(path: str | Path) -> xr.Dataset:
    """Simulations on (sample, time, *space), lazily.

    A scalar keeps its name; components of the vector "velocity" are "velocity_x",
    "velocity_y", those of the tensor "D" "D_xx", "D_xy" …, which their attributes
    "field" and "component" say as well. What does not vary lacks the axis. Scalars and
    the masks of boundaries ("x_wall_mask") are coordinates; the attribute "boundaries"
    says in JSON what kind each is. Values at boundaries are not read. An axis whose
    positions differ from sample to sample is numbered, and its positions are the
    coordinate "time_of_sample".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another layout, incomplete or truncated.
    """
    with opened(path) as file:
        if not matches_the_well(file):
            raise ValueError(
                "Files of The Well have groups 'dimensions', 't0_fields' … and the "
                f"attribute 'n_trajectories', but {path} has {sorted(file)[:8]} and "
                f"{sorted(file.attrs)[:8]}. Is it of this layout?"
            )
        space = attributes(file["dimensions"])["spatial_dims"]
        variables: dict[str, xr.Variable] = {}
        for order, group in enumerate(_FIELDS):
            for name in file.get(group, ()):
                variables |= _field(path, file, f"{group}/{name}", space, order)
        coords = _positions(file, space) | _scalars(path, file)
        borders = {n: attributes(g) for n, g in file.get(_BORDERS, {}).items()}
        for name, flags in borders.items():
            if "mask" in file[_BORDERS][name]:
                key, own = f"{_BORDERS}/{name}/mask", flags.get("associated_dims", [])
                coords[f"{name}_mask"] = _lazily(path, key, _varying(flags) + own)
        notes = attributes(file)
    _check_extents(path, int(notes["n_trajectories"]), variables | coords)
    notes |= {"spatial_dims": space, "boundaries": json.dumps(borders)}
    notes["source"] = Path(path).name
    return xr.Dataset(variables, coords, notes)


def _varying(flags: dict[str, Any]) -> list[str]:
    """Which of the axes "sample" and "time" something has, by its attributes."""
    return [dim for dim in ("sample", "time") if flags.get(f"{dim}_varying")]


def _lazily(path: str | Path, key: str, dims: list[str]) -> xr.Variable:
    reader = Stored(path, key)
    if len(reader.shape) != len(dims):
        raise ValueError(
            f"By its attributes {key!r} has the axes {dims}, but in {path} it has the "
            f"shape {reader.shape}. Correct sample_varying, time_varying or "
            "dim_varying."
        )
    return lazy_whole(reader, tuple(dims))


def _field(
    path: str | Path, file: Any, key: str, space: list[str], order: int
) -> dict[str, xr.Variable]:
    axes = len(Stored(path, key).shape)
    flags = attributes(file[key])
    dims = _varying(flags)
    notes = {"cell_methods": "time: point"} if "time" in dims else {}
    dims += list(itertools.compress(space, flags.get("dim_varying", space)))
    flat = order == 2 and axes == len(dims) + 1  # both components on one axis
    parts = ["part"] if flat else [f"part{n}" for n in range(order)]
    whole = _lazily(path, key, dims + parts)
    name = key.split("/")[1]
    if not order:
        whole.attrs = notes
        return {name: whole}
    count = len(space) ** (order if flat else 1)
    if any(whole.sizes[part] != count for part in parts):
        raise ValueError(
            f"Vectors and tensors have a component for each of {space}, but {key!r} in "
            f"{path} has the shape {whole.shape}. Is it of this layout?"
        )
    found = {}
    for n, component in enumerate(itertools.product(range(len(space)), repeat=order)):
        where = [n] if flat else component
        part = whole.isel(dict(zip(parts, where, strict=True)))
        label = "".join(space[c] for c in component)
        part.attrs = {**notes, "field": name, "component": label}
        found[f"{name}_{label}"] = part
    return found


def _positions(file: Any, space: list[str]) -> dict[str, xr.Variable]:
    found = {}
    for dim in ("time", *space):
        values = vector(file, f"dimensions/{dim}")
        if values.ndim == 2 and (values == values[:1]).all():
            values = values[0]
        dims = (dim,) if values.ndim == 1 else ("sample", dim)
        found[dim if values.ndim == 1 else f"{dim}_of_sample"] = xr.Variable(
            dims, values
        )
    return found


def _scalars(path: str | Path, file: Any) -> dict[str, xr.Variable]:
    found = {}
    for name in file.get("scalars", ()):
        dims = _varying(attributes(file["scalars"][name]))
        if dims:
            found[name] = _lazily(path, f"scalars/{name}", dims)
        else:
            found[name] = xr.Variable((), vector(file, f"scalars/{name}").squeeze())
    return found


def _check_extents(
    path: str | Path, samples: int, variables: dict[str, xr.Variable]
) -> None:
    extents = {"sample": (samples, "n_trajectories")}
    for name, variable in variables.items():
        for dim, size in variable.sizes.items():
            known, other = extents.setdefault(str(dim), (size, name))
            if known != size:
                raise ValueError(
                    f"Along {dim!r} every array has one extent, but in {path} "
                    f"{other!r} has {known} and {name!r} {size}. Is it complete?"
                )
