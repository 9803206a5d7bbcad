"""What is read of one frame of PhiFlow: numbers at the centres of uniform cells."""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wdno._arrays import contrast, not_finite, real, same_points

__all__ = [
    "Component",
    "Frame",
    "cells_of",
    "centres",
    "components",
    "import_phi",
    "numbers",
    "shares",
]

Frame = Mapping[str, Any]
"""Fields of PhiFlow by name."""


class Component(NamedTuple):
    """A scalar, or one number of a vector, as a tensor of PhiFlow."""

    values: Any
    notes: dict[str, str]


def import_phi() -> Any:
    """The package ``phi``, with what is used of it."""
    try:
        import phi.field  # pyright: ignore
        import phi.geom  # pyright: ignore
        import phi.math  # pyright: ignore
        import phi.physics.fluid  # pyright: ignore
    except ImportError as error:
        raise ModuleNotFoundError(
            "Fields of PhiFlow are read by PhiFlow itself, which is not installed. "
            "Install it: pip install 'wdno[phiflow]'."
        ) from error
    return phi


def cells_of(phi: Any, name: str, field: Any) -> Any:
    """The ``UniformGrid`` of a field."""
    known = isinstance(field, phi.field.Field)
    cells = field.geometry if known else field
    if not known or not isinstance(cells, phi.geom.UniformGrid):
        raise ValueError(
            "Trajectories are fields of PhiFlow on a uniform grid, but "
            f"{name!r} is a {'field on a ' * known}{type(cells).__name__}. Meshes and "
            "point clouds are brought to a grid by `phi.field.resample(field, to=…)`."
        )
    if cells.bounds.shape.batch:
        raise ValueError(
            f"All trajectories lie on one grid, but the bounds of {name!r} differ along"
            f" {list(cells.bounds.shape.batch.names)}. Bring them to the same ones by "
            "`phi.field.resample(field, to=…)`."
        )
    return cells


def centres(cells: Any) -> dict[str, np.ndarray]:
    """Centres of the cells by axis."""
    found = {}
    for axis in cells.vector.item_names:
        low, high = (
            float(end.vector[axis]) for end in (cells.bounds.lower, cells.bounds.upper)
        )
        count = cells.resolution.get_size(axis)
        found[axis] = low + (high - low) * (np.arange(count) + 0.5) / count
    return found


def _check_cells(name: str, came: Any, expected: Any) -> None:
    ours, theirs = centres(expected), centres(came)
    if ours.keys() != theirs.keys():
        wanted, found = str(list(ours)), str(list(theirs))
    else:
        other = [axis for axis in ours if not same_points(theirs[axis], ours[axis])]
        if not other:
            return
        ends = contrast(ours[other[0]], theirs[other[0]])
        wanted, found = (f"{other[0]} = {end}" for end in ends)
    raise ValueError(
        f"All fields and frames lie on one grid, with cells at {wanted}, but {name!r} "
        f"has {found}. Bring it there by `phi.field.resample(field, to=…)`."
    )


def components(phi: Any, frame: Frame, cells: Any) -> dict[str, Component]:
    """Scalars, and the components of vectors, at the centres of the cells."""
    found = {}
    for name, field in frame.items():
        _check_cells(name, cells_of(phi, name, field), cells)
        values = field.at_centers().values
        channels = values.shape.channel
        labels = [
            channels.get_item_names(dim) or range(channels.get_size(dim))
            for dim in channels.names
        ]
        for place in itertools.product(*labels):
            part = values[dict(zip(channels.names, place, strict=True))]
            label = "_".join(map(str, place))
            notes = {"field": name, "component": label} if place else {}
            found["_".join([name, *map(str, place)])] = Component(part, notes)
    return found


def numbers(phi: Any, name: str, values: Any, rows: Any, cells: Any) -> np.ndarray:
    """A tensor on (row, *space)."""
    whole = phi.math.expand(values, rows & cells.resolution)
    array = real(name, np.asarray(whole.numpy([rows, *cells.vector.item_names])))
    if (bad := not_finite(array)).any():
        raise ValueError(
            f"Fields must be finite, but {name} has NaN or Inf in row "
            f"{int(np.argmax(bad))} ({int(bad.sum())} rows in all). Shorten the steps "
            "of the simulation, or leave these out."
        )
    return array


def shares(phi: Any, static: Frame, cells: Any) -> Frame:
    """What is static as fields: of geometries the share that they cover of a cell."""
    found = {}
    for name, given in static.items():
        found[name] = given
        if isinstance(given, phi.field.Field):
            continue
        share = phi.field.CenteredGrid(0, 0, cells.bounds, cells.resolution)
        for part in given if isinstance(given, list | tuple) else [given]:
            geometry = _geometry(phi, name, part, cells)
            covered = phi.field.resample(geometry, to=cells, soft=True)
            share = phi.field.maximum(share, covered)
        found[name] = share
    return found


def _geometry(phi: Any, name: str, given: Any, cells: Any) -> Any:
    """A geometry, or that of an obstacle at rest, with the axes in the same order."""
    if isinstance(given, phi.physics.fluid.Obstacle):
        if not given.is_stationary:
            raise ValueError(
                f"What is static stands still, but an obstacle of {name!r} moves. Give "
                "it as a field with every frame."
            )
        given = given.geometry
    if not isinstance(given, phi.geom.Geometry):
        raise ValueError(
            "What is static is a field, geometry or obstacle of PhiFlow, or a list of "
            f"these, but {name!r} is a {type(given).__name__}. Label numbers of "
            "trajectories afterwards, by `.assign_coords`."
        )
    axes = cells.vector.item_names
    if set(given.vector.item_names) != set(axes):
        raise ValueError(
            f"Geometries lie in the space of the fields, {list(axes)}, but {name!r} "
            f"has {list(given.vector.item_names)}. Give it these axes."
        )
    return given.vector[list(axes)]
