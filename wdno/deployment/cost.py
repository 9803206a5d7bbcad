"""What simulation, planning and training with a model will take, before they are done.

Seconds and bytes of a batch are affine functions of its rows, and seconds of a window
of its denoiser calls. They are fitted to programs of few rows, on the grid that is
asked for, each timed and weighed; operations are those that XLA counts. Windows,
batches and updates follow each other, and take as long each.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from wdno._arguments import is_whole
from wdno.deployment.programs import Clock, Update, Window
from wdno.diffusion.samplers import Sampler, ddim
from wdno.operator.model import WDNO
from wdno.planning.planner import Planner

__all__ = ["Cost", "planning_cost", "simulation_cost", "training_cost"]

WORK = 2e10
"""Operations of the larger batch that is timed, at most: a second of one core.

A batch of fewer is timed as a whole.
"""
SMALLER = 4
"""Size of it in units of the smaller one."""
CALLS = 4
"""Denoiser calls of a window that is timed beside one of a single call."""

Grid = Sequence[int] | None


class Cost(NamedTuple):
    """What something takes on a machine like this."""

    seconds: float
    """Without compilation."""
    operations: float
    """Of floating-point numbers, all in all; of loops within a residual one pass."""
    memory: int
    """Bytes of a device, at most at a time: parameters, batch, and what is between."""


def simulation_cost(
    model: WDNO,
    *,
    samples: int = 1,
    members: int = 1,
    frames: int | None = None,
    calls: int = 1,
    cells: Grid = None,
    sampler: Sampler | None = None,
    batch_size: int = 256,
    clock: Clock = time.perf_counter,
) -> Cost:
    """What `wdno.simulate` takes.

    Args:
        model: of the simulation task.
        samples: initial states.
        members: of each.
        frames: of a record; one window by default.
        calls: denoiser calls per window.
        cells: points along each axis of space; those of the model by default.
        sampler: deterministic DDIM by default.
        batch_size: trajectories computed at once.
        clock: that is read before and after.

    Raises:
        ValueError: a number is none, or the model has no such grid.

    Example:
        >>> cost = simulation_cost(model, samples=100, members=16, frames=800, calls=8)
        >>> print(f"{cost.seconds:.0f} s, {cost.memory / 2**30:.1f} GiB")
    """
    frames = model.window if frames is None else frames
    _check(samples=samples, members=members, frames=frames, batch_size=batch_size)
    windows = -(-frames // model.window)
    window = Window(_on(model, cells), sampler or ddim())
    how = (samples * members, windows, calls, batch_size, clock)
    return _generation(window, *how)


def planning_cost(
    planner: Planner,
    *,
    samples: int = 1,
    members: int = 1,
    cells: Grid = None,
    batch_size: int = 256,
    clock: Clock = time.perf_counter,
) -> Cost:
    """What `wdno.control` takes, its polish left out.

    Args:
        planner: whose objective reads what its model is given, and nothing else.
        samples: initial states.
        members: plans of each.
        cells: points along each axis of space; those of the model by default.
        batch_size: plans computed at once.
        clock: that is read before and after.
    """
    _check(samples=samples, members=members, batch_size=batch_size)
    window = Window(_on(planner.model, cells), planner.sampler, planner.guided)
    return _generation(window, samples * members, 1, planner.steps, batch_size, clock)


def training_cost(
    model: WDNO,
    *,
    batch_size: int,
    updates: int = 1,
    devices: int = 1,
    cells: Grid = None,
    clock: Clock = time.perf_counter,
) -> Cost:
    """What updates of the denoiser take; those of a learned mean are about the same.

    Args:
        model: with the network that is to be trained.
        batch_size: windows per update.
        updates: of the run.
        devices: that share a batch; what they tell each other is not counted.
        cells: points along each axis of space; those of the model by default.
        clock: that is read before and after.

    Raises:
        ValueError: a number is none, or the model has no such grid.
    """
    _check(batch_size=batch_size, updates=updates, devices=devices)
    update, rows = Update(_on(model, cells)), -(-batch_size // devices)
    one, two = update.operations(1), update.operations(2)
    few, many = (update.measured(n, clock) for n in _sizes(rows, two - one))
    return Cost(
        updates * _line(few.rows, few.seconds, many.rows, many.seconds, rows),
        updates * (one + (batch_size - 1) * (two - one)),
        round(_line(few.rows, few.memory, many.rows, many.memory, rows)),
    )


def _generation(
    window: Window,
    rows: int,
    windows: int,
    calls: int,
    batch_size: int,
    clock: Clock,
) -> Cost:
    batch = min(rows, batch_size)
    outside, one = (window.over(n).operations(1) for n in (0, 1))
    first = window.over(min(calls, 1))
    few, many = (first.measured(n, clock) for n in _sizes(batch, one))
    seconds = _line(few.rows, few.seconds, many.rows, many.seconds, batch)
    if calls > 1:
        more = window.over(CALLS).measured(many.rows, clock)
        each = (more.seconds - many.seconds) / (CALLS - 1)
        # Of larger batches calls and the rest are dearer alike.
        seconds *= 1 + (calls - 1) * max(each, 0.0) / many.seconds
        many = many._replace(memory=max(many.memory, more.memory))
    batches = windows * -(-rows // batch)  # the last one is filled up
    return Cost(
        batches * seconds,
        batches * batch * (outside + calls * (one - outside)),
        round(_line(few.rows, few.memory, many.rows, many.memory, batch)),
    )


def _sizes(rows: int, operations: float) -> tuple[int, int]:
    """Rows of two batches that are timed, of so many operations a row."""
    many = min(rows, max(2, math.ceil(WORK / max(operations, 1.0))))
    return max(1, many // SMALLER), many


def _line(
    x: int, y: int | float, other_x: int, other_y: int | float, at: int
) -> int | float:
    """The value there of the line through two points; one passes through the origin."""
    if x == other_x:
        return y * at / x
    slope = max((other_y - y) / (other_x - x), 0.0)
    return other_y + slope * (at - other_x)


def _on(model: WDNO, cells: Grid) -> WDNO:
    return model if cells is None else model.on((model.window, *cells))


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if not is_whole(number, 1):
            raise ValueError(
                f"A cost is that of one or more, but {name} is {number!r}. Ask for "
                "more."
            )
