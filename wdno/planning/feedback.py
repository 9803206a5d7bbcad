"""One run of a system under feedback: observe, decide, plan, act, and again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from tqdm import tqdm

from wdno._arrays import not_finite
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, row_keys, row_normal
from wdno.diffusion.noise import per_row
from wdno.operator.generation import Start
from wdno.planning.adjoint import System


@runtime_checkable
class Trigger(Protocol):
    """Decides, of each row by itself, whether a new plan is made."""

    def __call__(
        self,
        observed: Fields,
        predicted: Fields,
        skipped: Int[Array, " batch"],
        keys: RowKeys,
    ) -> Bool[Array, " batch"]:
        """Whether to plan anew.

        Args:
            observed: the states now, as they are known, batch first.
            predicted: the states now, as the running plan expected them when it was
                made; the reference is so renewed by new plans only.
            skipped: observations in a row, before this one, without a new plan.
            keys: one a row.
        """
        ...


Depth = Callable[[Fields, Fields], Float[Array, " batch"]]
"""``depth(observed, predicted)``: how far back in noise a running plan is taken."""

Estimator = Callable[[Fields, Fields | None], Fields]
"""``estimate(observed, predicted)``: states from observations; None if no plan runs."""

MakePlan = Callable[[Fields, PRNGKeyArray, Start | None], Fields]
"""States and controls from what is known, and perhaps the rest of another plan."""


class ControlInterval(NamedTuple):
    """Frames between two observations, and how a plan for what remains is made."""

    frames: int
    plan: MakePlan


class Names(NamedTuple):
    """What is observed and what acts."""

    initial: dict[str, str]
    """Names of initial values, such as "u0", by state."""
    planned: tuple[str, ...]
    """Controls."""


@dataclass(frozen=True)
class Replanning:
    """When new plans are made, from what knowledge and from which start.

    Attributes:
        trigger: decides about new plans; without one every observation leads to one.
        depth: if given, new plans begin from the rest of the running one, so far back
            in noise.
        estimate: states from observations; without one these are believed as they are.
    """

    trigger: Trigger | None = None
    depth: Depth | None = None
    estimate: Estimator | None = None


class Running(NamedTuple):
    """What is left of the plans that act; batch-leading."""

    plan: Fields
    """States and controls of the remaining frames."""
    predicted: Fields
    """The states now, by the names of initial values, as the plans expect them."""
    skipped: Int[Array, " batch"]
    """Observations in a row without a new plan."""

    def after(self, frames: int, initial: dict[str, str]) -> "Running":
        """What is left after so many frames."""
        return Running(
            {name: f[:, frames:] for name, f in self.plan.items()},
            {key: self.plan[name][:, frames - 1] for name, key in initial.items()},
            self.skipped,
        )


def replan(
    make: MakePlan,
    how: Replanning,
    running: Running | None,
    known: Fields,
    observed: Fields,
    plan_key: PRNGKeyArray,
    trigger_key: PRNGKeyArray,
) -> tuple[Running, Bool[Array, " batch"]]:
    """The plans that act from here on, and which of them are new.

    Args:
        make: makes new plans.
        how: when, and from what.
        running: plans of the last observation; None at the first.
        known: what is known beside the states.
        observed: the states as observed.
        plan_key: of the plans.
        trigger_key: of the trigger.
    """
    rows = len(next(iter(observed.values())))
    due, start = jnp.ones(rows, bool), None
    if how.estimate is not None:
        observed = how.estimate(observed, running and running.predicted)
    if running is not None:
        expected = observed, running.predicted
        if how.trigger is not None:
            keys = row_keys(trigger_key, rows)
            due = how.trigger(*expected, running.skipped, keys)
        if how.depth is not None:
            start = Start(running.plan, how.depth(*expected))
        if not due.any():
            return Running(running.plan, {}, running.skipped + 1), due
    plan = make({**known, **observed}, plan_key, start)
    if running is None:
        return Running(plan, {}, jnp.zeros(rows, int)), due
    plan = {
        name: jnp.where(per_row(due, f), f, running.plan[name])
        for name, f in plan.items()
    }
    return Running(plan, {}, jnp.where(due, 0, running.skipped + 1)), due


def run(
    intervals: list[ControlInterval],
    system: System,
    names: Names,
    known: Fields,
    unknown: Fields,
    noise: float,
    key: PRNGKeyArray,
    how: Replanning,
) -> tuple[Fields, Bool[Array, "batch interval"]]:
    """Observe, decide and act once an interval; the whole record, and new plans."""
    initial, planned = names
    state = {key: known[key] for key in initial.values()}
    pieces, new, done, running = [], [], 0, None
    for n, interval in enumerate(tqdm(intervals, desc="closed loop", disable=None)):
        plan_key, noise_key = jax.random.split(jax.random.fold_in(key, n))
        observed = _observe(state, noise, noise_key)
        keys = plan_key, jax.random.fold_in(noise_key, len(state))
        running, due = replan(interval.plan, how, running, known, observed, *keys)
        frames = interval.frames
        now = slice(done, done := done + frames)
        acting = {name: running.plan[name][:, :frames] for name in planned}
        pushes = {name: f[:, now] for name, f in unknown.items()}
        part = system.over(frames)
        piece = {**_achieved(part, state, acting, pushes, tuple(initial)), **acting}
        state = {key: piece[name][:, -1] for name, key in initial.items()}
        running = running.after(frames, initial)
        pieces.append(piece)
        new.append(due)
    record = jax.tree.map(lambda *fields: jnp.concatenate(fields, axis=1), *pieces)
    return record, jnp.stack(new, axis=1)


def _observe(state: Fields, deviation: float, key: PRNGKeyArray) -> Fields:
    """States with white noise, each row's from its own key."""
    observed = {}
    for n, (name, u) in enumerate(state.items()):
        keys = row_keys(jax.random.fold_in(key, n), len(u))
        observed[name] = u + deviation * row_normal(u.shape, u.dtype, keys)
    return observed


def _achieved(
    system: System,
    state: Fields,
    acting: Fields,
    pushes: Fields,
    names: tuple[str, ...],
) -> Fields:
    """What controls and disturbance together do to the system."""
    forces = {name: f + pushes[name] for name, f in acting.items() if name in pushes}
    states = system.solve({**state, **acting, **forces})
    for name in names:
        if (bad := not_finite(np.asarray(states[name]))).any():
            raise ValueError(
                f"The solution must stay finite, but {name} diverged in row "
                f"{int(np.argmax(bad))} ({int(bad.sum())} in all). Bound the "
                "controls by a constraint, or weaken the disturbance."
            )
    return {name: states[name] for name in names}
