"""Writing files of The Well."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno.io.hdf5 import created, write, write_attributes
from wdno.io.the_well.reading import BORDERS, FIELDS, varying

__all__ = ["save_the_well"]

_OURS = ("boundaries", "source", "spatial_dims")


def save_the_well(dataset: xr.Dataset, path: str | Path) -> None:
    """Write simulations as The Well reads them; see `open_the_well`.

    Variables whose attributes name a "field" and a "component" become one vector or
    tensor; all others are scalars. The attribute "boundaries" is written as groups.

    Args:
        dataset: variables on (sample, time, *space), or fewer of these axes, in any
            order, with coordinates.
        path: the file to write.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        ValueError: a coordinate or a component is missing, or axes are not these.
    """
    space = _space(dataset)
    notes = {
        "dataset_name": Path(path).stem,
        "grid_type": "cartesian",
        "simulation_parameters": [],
        **dataset.attrs,
        "n_spatial_dims": len(space),
        "n_trajectories": dataset.sizes["sample"],
    }
    fields: dict[str, dict[str, str]] = {}
    for name, variable in dataset.data_vars.items():
        field = str(variable.attrs.get("field", name))
        parts = fields.setdefault(field, {})
        parts[str(variable.attrs.get("component", ""))] = str(name)
    with created(path) as file:
        write_attributes(file, {n: v for n, v in notes.items() if n not in _OURS})
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = space
        for dim in ("time", *space):
            dimensions[dim] = dataset[dim].values.astype(np.float32)
            flags = {"sample_varying": False, "time_varying": False}
            write_attributes(dimensions[dim], flags)
        del dimensions["time"].attrs["time_varying"]
        for group in (*FIELDS, "scalars", BORDERS):
            file.create_group(group)
        for field, parts in fields.items():
            _write_field(file, dataset, field, parts, space)
        for group in FIELDS:
            file[group].attrs["field_names"] = list(file[group])
        _write_scalars(file, dataset)
        _write_borders(file, dataset)


def _space(dataset: xr.Dataset) -> list[str]:
    dims = [d for d in dataset.attrs.get("spatial_dims", []) if d in dataset.dims]
    dims += [str(d) for v in dataset.data_vars.values() for d in v.dims]
    space = [dim for dim in dict.fromkeys(dims) if dim not in ("sample", "time")]
    lacking = [dim for dim in ("time", *space) if dim not in dataset.coords]
    foreign = "sample" not in dataset.dims or "member" in dataset.dims
    if foreign or not space or lacking:
        raise ValueError(
            "This layout writes (sample, time, *space) with coordinates, but got "
            f"{dict(dataset.sizes)}, without coordinates {lacking}. Add them by "
            "`.assign_coords`, and 'sample' by `.expand_dims`."
        )
    if bare := [name for name, v in dataset.data_vars.items() if not v.dims]:
        raise ValueError(
            f"Fields have axes, but {bare} have none. Make them coordinates, which "
            "this layout writes as scalars, by `.set_coords`."
        )
    return space


def _write_field(
    file: Any, dataset: xr.Dataset, field: str, parts: dict[str, str], space: list[str]
) -> None:
    order = next((n for n in (1, 2) if parts.keys() == _labels(space, n)), 0)
    if not order and list(parts) != [""]:
        raise ValueError(
            f"A vector or tensor has a component for each of {space}, but {field!r} "
            f"has {sorted(parts)}. Add the others, or remove its attribute 'field'."
        )
    columns = [dataset[parts[label]] for label in sorted(parts, key=_place(space))]
    dims = [d for d in ("sample", "time", *space) if d in columns[0].dims]
    columns = [column.transpose(*dims) for column in columns]
    shape = columns[0].shape + (len(space),) * order

    def rows() -> Iterator[np.ndarray]:
        for n in range(shape[0]):
            row = [column[n].values for column in columns]
            yield row[0] if not order else np.stack(row, -1).reshape(shape[1:])

    stored = write(file, f"{FIELDS[order]}/{field}", rows(), shape)
    flags = {f"{dim}_varying": dim in dims for dim in ("sample", "time")}
    varies = [dim in dims for dim in space]
    extra = {"symmetric": False, "antisymmetric": False} if order == 2 else {}
    write_attributes(stored, {**flags, "dim_varying": varies, **extra})


def _labels(space: list[str], order: int) -> set[str]:
    return {"".join(pair) for pair in itertools.product(space, repeat=order)}


def _place(space: list[str]) -> Any:
    ordered = [*space, *map("".join, itertools.product(space, repeat=2))]
    return lambda label: ordered.index(label) if label else 0


def _write_scalars(file: Any, dataset: xr.Dataset) -> None:
    for name, value in dataset.coords.items():
        own = set(value.dims) <= {"sample", "time"} and name not in dataset.dims
        if not own or value.dtype.kind not in "fiu":
            continue
        dims = [dim for dim in ("sample", "time") if dim in value.dims]
        numbers = np.atleast_1d(value.transpose(*dims).values).astype(np.float32)
        stored = file["scalars"].create_dataset(str(name), data=numbers)
        flags = {f"{dim}_varying": dim in dims for dim in ("sample", "time")}
        write_attributes(stored, flags)
    file["scalars"].attrs["field_names"] = list(file["scalars"])


def _write_borders(file: Any, dataset: xr.Dataset) -> None:
    for name, notes in json.loads(dataset.attrs.get("boundaries", "{}")).items():
        group = file[BORDERS].create_group(name)
        write_attributes(group, notes)
        if f"{name}_mask" in dataset.coords:
            mask = dataset[f"{name}_mask"]
            dims = varying(notes) + list(notes.get("associated_dims", []))
            group["mask"] = mask.transpose(*dims).values
