"""Chain windows over a record of any length."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno._arguments import check_sampler
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, row_keys, step_keys
from wdno.diffusion.samplers import Sampler, ddim
from wdno.inference.queued import WindowQueue, queued, windows_of
from wdno.inference.record_length import frames_of_record
from wdno.inference.rollout_inputs import check_chain, held, real, rows_over_time
from wdno.operator.generation import generate
from wdno.operator.model import WDNO, check_model


@overload
def rollout(
    model: WDNO,
    initial: Fields,
    control: Fields | None = None,
    *,
    windows: int | None = None,
    begun: int = 0,
    sampler: Sampler | None = None,
    steps: int = 1,
    key: PRNGKeyArray | RowKeys,
) -> Fields: ...
@overload
def rollout(
    model: WDNO,
    initial: Fields,
    control: Fields | None = None,
    *,
    windows: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 1,
    blocks: WindowQueue,
    key: PRNGKeyArray | RowKeys,
) -> Iterator[Fields]: ...
def rollout(
    model: WDNO,
    initial: Fields,
    control: Fields | None = None,
    *,
    windows: int | None = None,
    begun: int = 0,
    sampler: Sampler | None = None,
    steps: int = 1,
    blocks: WindowQueue | None = None,
    key: PRNGKeyArray | RowKeys,
) -> Fields | Iterator[Fields]:
    """Chain windows over a record of any length, as arrays.

    The last state of a window is the initial state of the next; a last window that
    sticks out is filled up by repeating the last row of what is given, and cut. The
    chain is a scan of `window_step`, compiled once for each number of windows.

    Args:
        model: a model of the simulation or the refinement task.
        initial: initial states, e.g. ``{"u0": (batch, x)}``, and what else is given
            that does not change.
        control: what is given over the record: controls, ``{"f": (batch, frames, x)}``,
            and for a refiner coarse states, ``{"u_coarse": (batch, frames/2, x/2)}``
            (`Layout.refinement`).
        windows: how many are chained, repeating the last row or cutting what is given
            over time; by default as many as that covers, and one where nothing is.
        begun: windows of the record that come before these, after which the draws go
            on: two rollouts in a row are one of their lengths together.
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window.
        blocks: how windows share calls instead of waiting for each other, e.g.
            ``BlockQueue()`` (`wdno.accelerate.block_queue`), each from its beginning.
            The record then comes in parts, and is as long as the windows overlap less.
        key: one key, or one per row: a row's draws do not depend on the others.

    Returns:
        States after each frame, e.g. ``{"u": (batch, frames, x)}``, and what the model
        generates beside them; with `blocks` an iterator over such fields of some frames
        each, one part after the other, of which it holds no more than a queue.

    Raises:
        ValueError: something is missing, there is less than one window, or blocks are
            asked of a refiner.

    Example:
        >>> end = lambda f: rollout(model, {"u0": u0}, {"f": f}, key=key)["u"][:, -1]
        >>> gradient = jax.grad(lambda f: (end(f) ** 2).sum())(f)
    """
    check_model(model)
    sampler = ddim() if sampler is None else sampler
    check_sampler(sampler)
    initial, control = real(initial), real(control or {})
    strides = rows_over_time(model)
    apart = model.window if blocks is None else blocks.stride(model)
    frames = frames_of_record(
        initial,
        control,
        model.initial.values(),
        strides,
        window=model.window,
        windows=windows,
        apart=apart,
    )
    if blocks is not None and begun:
        raise ValueError(
            f"A queue of blocks begins with a record, but got begun={begun}. Leave it "
            "out, or chain windows without `blocks`."
        )
    check_chain(model, begun + windows_of(frames, model.window, apart))
    keys = row_keys(key, len(next(iter((initial | control).values()))))
    how = {"sampler": sampler, "sigmas": model.levels(steps), "keys": keys}
    if blocks is not None:

        def read(begin: int, end: int) -> Fields:
            return {name: held(control[name], begin, end) for name in model.control}

        return queued(model, blocks, initial, read, frames, **how)
    count = -(-frames // model.window)
    over_time = {
        name: _windows(
            control[name][:, : frames // every], count, model.window // every
        )
        for name, every in strides.items()
    }
    record = _chained(model, initial, over_time, np.arange(begun, begun + count), **how)
    return {name: values[:, :frames] for name, values in record.items()}


def window_step(
    model: WDNO,
    known: Fields,
    number: Int[Array, ""],
    *,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    keys: RowKeys,
) -> tuple[Fields, Fields]:
    """One window of a rollout, and what the next one begins with; not compiled.

    Args:
        model: a model of the simulation or the refinement task.
        known: everything that is given for this window, batch first.
        number: of the window in its record, which its draws depend on.
        sampler: rule of one step in noise level.
        sigmas: decreasing noise levels that end in 0.
        keys: one a row, the same for all windows of a record.

    Returns:
        The states that the next window begins with, and all fields of this one.
    """
    draws = step_keys(keys, jnp.broadcast_to(number, keys.shape))
    window = generate(model, known, sampler, sigmas, draws)
    return next_initial(model, window), window


def next_initial(
    model: WDNO, window: Mapping[str, Array | np.ndarray]
) -> dict[str, Any]:
    """Initial states of the window that follows this one: its last states."""
    return {key: window[name][:, -1] for name, key in model.initial.items()}


@partial(jax.jit, static_argnames="sampler")
def _chained(
    model: WDNO,
    initial: Fields,
    over_time: Fields,
    numbers: Int[Array, " count"],
    *,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    keys: RowKeys,
) -> Fields:
    """The fields of all windows, one after the other in time."""
    states = {key: initial[key] for key in model.initial.values()}
    others = {name: f for name, f in initial.items() if name not in states}

    def step(
        states: Fields, given: tuple[Int[Array, ""], Fields]
    ) -> tuple[Fields, Fields]:
        number, controls = given
        known = {**others, **states, **controls}
        how = {"sampler": sampler, "sigmas": sigmas, "keys": keys}
        return window_step(model, known, number, **how)

    _, record = jax.lax.scan(step, states, (numbers, over_time))
    return {name: _joined(record[name]) for name in (*model.state, *model.auxiliary)}


def _joined(
    windows: Float[Array, "count batch frames *space"],
) -> Float[Array, "batch record *space"]:
    """Windows one after the other."""
    record = jnp.moveaxis(windows, 0, 1)
    return record.reshape(len(record), -1, *record.shape[3:])


@partial(jax.jit, static_argnums=(1, 2))
def _windows(
    f: Float[Array, "batch frames *space"], count: int, length: int
) -> Float[Array, "count batch length *space"]:
    """Cut into windows; beyond the end of the record its last row is repeated."""
    padding = [(0, 0)] * f.ndim
    padding[1] = (0, count * length - f.shape[1])
    longer = jnp.pad(f, padding, mode="edge")
    return jnp.moveaxis(longer.reshape(len(f), count, length, *f.shape[2:]), 1, 0)
