"""Simulate labelled data: initial states and controls in, trajectories out."""

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import (
    Labelled,
    attributes,
    batch_keys,
    check_call,
    in_batches,
    record_coords,
    record_from,
    with_members,
)
from wdno.inference.rollout import rollout
from wdno.operator.model import WDNO
from wdno.trajectory import as_came, begun_with, to_dataset, to_inputs


# Labelled data are never traced: within a transform they are computed with at once.
@jax.ensure_compile_time_eval()
def simulate(
    model: WDNO,
    initial: Labelled,
    control: Labelled | None = None,
    *,
    members: int | None = None,
    frames: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 1,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Simulate labelled initial states under labelled controls.

    Args:
        model: a model of the simulation task.
        initial: initial states on (sample, *space); an array if there is one state.
            What never changes and the model is given, such as an obstacle or a
            parameter of the equation, is a coordinate of theirs.
        control: controls on (sample, time, *space), ``control[k]`` acting from t_k to
            t_(k+1), for any number of frames; left out if the model has none, or with
            `frames` if nothing acts from the time of the initial states on.
        members: size of the ensemble; adds the dimension "member". A member's draws
            depend on the key and the numbers of sample and member alone.
        frames: length of the record. By default every row of `control` but the last
            acts, as in the files of this package; give ``frames=len(control.time)``
            for a control without that closing row. Without controls it is one window.
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window of ``model.window`` frames.
        batch_size: trajectories computed at once; bounds the memory and changes
            nothing else.
        key: one key; trajectory n uses ``fold_in(key, n)``, and its member m
            ``fold_in(fold_in(key, n), m)``.

    Returns:
        States and controls on (sample[, member], time, *space), with the initial state
        at the first instant. What the model generates beside them has NaN there.

    Raises:
        ValueError: an input is missing, not finite or on another grid than the model.

    Example:
        >>> truth = system.trajectories(jax.random.key(0), samples=8)
        >>> forecast = wdno.simulate(model, truth.u.isel(time=0), truth.f,
        ...                          members=16, key=jax.random.key(1))
    """
    check_call(model, key, optional={"control": control}, initial=initial)
    given = control
    control = _calm(model, initial, frames) if control is None else control
    begins = control if "time" in control.coords else initial
    coords = record_coords(model, control, frames)
    coords |= {"time": begun_with(coords["time"], begins)}
    count = len(coords["time"]) - 1
    acting = control.isel(time=slice(count), missing_dims="ignore")
    fields, batch = to_inputs(
        initial, acting, coords, model.initial, model.control, model.static
    )
    fields, batch = with_members(fields, batch, members)

    def run(part: Fields, keys: RowKeys) -> Fields:
        controls = {name: part.pop(name) for name in model.control}
        windows = -(-count // model.window)
        how = {"windows": windows, "sampler": sampler, "steps": steps, "key": keys}
        longer = rollout(model, part, controls, **how)
        return {name: values[:, :count] for name, values in longer.items()}

    states = in_batches(run, fields, batch_size, batch_keys(key, batch))
    attrs = attributes(initial, model.state) | attributes(control, model.control)
    beside = {q.name: q.dims for q in model.targets.fields if q.name in model.auxiliary}
    forecast = to_dataset(
        {**fields, **states}, coords, model.initial, model.control, attrs, batch, beside
    )
    static = {name: initial[name].variable for name in model.static}
    return as_came(forecast, initial, given).assign_coords(static)


def _calm(model: WDNO, initial: Labelled, frames: int | None) -> xr.Dataset:
    """Controls that are zero throughout, from the time of the initial state on."""
    if model.control and frames is None:
        raise ValueError(
            f"This model is driven by {list(model.control)}, but no control is given. "
            "Give it, or with `frames` the length of a record in which nothing acts."
        )
    coords = record_from(model, max(frames or model.window, 1), initial)
    nothing = np.zeros([len(points) for points in coords.values()], np.float32)
    return xr.Dataset(
        {name: (tuple(coords), nothing) for name in model.control}, dict(coords)
    )
