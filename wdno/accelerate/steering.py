"""Steering: a command at every tick, whatever the planner does.

`Steering.tick` is given the latest observation, asks for a new plan where a trigger
says so, and answers at once from the plan that runs. A plan that takes time to make is
made for the time at which it will be there, and for the state that is expected then
(compensation of computational delay: Findeisen and Allgöwer, Proc. 23rd Benelux Meeting
on Systems and Control (2004)). It carries both, and acts only where time, state and
goal are those that it was made for.

Whatever is not as it should be is said with the command: no observation or one that is
not finite, a tick left out, planning that failed, a plan that came too late or is for
another state. The running plan then goes on while it lasts, and after its end the last
command is held.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from wdno._arrays import not_finite
from wdno.accelerate.event_trigger import relative_innovation
from wdno.accelerate.foresight import Foresee
from wdno.accelerate.latest import HostFields, Plan, Planning, Request
from wdno.planning.feedback import Names, Trigger


class Command(NamedTuple):
    """What acts during a tick.

    Attributes:
        controls: (batch, frames of a tick, *space).
        foreseen: states that the plan expects after each of these frames, if any.
        planned_for: tick at which the plan that it is of began; None if it is held.
        innovation: what that plan had not foreseen; NaN without observation or plan.
        asked: whether a new plan was asked for.
        faults: what was not as it should be, in words; empty if nothing.
    """

    controls: HostFields
    foreseen: HostFields
    planned_for: int | None
    innovation: float
    asked: bool
    faults: tuple[str, ...]


class Steering:
    """The side of the system: a command at every tick.

    Args:
        planning: where plans come from.
        trigger: decides, from observation and prediction, about new plans; hashable,
            as those of `wdno.accelerate.event_trigger` are.
        names: states by the names of their initial values, and controls.
        rest: controls of one tick that are safe before there is any plan.
        lead: ticks from asking for a plan to its begin, no less than planning takes.
        tolerance: `relative_innovation` up to which a plan is for this state. One that
            is not acts only if the running plan is even further off, and it is said.
        foresee: what a tick does to states, to know which one a plan begins with;
            without it, what the running plan has not foreseen is taken to stay.
        key: of the trigger.
    """

    def __init__(
        self,
        planning: Planning,
        trigger: Trigger,
        names: Names,
        rest: HostFields,
        *,
        lead: int = 1,
        tolerance: float = 0.5,
        foresee: Foresee | None = None,
        key: PRNGKeyArray,
    ) -> None:
        self.planning, self.names, self.lead = planning, names, lead
        self.tolerance, self._key = tolerance, key
        self._trigger, self._foresee = trigger, foresee
        self._held = {name: np.asarray(rest[name]) for name in names.planned}
        self._frames = next(iter(self._held.values())).shape[1]
        self._running: Plan | None = None
        self._coming: Plan | None = None
        self._goal: HostFields = {}
        self._last: int | None = None
        self._skipped = 0

    def begin(self, now: int, observation: HostFields, goal: HostFields) -> None:
        """Wait for a first plan before the clock runs; else the first tick asks.

        Raises:
            ValueError: it fails.
        """
        plan = self.planning.answer(Request(now, observation, goal))
        if plan.failure:
            raise ValueError(
                f"A loop begins with a plan, but {plan.failure} Begin elsewhere, or "
                "with another goal."
            )
        self._running, self._goal = plan, goal

    def tick(
        self, now: int, observation: HostFields | None, goal: HostFields
    ) -> Command:
        """The command of a tick, at once.

        Args:
            now: number of the tick, counted from 0, larger than the last one.
            observation: states of one system by the names of initial values, (1,
                *space); None if none came.
            goal: what else plans are made for, such as "uT"; another one than before
                asks for a new plan.

        Raises:
            ValueError: time runs backwards.
            BaseException: what ended the planning thread.
        """
        if self.planning.broken is not None:
            raise self.planning.broken
        observed, unseen = _checked(observation)
        faults, self._goal = [*self._missed(now), *unseen], goal
        faults += self._receive(now, observed)
        predicted = self._expected(self._running, now)
        r = float("nan")
        if observed is not None and predicted is not None:
            r = float(_innovation(observed, predicted).max())
        asked = observed is not None and self._ask(now, observed, predicted)
        planned_for = self._running and self._running.request.tick
        acting = self._during(self._running, now)
        if acting is None:
            faults += ["no plan for this tick: the last command is held"]
            acting, planned_for = self._held, None
        controls = {name: acting[name] for name in self.names.planned}
        foreseen = {name: u for name, u in acting.items() if name not in controls}
        self._held, self._last = controls, now
        return Command(controls, foreseen, planned_for, r, asked, tuple(faults))

    def _missed(self, now: int) -> list[str]:
        """Whether ticks were left out, which the plan knows how to skip."""
        last = max(now - 1, -1) if self._last is None else self._last
        if now <= last:
            raise ValueError(
                f"Ticks are counted upwards from 0, but {now} came after {last}. "
                "Number them by a clock that never goes back."
            )
        return [f"{now - last - 1} ticks were missed"] if now > last + 1 else []

    def _receive(self, now: int, observed: HostFields | None) -> list[str]:
        """Take the plan that is ready; it runs if it is for this time and state."""
        if (came := self.planning.plans.poll()) is not None:
            if came.failure:
                return [came.failure]
            self._coming = came
        plan = self._coming
        if plan is None or plan.request.tick > now:
            return []
        self._coming = None
        acts, fault = self._fits(plan, now, observed)
        if acts:
            self._running, self._skipped = plan, 0
        return [f"the plan for tick {plan.request.tick} {fault}"] if fault else []

    def _fits(
        self, plan: Plan, now: int, observed: HostFields | None
    ) -> tuple[bool, str]:
        """Whether a plan may act now, and what is to be said of it."""
        if not _same(plan.request.goal, self._goal):
            return False, "is for another goal"
        foreseen = self._expected(plan, now)
        if foreseen is None:
            return False, "came too late"
        running = self._expected(self._running, now)
        believed = running if observed is None else observed
        if believed is None:
            return False, "cannot be checked without an observation"
        r = float(_innovation(believed, foreseen).max())
        if r <= self.tolerance:
            return True, ""
        fault = f"is for another state ({r:.2g} off)"
        if running is not None and r < float(_innovation(believed, running).max()):
            return True, f"{fault}, but the running one is further off: it acts"
        return False, fault

    def _ask(
        self, now: int, observed: HostFields, predicted: HostFields | None
    ) -> bool:
        """Ask for a plan if it is time to, and say so."""
        plan = self._running
        lasts = self._during(plan, now + self.lead) is not None
        heeded = plan is not None and _same(plan.request.goal, self._goal)
        if predicted is not None and lasts and heeded:
            key = jax.random.fold_in(self._key, now)[None]
            skipped = jnp.full(1, self._skipped)
            if not _due(self._trigger, observed, predicted, skipped, key).any():
                self._skipped += 1
                return False
        state = self._awaited(now, observed, predicted)
        self.planning.requests.put(Request(now + self.lead, state, self._goal))
        return True

    def _awaited(
        self, now: int, observed: HostFields, predicted: HostFields | None
    ) -> HostFields:
        """States when a plan begins to act that is asked for now; surprises stay."""
        if self._foresee is not None:
            state = observed
            for tick in range(now, now + self.lead):
                acting = self._during(self._running, tick) or self._held
                acting = {name: acting[name] for name in self.names.planned}
                state = self._foresee(state, acting)
            return state
        later = self._expected(self._running, now + self.lead)
        if predicted is None or later is None:
            return observed
        return {n: later[n] + (u - predicted[n]) for n, u in observed.items()}

    def _expected(self, plan: Plan | None, tick: int) -> HostFields | None:
        """States at the begin of a tick by a plan; None if it says nothing of it."""
        return plan and plan.expected(tick, self._frames, self.names)

    def _during(self, plan: Plan | None, tick: int) -> HostFields | None:
        """Controls and states during a tick by a plan; None if it says nothing."""
        return plan and plan.during(tick, self._frames, self.names)


_innovation = jax.jit(relative_innovation)


@partial(jax.jit, static_argnums=0)
def _due(trigger: Trigger, *arguments: PyTree) -> Bool[Array, " batch"]:
    return trigger(*arguments)


def _checked(observation: HostFields | None) -> tuple[HostFields | None, list[str]]:
    """An observation that can be believed, or None and why not."""
    if observation is None:
        return None, ["no observation"]
    for name, u in observation.items():
        if not_finite(np.asarray(u)).any():
            return None, [f"the observation of {name} is not finite"]
    return observation, []


def _same(one: HostFields, other: HostFields) -> bool:
    """Whether two goals are one."""
    names = one.keys() == other.keys()
    return names and all(np.array_equal(one[name], other[name]) for name in one)
