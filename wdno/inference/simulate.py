"""Simulate labelled data: initial states and controls in, trajectories out."""

from pathlib import Path

import numpy as np
import xarray as xr
from jax.core import eval_context
from jaxtyping import PRNGKeyArray

from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import (
    Labelled,
    batch_keys,
    check_call,
    record_coords,
    record_from,
    with_members,
)
from wdno.inference.chain import Chain, RecordInputs, Rows
from wdno.inference.queued import WindowQueue
from wdno.inference.rollout_inputs import check_chain
from wdno.inference.stored import stored
from wdno.operator.model import WDNO
from wdno.trajectory import begun_with, check_store


# Labelled data are never traced: within a transform they are computed with at once.
@eval_context()
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
    out: str | Path | None = None,
    blocks: WindowQueue | None = None,
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
        batch_size: trajectories computed at once; bounds the memory of the device and
            changes nothing else.
        out: Zarr store, ending in ".zarr", into which the record is written a window at
            a time, with the same values; controls are read likewise. So a record may be
            longer than memory. Until it is whole the store is called ``out`` +
            ".partial", and the same call goes on with it after an interruption.
        blocks: how windows share calls instead of waiting for each other, e.g.
            ``BlockQueue()`` (`wdno.accelerate.block_queue`). An interrupted call then
            makes its record again and writes what is missing.
        key: one key; trajectory n uses ``fold_in(key, n)``, and its member m
            ``fold_in(fold_in(key, n), m)``.

    Returns:
        States and controls on (sample[, member], time, *space), with the initial state
        at the first instant. What the model generates beside them has NaN there. With
        `out` the values are read from the store when they are asked for.

    Raises:
        ValueError: an input is missing, not finite or on another grid than the model;
            `out` is no Zarr store, or the unfinished one is of another call.
        OSError: the folder of `out` is missing or cannot be written to.
        ModuleNotFoundError: zarr is not installed.

    Example:
        >>> truth = system.trajectories(jax.random.key(0), samples=8)
        >>> forecast = wdno.simulate(model, truth.u.isel(time=0), truth.f,
        ...                          members=16, key=jax.random.key(1))
        >>> climate = wdno.simulate(model, truth.u.isel(time=0), force, key=key,
        ...                         out="climate.zarr")
    """
    check_call(model, key, optional={"control": control}, initial=initial)
    path = None if out is None else check_store(out)
    record = record_inputs(model, initial, control, frames)
    end = record.frames if path is None else min(model.window, record.frames)
    known, batch = record.read(0, end)
    batch = with_members(batch, members)
    chain = Chain(model, sampler, steps, batch_size, batch_keys(key, batch), blocks)
    check_chain(model, chain.count(record.frames))
    if path is not None:
        return stored(record, chain, batch, path, key)

    def read(begin: int, end: int) -> Rows:
        controls = {name: known[name][:, begin:end] for name in model.control}
        return {**known, **controls}

    windows = [window for _, window in chain.windows(read, record.frames)]
    states = {
        name: np.concatenate([window[name] for window in windows], axis=1)
        for name in windows[0]
    }
    return record.labelled({**known, **states}, batch, 0, record.frames)


def record_inputs(
    model: WDNO, initial: Labelled, control: Labelled | None, frames: int | None
) -> RecordInputs:
    """What a record is simulated from, on its coordinates; nothing is read.

    Raises:
        ValueError: controls are missing, or there are fewer frames than one.
    """
    given = control
    control = _calm(model, initial, frames) if control is None else control
    begins = control if "time" in control.coords else initial
    coords = record_coords(model, control, frames)
    coords |= {"time": begun_with(coords["time"], begins)}
    return RecordInputs(model, initial, control, coords, given)


def _calm(model: WDNO, initial: Labelled, frames: int | None) -> xr.Dataset:
    """Controls that are zero throughout, from the time of the initial state on."""
    if model.control and frames is None:
        raise ValueError(
            f"This model is driven by {list(model.control)}, but no control is given. "
            "Give it, or with `frames` the length of a record in which nothing acts."
        )
    coords = record_from(model, max(frames or model.window, 1), initial)
    extents = [len(points) for points in coords.values()]
    nothing = np.broadcast_to(np.float32(0), extents)  # whatever the length
    return xr.Dataset(
        {name: (tuple(coords), nothing) for name in model.control}, dict(coords)
    )
