"""The border of planning: initial states, horizons, members, grids."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from wdno._arguments import is_whole
from wdno._arrays import contrast, same_points
from wdno.operator.model import WDNO, check_model
from wdno.planning.adjoint import System
from wdno.trajectory import Labelled, at_instant, named, static_fields
from wdno.wavelets.field import Role

Grid = dict[str, np.ndarray]


def grid(model: WDNO, frames: int | None = None) -> Grid:
    """Coordinates of a record on the grid of a model, by default of one window."""
    frames = model.window if frames is None else frames
    return model.domain.coords(model.targets.dims, (frames, *model.targets.grid[1:]))


def read_states(
    model: WDNO, initial: Labelled, target: Labelled | None
) -> dict[str, xr.DataArray]:
    """Initial and final states on the grid of the model, and what never changes.

    Raises:
        ValueError: one is missing, or lies on another grid.
    """
    space = {dim: points for dim, points in grid(model).items() if dim != "time"}
    states = at_instant(initial, model.state, space)
    arrays = {model.initial[name]: u for name, u in states.items()}
    arrays |= static_fields(initial, model.static, space)
    if target is not None:
        axes = {q.name: q.dims[1:] for q in model.targets.fields}
        keys = model.final or {name: f"{name}T" for name in model.state}
        for name, goal in named(target, tuple(keys)).items():
            own = {dim: space[dim] for dim in axes[name]}
            arrays |= {keys[name]: at_instant(goal, [name], own)[name]}
    elif model.final:
        raise ValueError(
            f"This model is given the final states of {list(model.final)}, but "
            "`target` is missing. Give it, on (sample, *space)."
        )
    return arrays


def on_horizon(model: WDNO, frames: int) -> WDNO:
    """The same model for plans of so many frames.

    Raises:
        ValueError: `frames` is not positive, or the wavelet cannot halve it.
    """
    if not is_whole(frames, 1):
        raise ValueError(
            f"Plans have at least one frame, but got frames={frames}. Ask for more."
        )
    return model.on((frames, *model.targets.grid[1:]))


def check_same_grid(system: System, coords: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless a system has these coordinates, up to the time origin."""
    for name, expected in coords.items():
        came = np.asarray(system.coords[name])
        shift = came[0] - expected[0] if name == "time" else 0.0
        if not same_points(came - shift, expected):
            wanted, found = contrast(expected, came - shift)
            raise ValueError(
                "A system is controlled on the grid of the model, with its time step, "
                f"but along {name!r} it has {found} and the model {wanted}. Make a "
                "system with these."
            )


_KNOWN_TO_PLANNERS = (Role.INITIAL, Role.FINAL, Role.STATIC, Role.PAST)


def require_planner(model: WDNO) -> None:
    """Raise ValueError unless a model generates states and controls from their ends."""
    check_model(model)
    others = [q.name for q in model.given.fields if q.role not in _KNOWN_TO_PLANNERS]
    if not model.state or not model.planned or others:
        raise ValueError(
            "Planning takes a model of the control task, which generates states and "
            "controls given initial (and final) states, but this one generates "
            f"{[q.name for q in model.targets.fields]} given "
            f"{[q.name for q in model.given.fields]}. Load a planner."
        )
