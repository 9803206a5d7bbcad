"""Coarser grids, shorter records and longer ones."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer
from jaxtyping import Array, Int

from wdno._arrays import apart
from wdno.trajectory.axes import axis_numbers
from wdno.trajectory.cells import acts_over_intervals, averaged_over

__all__ = ["append", "coarsen", "windows"]

Values = TypeVar("Values", np.ndarray, Array)


def coarsen(dataset: xr.Dataset, factor: int | Mapping[str, int]) -> xr.Dataset:
    """Restrict trajectories to a grid coarser by ``factor`` in time and space.

    Space is subsampled, unless values are means over cells (``cell_methods`` such as
    "time: point x: mean"): then cells are merged, which keeps what they contain, and
    lie around their own centres. States are subsampled in time; a control, held over
    each interval ("time: mean"), is averaged over the merged intervals, which keeps its
    impulse.

    Args:
        dataset: Trajectories on (*batch, time, *space) with ``cell_methods``.
        factor: A power of two that divides the intervals of time and the points, or
            one for each axis by name.

    Raises:
        ValueError: If the factor is no such number, ``cell_methods`` is missing, or
            says of some variables alone that they are means over the cells of an axis.
    """
    moving = {n: v for n, v in dataset.data_vars.items() if "time" in v.dims}
    space = {d for v in moving.values() for d in v.dims[v.dims.index("time") + 1 :]}
    if isinstance(factor, Mapping):  # axes may be in any order
        space &= factor.keys()
    extents = {d: dataset.sizes[d] for d in space} | {"time": dataset.sizes["time"] - 1}
    factors = factor if isinstance(factor, Mapping) else dict.fromkeys(extents, factor)
    if wrong := [n for n in factors.values() if n < 1 or n & (n - 1)]:
        raise ValueError(
            f"Grids are coarsened by a power of two, but factor is {wrong[0]}. Choose "
            "1, 2, 4, …"
        )
    if uneven := {name: n for name, n in extents.items() if n % factors[name]}:
        raise ValueError(
            f"The factor must divide the intervals of time and the points, but "
            f"{factor} does not divide {uneven}. Choose a smaller factor."
        )
    cells = _axes_of_cells(moving, space)
    thin = dataset.isel({d: slice(None, None, factors[d]) for d in space - cells})
    if cells:
        merged = thin.coarsen({dim: factors[dim] for dim in cells})
        thin = merged.mean(keep_attrs=True)
    held = {
        name: _merged_intervals(thin[name].variable, factors["time"])
        for name, variable in moving.items()
        if acts_over_intervals(variable)
    }
    return thin.isel(time=slice(None, None, factors["time"])).assign(held)


def windows(
    fields: Mapping[str, Values],
    length: int,
    starts: Int[np.ndarray | Array, " window"],
    rows: Int[np.ndarray | Array, " window"] | None = None,
    initial: Mapping[str, str] | None = None,
) -> dict[str, Values]:
    """Cut one window of ``length`` frames a row, each from its own first frame.

    Initial values become those of the window: the state at the instant before its first
    frame.

    Args:
        fields: Arrays as `to_arrays` describes them: NumPy arrays (also memory maps,
            of which only the windows are read) or JAX arrays.
        length: Frames in a window.
        starts: First frame of each window, from 0 to M - length.
        rows: Row of ``fields`` that each window is cut from; by default window i is
            cut from row i.
        initial: Keys of initial values by the state that they are of, such as
            ``{"u": "u0"}``.

    Raises:
        ValueError: If a window does not lie within the record.

    Example:
        >>> fields = {"u0": np.zeros((1, 3)), "u": np.ones((1, 8, 3))}
        >>> cut = windows(fields, 4, np.array([2]), initial={"u": "u0"})
        >>> cut["u"].shape, cut["u0"][0, 0]
        ((1, 4, 3), np.float64(1.0))
    """
    states = {key: name for name, key in (initial or {}).items()}
    frames = min(v.shape[1] for name, v in fields.items() if name not in states)
    _check_windows(length, starts, frames)
    rows = np.arange(len(starts)) if rows is None else rows
    instants = starts[:, None] + np.arange(length, dtype=starts.dtype)[None]
    cut = {}
    for name, values in fields.items():
        if name not in states:
            cut[name] = values[rows[:, None], instants]
            continue
        before = fields[states[name]][rows, (starts - 1).clip(0)]
        first = (starts == 0).reshape(-1, *[1] * (values.ndim - 1))
        choose = np.where if isinstance(before, np.ndarray) else jnp.where
        cut[name] = choose(first, values[rows], before)
    return cut


def append(earlier: xr.Dataset, later: xr.Dataset) -> xr.Dataset:
    """Two records in a row, of which the later begins where the earlier ends.

    At the instant that both have, what acts over an interval is the later record's, and
    all else the earlier one's. Variables that only the later record has are NaN before
    it, and those without time are kept; variables that only the earlier one has are
    left out.

    Args:
        earlier: Trajectories on (*batch, time, *space) with ``cell_methods``.
        later: The same from the last instant of `earlier` on; it may have more batch
            axes, along which the earlier record is repeated.

    Raises:
        ValueError: If the later record does not begin at the end of the earlier one.

    Example:
        >>> calm = wdno.simulate(model, u0, frames=48, key=key)
        >>> plan = wdno.control(planner, calm.isel(time=-1), key=key)
        >>> record = append(calm, plan)
    """
    ends = float(axis_numbers("time", earlier["time"].values)[-1])
    begins, next_one = axis_numbers("time", later["time"].values)[:2]
    if abs(begins - ends) > 1e-3 * (next_one - begins):
        said = apart(ends, float(begins))
        raise ValueError(
            "A record is continued by one that begins where it ends, but it ends at "
            f"{said[0]} and the other begins at {said[1]}. Begin there, e.g. with "
            "`earlier.isel(time=-1)`."
        )
    bare = earlier.reset_coords(drop=True)
    unknown = xr.DataArray(np.full(earlier.sizes["time"], np.nan), bare["time"].coords)
    joined = {}
    for name, after in later.data_vars.items():
        if "time" not in after.dims:
            joined[name] = after
            continue
        before = bare.get(name, unknown).broadcast_like(after, exclude=["time"])
        before = before.transpose(*after.dims)
        if acts_over_intervals(after):
            before = before.isel(time=slice(-1))
        else:
            after = after.isel(time=slice(1, None))
        joined[name] = xr.concat([before, after], "time").assign_attrs(after.attrs)
    # Both may come from files with encodings of their own.
    return xr.Dataset(joined, attrs=later.attrs).drop_encoding()


def _axes_of_cells(
    moving: Mapping[Hashable, xr.DataArray], space: set[Hashable]
) -> set[Hashable]:
    """Axes of space along which all that moves are means over cells."""
    cells = set()
    for dim in space:
        there = {name: v for name, v in moving.items() if dim in v.dims}
        means = [name for name, v in there.items() if dim in averaged_over(v)]
        if 0 < len(means) < len(there):
            raise ValueError(
                "Along an axis all variables are means over its cells or all are "
                f"values at its points, but of {list(there)} on {dim!r} only {means} "
                "are such means. Set the cell_methods of the others, or leave them out."
            )
        cells |= {dim} if means else set()
    return cells


def _check_windows(
    length: int, starts: Int[np.ndarray | Array, " window"], frames: int
) -> None:
    """Refuse windows outside the record; traced starts have no values to check."""
    inside = 1 <= length <= frames
    if inside and starts.size and not isinstance(starts, Tracer):
        inside = bool((starts >= 0).all() & (starts <= frames - length).all())
    if not inside:
        raise ValueError(
            f"Windows must lie within the {frames} frames of the record, but {length} "
            f"frames were asked for from {starts}. Start at 0 … frames - length."
        )


def _merged_intervals(variable: xr.Variable, factor: int) -> xr.Variable:
    """Average every ``factor`` intervals; the row of the last instant stays."""
    held = variable.isel(time=slice(None, -1)).coarsen({"time": factor}, np.mean)
    merged = xr.Variable.concat([held, variable.isel(time=slice(-1, None))], "time")
    return merged.transpose(*variable.dims)
