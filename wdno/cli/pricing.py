"""What a problem of the user will take, asked before it is begun."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

import wdno
from wdno.cli.using import objective_of
from wdno.deployment import cost

TaskName = Literal["simulation", "planning", "training"]


@dataclass(frozen=True)
class Problem:
    """What is to be done with a model.

    Attributes:
        samples: initial states.
        members: of each.
        frames: of a record; one window by default.
        calls: denoiser calls per window, or per plan.
        cells: points along each axis of space; those of the model by default.
        batch_size: rows computed at once, 256 by default; of an update, 32.
        updates: of training.
        devices: that train.
        objective: of plans: reach, leakage or a Python file; see wdno control.
        strength: of the guidance by the objective; None for no guidance.
    """

    samples: int = 1
    members: int = 1
    frames: int | None = None
    calls: int = 1
    cells: tuple[int, ...] = ()
    batch_size: int | None = None
    updates: int = 1
    devices: int = 1
    objective: str = "reach"
    strength: float | None = 0.1


About = Annotated[Problem, tyro.conf.OmitArgPrefixes]


def of_simulation(model: wdno.WDNO, problem: Problem) -> cost.Cost:
    """What `wdno simulate` takes."""
    return cost.simulation_cost(
        model,
        samples=problem.samples,
        members=problem.members,
        frames=problem.frames,
        calls=problem.calls,
        cells=problem.cells or None,
        batch_size=problem.batch_size or 256,
    )


def of_planning(model: wdno.WDNO, problem: Problem) -> cost.Cost:
    """What `wdno control` takes."""
    wish = objective_of(problem.objective, model, 2e-5)
    return cost.planning_cost(
        wdno.Planner(model, wish, problem.strength, steps=problem.calls),
        samples=problem.samples,
        members=problem.members,
        cells=problem.cells or None,
        batch_size=problem.batch_size or 256,
    )


def of_training(model: wdno.WDNO, problem: Problem) -> cost.Cost:
    """What `wdno train` takes."""
    return cost.training_cost(
        model,
        batch_size=problem.batch_size or 32,
        updates=problem.updates,
        devices=problem.devices,
        cells=problem.cells or None,
    )


COSTS: dict[str, Callable[[wdno.WDNO, Problem], cost.Cost]] = {
    "simulation": of_simulation,
    "planning": of_planning,
    "training": of_training,
}


def said(found: cost.Cost) -> str:
    """A cost as a line."""
    return (
        f"{found.seconds:.3g} s, {found.memory / 2**20:,.0f} MiB of a device, "
        f"{found.operations:.3g} operations; on a machine like this, as it is now"
    )
