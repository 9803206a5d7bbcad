"""Labelled initial states and controls -> the batch that a verb works on."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from wdno._arrays import contrast, same_points
from wdno._typing import Fields
from wdno.trajectory._checks import named
from wdno.trajectory.alignment import to_batch
from wdno.trajectory.axes import axis_numbers
from wdno.trajectory.keys import States, initial_keys

__all__ = [
    "at_instant",
    "check_grid",
    "inputs",
    "static_fields",
    "on_grid",
    "over_intervals",
    "to_inputs",
]


def to_inputs(
    initial: xr.DataArray | xr.Dataset,
    control: xr.DataArray | xr.Dataset | None,
    coords: Mapping[str, np.ndarray],
    state: States,
    controls: Sequence[str],
    static: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Fields, dict[str, int]]:
    """Turn labelled initial states and controls into the batch that a verb works on.

    Every dimension that is no coordinate (sample, member, …) becomes part of the batch;
    one that only the initial state or only the control has is broadcast.

    Args:
        initial: Initial states on (*batch, *space): a dataset with every state, or the
            array of the only one.
        control: Controls on (*batch, time, *space), as `initial`; the time axis holds
            t_0 … t_(M-1), or also t_M, whose row acts no more and is left out. Left out
            altogether where there are no controls.
        coords: Expected instants t_0 … t_M under "time", then positions by axis.
        state: Names of the states, or the keys of their initial values by name.
        controls: Names of the controls.
        static: Axes by name of what never changes, see `static_fields`.

    Returns:
        The fields "u0" and "f" (by the names given), what is static, and the extents of
        the batch axes.

    Raises:
        ValueError: If a variable is missing, lies on another grid or is not finite.
    """
    found = inputs(initial, control, coords, state, controls, static)
    return to_batch(found, coords)


def inputs(
    initial: xr.DataArray | xr.Dataset,
    control: xr.DataArray | xr.Dataset | None,
    coords: Mapping[str, np.ndarray],
    state: States,
    controls: Sequence[str],
    static: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, xr.DataArray]:
    """The labelled fields of `to_inputs`, once they lie on the grid; nothing is read.

    Raises:
        ValueError: If a variable is missing or lies on another grid.
    """
    space = {name: points for name, points in coords.items() if name != "time"}
    keys = initial_keys(state, (*controls, *(static or {})))
    initials = at_instant(initial, tuple(keys), space)
    arrays = {keys[name]: array for name, array in initials.items()}
    arrays |= static_fields(initial, static or {}, space)
    return arrays | over_intervals(control, controls, coords)


def static_fields(
    given: xr.DataArray | xr.Dataset,
    static: Mapping[str, tuple[str, ...]],
    space: Mapping[str, np.ndarray],
) -> dict[str, xr.DataArray]:
    """What never changes, such as obstacles: coordinates or variables of ``given``.

    Args:
        given: Labelled initial states.
        static: Names of what is wanted, and the axes of space it has.
        space: Expected positions by axis.

    Raises:
        ValueError: If one is missing or lies on another grid.
    """
    found = {}
    for name, dims in static.items():
        present = given.coords if isinstance(given, xr.DataArray) else given.variables
        if name not in present:
            raise ValueError(
                f"The initial states carry what never changes, {list(static)}, as "
                f"coordinates, but {name!r} is missing from "
                f"{sorted(map(str, present))}. "
                f"Add it, e.g. by `.assign_coords({name}=...)`."
            )
        found[name] = check_grid(given[name], {dim: space[dim] for dim in dims})
    return found


def at_instant(
    given: xr.DataArray | xr.Dataset,
    names: Sequence[str],
    space: Mapping[str, np.ndarray],
) -> dict[str, xr.DataArray]:
    """States at one instant on (*batch, *space), by name.

    Args:
        given: A dataset with every state, or the array of the only one.
        names: Names of the states.
        space: Expected positions by axis.

    Raises:
        ValueError: If a state is missing, lies on another grid or has a time axis.
    """
    for name, array in named(given, names).items():
        if "time" in array.dims:
            raise ValueError(
                "Final and initial states have no dimension 'time', but "
                f"{name} has {array.sizes['time']} instants. Select one, e.g. by "
                "`.isel(time=0)`."
            )
    return on_grid(given, names, space)


def on_grid(
    given: xr.DataArray | xr.Dataset,
    names: Sequence[str],
    grid: Mapping[str, np.ndarray],
) -> dict[str, xr.DataArray]:
    """Fields on (*batch, *axes of `grid`), by name.

    Args:
        given: A dataset with every field, or the array of the only one.
        names: Names of the fields.
        grid: Expected coordinates by axis, in axis order.

    Raises:
        ValueError: If a field is missing or lies on another grid.
    """
    return {n: check_grid(array, grid) for n, array in named(given, names).items()}


def over_intervals(
    given: xr.DataArray | xr.Dataset | None,
    names: Sequence[str],
    coords: Mapping[str, np.ndarray],
) -> dict[str, xr.DataArray]:
    """Controls on (*batch, M, *space), by name: the row of t_M, if any, is left out.

    Args:
        given: A dataset with every control, or the array of the only one; None where
            there are no controls.
        names: Names of the controls.
        coords: Expected instants t_0 … t_M under "time", then positions by axis.

    Raises:
        ValueError: If a control is missing or lies on another grid.
    """
    starts = {**coords, "time": coords["time"][:-1]}
    arrays = {}
    given = xr.Dataset() if given is None else given
    for name, array in named(given, names).items():
        whole = array.sizes.get("time") == len(coords["time"])
        checked = check_grid(array, coords if whole else starts)
        arrays[name] = checked.isel(time=slice(len(starts["time"])))
    return arrays


def check_grid(array: xr.DataArray, grid: Mapping[str, np.ndarray]) -> xr.DataArray:
    """Return ``array`` with the axes of ``grid`` last, once it lies on that grid.

    An axis without coordinates is taken to be the expected one if its extent is right.

    Args:
        array: A labelled field.
        grid: Expected coordinates by axis, in axis order.

    Raises:
        ValueError: If an axis is missing, has another extent, or a coordinate differs
            by more than a thousandth of the spacing.
    """
    for name, expected in grid.items():
        if name not in array.dims:
            raise ValueError(
                f"The field needs the dimensions {list(grid)}, but has "
                f"{list(array.dims)}. Rename or add the dimension {name!r}."
            )
        came = axis_numbers(name, array[name].values)
        counted = name not in array.coords and len(came) == len(expected)
        if not counted and not same_points(came, expected):
            wanted, found = contrast(expected, came)
            raise ValueError(
                f"The field must be given at {name} = {wanted}, but came at {found}. "
                f"Interpolate it with `.interp({name}=...)` or use a system with its "
                f"grid.{_if_moved(name, came, expected)}"
            )
    return array.transpose(..., *grid)


def _if_moved(name: str, came: np.ndarray, expected: np.ndarray) -> str:
    """What to do about the right points from another origin, or in another unit."""
    if len(came) != len(expected) or len(came) < 2 or not np.ptp(came):
        return ""
    ratio = float(np.ptp(expected) / np.ptp(came))
    if not same_points((came - came[0]) * ratio + expected[0], expected):
        return ""
    moved = abs(ratio - 1) < 1e-6
    what = "counted from another origin" if moved else "in other units"
    return (
        f" If they are the same points {what} (dates and durations count in seconds), "
        f"`.assign_coords({name}=...)` gives them the expected ones."
    )
