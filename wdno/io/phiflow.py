"""Fields of PhiFlow (https://github.com/tum-pbs/PhiFlow) as a dataset.

PhiFlow names the axes of a tensor, so nothing here goes by their order. It is imported
when it is needed; the extra "phiflow" installs it.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from wdno._arrays import contrast, same_points
from wdno.io.phiflow_fields import (
    Frame,
    cells_of,
    centres,
    components,
    import_phi,
    numbers,
    shares,
)
from wdno.trajectory import axis_numbers

__all__ = ["from_phiflow"]


def from_phiflow(
    trajectories: Frame | Iterable[Any],
    time: Sequence[Any] | np.ndarray,
    *,
    static: Frame | Sequence[Frame] | None = None,
) -> xr.Dataset:
    """Label what PhiFlow simulated: trajectories on (sample, time, *space).

    A trajectory is a sequence of frames, each a mapping from names to fields on one
    uniform grid; or one such mapping of fields that have a dimension "time", as
    ``phi.math.iterate`` makes them. Batch dimensions become rows of "sample", of which
    the first varies slowest. Staggered velocities are brought to the centres of the
    cells by ``Field.at_centers``: each component is the mean of two faces of the cell,
    by the boundary condition where a face is not stored. Components of the vector
    "velocity" are "velocity_x", "velocity_y", which their attributes "field" and
    "component" say as well. Space is in the units of the bounds.

    Args:
        trajectories: one trajectory, or several on one grid; a generator of frames or
            trajectories will do.
        time: the instants of the frames, increasing: numbers, dates or durations.
        static: what never changes, by name, once for all trajectories or a mapping for
            each: a field, or a geometry or obstacle, or a sequence of these, of which
            the dataset has the share of each cell that they cover, from 0 to 1, as
            PhiFlow estimates it (``resample(…, soft=True)``).

    Returns:
        Fields in the precision that came; what is static as coordinates, which have
        the axis "sample" if it differs between trajectories.

    Raises:
        ValueError: what came is no field on a uniform grid; a frame has other fields
            or lies on another grid; there is not one instant for each frame; values
            are not finite; an obstacle moves.
        ModuleNotFoundError: PhiFlow is not installed.

    Example:
        >>> frames = [{"smoke": smoke, "velocity": velocity}]
        >>> for _ in range(20):
        ...     smoke, velocity = step(smoke, velocity, dt=0.5)
        ...     frames.append({"smoke": smoke, "velocity": velocity})
        >>> data = from_phiflow(
        ...     frames, 0.5 * np.arange(21), static={"obstacle": obstacles})
        >>> data.velocity_x.dims
        ('sample', 'time', 'x', 'y')
    """
    phi = import_phi()
    instants = _instants(time)
    each = None if static is None or isinstance(static, Mapping) else list(static)
    parts: list[xr.Dataset] = []
    for n, frames in enumerate(_trajectories(trajectories)):
        if each is None:
            part = _labelled(phi, frames, instants, static or {})
        else:
            own = each[n] if n < len(each) else {}
            part = _with_rows(_labelled(phi, frames, instants, own))
        if parts:
            _check_alike(parts[0], part, n)
        parts.append(part)
    if not parts or (each is not None and len(each) != len(parts)):
        raise ValueError(
            "There are one trajectory or more and, if `static` is a sequence, as many "
            f"mappings in it, but {len(parts)} trajectories came and "
            f"{'no' if each is None else len(each)} mappings. Give one for each."
        )
    return xr.concat(
        parts,
        "sample",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
    )


def _instants(time: Sequence[Any] | np.ndarray) -> np.ndarray:
    instants = np.asarray(time)
    if instants.ndim != 1 or not (np.diff(axis_numbers("time", instants)) > 0).all():
        raise ValueError(
            "`time` has the instants of the frames, which increase, but has the shape "
            f"{instants.shape} and begins with {instants.ravel()[:4].tolist()}. Give "
            "one for each frame, e.g. `dt * np.arange(frames)`."
        )
    return instants


def _trajectories(given: Frame | Iterable[Any]) -> Iterator[Iterable[Frame]]:
    """The frames of every trajectory; one alone is told by what it begins with."""
    items = iter([given] if isinstance(given, Mapping) else given)
    for first in items:
        if not isinstance(first, Mapping):
            yield first
        elif any(map(_has_time, first.values())) or first is given:
            yield _over_time(first)
        else:
            yield itertools.chain([first], items)


def _has_time(field: Any) -> bool:
    return "time" in getattr(field, "shape", ())


def _over_time(fields: Frame) -> Iterator[Frame]:
    """Frames of fields that have a dimension "time"."""
    if still := [name for name, field in fields.items() if not _has_time(field)]:
        raise ValueError(
            'Fields that do not come frame by frame have a dimension "time", but '
            f"{still} have none. Give what never changes as `static`, or a list of "
            "frames."
        )
    counts = {n: field.shape.get_size("time") for n, field in fields.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            "All fields of a trajectory have the same instants, but there are "
            f"{counts}. Cut them to the same ones."
        )
    for n in range(max(counts.values(), default=0)):
        yield {name: field.time[n] for name, field in fields.items()}


def _labelled(
    phi: Any, frames: Iterable[Frame], instants: np.ndarray, static: Frame
) -> xr.Dataset:
    """A trajectory, or as many as its batch dimensions have places."""
    found, cells = [], None
    for frame in frames:
        cells = cells or cells_of(phi, *next(iter(frame.items()), ("nothing", None)))
        found.append(components(phi, frame, cells))
        if found[-1].keys() != found[0].keys():
            raise ValueError(
                f"Every frame has the same fields, {sorted(found[0])}, but frame "
                f"{len(found) - 1} has {sorted(found[-1])}. Give all of them each time."
            )
    if cells is None or len(found) != len(instants):
        raise ValueError(
            f"There is one instant for each frame, but {len(found)} frames came and "
            f"{len(instants)} instants. Make `time` as long as the trajectory."
        )
    beside = components(phi, shares(phi, static, cells), cells)
    space = centres(cells)
    names = ["sample", "time", *space, *found[0], *beside]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            "Fields, what is static and axes differ in their names, but "
            f"{sorted(twice)} came twice. Rename the fields."
        )
    every = [part.values for frame in (*found, beside) for part in frame.values()]
    rows = phi.math.merge_shapes(*(values.shape.batch for values in every))
    variables, coords = {}, {"time": instants, **space}
    for name, (_, notes) in found[0].items():
        columns = [
            numbers(phi, f"{name} of frame {n}", frame[name].values, rows, cells)
            for n, frame in enumerate(found)
        ]
        notes = notes | {"cell_methods": "time: point"}
        variables[name] = ("sample", "time", *space), np.stack(columns, 1), notes
    for name, (values, notes) in beside.items():
        same = not values.shape.batch
        array = numbers(
            phi, name, values, phi.math.EMPTY_SHAPE if same else rows, cells
        )
        dims = tuple(space) if same else ("sample", *space)
        coords[name] = dims, array[0] if same else array, notes
    return xr.Dataset(variables, coords, {"source": "PhiFlow"})


def _with_rows(part: xr.Dataset) -> xr.Dataset:
    """What is static repeated for each row."""
    rows = part.sizes["sample"]
    same = [n for n, v in part.coords.items() if n not in part.dims]
    same = [n for n in same if "sample" not in part[n].dims]
    return part.assign_coords({n: part[n].expand_dims(sample=rows) for n in same})


def _check_alike(first: xr.Dataset, part: xr.Dataset, number: int) -> None:
    """Refuse trajectories that have other fields, or lie on another grid."""
    if first.variables.keys() != part.variables.keys():
        raise ValueError(
            f"All trajectories have the same fields, {sorted(first.variables)}, but "
            f"trajectory {number} has {sorted(part.variables)}. Give them to each."
        )
    for axis in first.dims:
        if axis != "sample" and not same_points(part[axis].values, first[axis].values):
            wanted, found = contrast(first[axis].values, part[axis].values)
            raise ValueError(
                f"All trajectories lie on one grid, with cells at {axis} = {wanted}, "
                f"but trajectory {number} has {found}. Bring it there by "
                "`phi.field.resample(field, to=…)`."
            )
