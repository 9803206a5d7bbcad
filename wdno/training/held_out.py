"""Windows of held-out trajectories, with all that a model is given of them."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from wdno._typing import Fields
from wdno.inference.batching import record_from
from wdno.operator import tasks
from wdno.operator.model import WDNO
from wdno.trajectory import (
    check_grid,
    static_rows,
    to_arrays,
    windows,
    with_samples,
)


def held_windows(model: WDNO, truth: xr.Dataset) -> Fields:
    """Every window of trajectories from their first frame on, one after another.

    A window begins where the one before it ends; what is left at the end is left out.
    A model that is given the past of a trajectory has the first window alone.

    Args:
        model: a model of any task; says what a window is and what is given.
        truth: trajectories on (sample, time, *space).

    Returns:
        Fields by name, (sample * windows, *own axes): targets and what is given.

    Raises:
        ValueError: something is missing or not finite, or the trajectories are shorter
            than a window.
    """
    controls = model.control or model.planned
    truth = with_samples(truth, (*model.initial, *controls, *model.auxiliary))
    arrays = to_arrays(truth, model.initial, controls, model.auxiliary)
    samples, frames = truth.sizes["sample"], truth.sizes["time"] - 1
    count = 1 if model.past else frames // model.window
    if frames < model.window:
        raise ValueError(
            f"A record holds at least one window of {model.window} frames beside its "
            f"initial state, but these have {frames}. Use longer records."
        )
    starts = np.tile(model.window * np.arange(count), samples)
    rows = np.repeat(np.arange(samples), count)
    cut = windows(arrays, model.window, starts, rows, model.initial)
    cut |= static_rows(truth, list(model.static), rows)
    cut = tasks.with_conditions(cut, model.given.fields)
    return jax.tree.map(jnp.asarray, cut)


def on_points_of(model: WDNO, truth: xr.Dataset) -> WDNO:
    """The model on the grid of trajectories, once these lie on its domain.

    Raises:
        ValueError: a variable or an axis is missing, or the positions or instants are
            not those of the model's domain on a grid that it can be moved to.
    """
    dims = model.targets.dims
    over_time = [
        quantity
        for quantity in (*model.targets.fields, *model.given.fields)
        if quantity.name in (*model.state, *model.auxiliary, *model.planned)
        or quantity.name in model.control
    ]
    truth = with_samples(truth, [quantity.name for quantity in over_time])
    points = tuple(truth.sizes.get(dim, 0) for dim in dims[1:])
    if points != model.targets.grid[1:] and all(points):
        model = model.on((model.window, *points))
    coords = record_from(model, truth.sizes["time"] - 1, truth)
    for quantity in over_time:
        check_grid(truth[quantity.name], {dim: coords[dim] for dim in quantity.dims})
    return model
