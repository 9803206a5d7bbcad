"""A loop that runs on and on: Burgers flow, a planner beside it, and who watches.

Every few frames the flow has an appointment: it is to be at the goal then. In between
it is observed through noise, pushed by what the planner does not know, and steered by
the plan that runs; new plans are made in a thread of their own, where the innovation
asks for them (`wdno.accelerate.steering`). Goal and push may change at any time.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wdno.accelerate.event_trigger import InnovationThreshold
from wdno.accelerate.foresight import Foresee
from wdno.accelerate.latest import HostFields, Planning, Request
from wdno.accelerate.steering import Command, Steering
from wdno.demo.watched import News, Wish
from wdno.planning.feedback import Names, Trigger
from wdno.systems import Burgers

MOST = 2.0
"""Largest height of a goal and strength of a push, as of the data."""


class LiveLoop:
    """The flow, its controller, and a place where goal and push can be changed.

    Args:
        system: on the grid of the plans, over the frames between appointments.
        make: answers requests for plans.
        every: frames of a tick.
        noise: standard deviation of the observations.
        trigger: decides about new plans.
        foresee: what a plan does to the flow until the next one may act.
        key: of initial state, noise and trigger.
    """

    page = "live.html"

    def __init__(
        self,
        system: Burgers,
        make: Callable[[Request], HostFields],
        *,
        every: int = 8,
        noise: float = 0.02,
        trigger: Trigger | None = None,
        foresee: Foresee | None = None,
        key: PRNGKeyArray,
    ) -> None:
        self.system, self.every, self.noise = system, every, noise
        self._part = system.over(every)
        *keys, self._noise_key, trigger_key = jax.random.split(key, 4)
        inputs = system.sample_inputs(keys[0], 1)
        self._state = np.asarray(inputs["u0"])
        self._changed, self.news = threading.Lock(), News()
        self._goal = self._push = np.zeros_like(self._state)
        self._tick = self._new = 0
        self._runs: int | None = None
        self.planning = Planning(make)
        trigger = trigger or InnovationThreshold(0.5, most_skips=4, noise=noise)
        rest = {"f": np.zeros((1, every, system.points), np.float32)}
        names = Names({"u": "u0"}, ("f",))
        # In a tick as long as this the flow goes far: plans for states that are rather
        # different are still better than to hold a command.
        how = {"tolerance": 1.5, "foresee": foresee, "key": trigger_key}
        self.steering = Steering(self.planning, trigger, names, rest, **how)
        self.choose_goal((0.8, -0.6), (0.3, 0.7))

    def choose_goal(
        self, heights: tuple[float, float], places: tuple[float, float]
    ) -> None:
        """The state to be in at appointments: two humps.

        Raises:
            ValueError: a height is beyond 2, or a place outside the flow.
        """
        _check("Heights of a goal", heights, -MOST, MOST)
        _check("Places of a goal", places, 0.0, self.system.length)
        humps = [h * self._hump(p) for h, p in zip(heights, places, strict=True)]
        with self._changed:
            self._goal = np.sum(humps, axis=0)

    def push(self, strength: float, place: float) -> None:
        """What acts on the flow from now on and the planner does not know: a hump.

        Raises:
            ValueError: the strength is beyond 2, or the place outside the flow.
        """
        _check("The strength of a push", (strength,), -MOST, MOST)
        _check("The place of a push", (place,), 0.0, self.system.length)
        with self._changed:
            self._push = strength * self._hump(place)

    @property
    def known(self) -> tuple[HostFields, HostFields]:
        """What a plan is made for: state and goal."""
        with self._changed:
            return {"u0": self._state}, {"uT": self._goal}

    over = False
    """It goes on without end."""

    def open(self) -> None:
        """Wait for the first plan."""
        self.steering.begin(0, *self.known)

    def advance(self) -> dict[str, Any]:
        """One tick: observe, steer, and let the flow go on; what there is to see."""
        with self._changed:
            goal, push, now = self._goal, self._push, self._tick
        key = jax.random.fold_in(self._noise_key, now)
        noise = self.noise * np.asarray(jax.random.normal(key, self._state.shape))
        begin = time.perf_counter()
        observed = {"u0": self._state + noise.astype(self._state.dtype)}
        command = self.steering.tick(now, observed, {"uT": goal})
        seconds = time.perf_counter() - begin
        force = np.asarray(command.controls["f"], np.float32)
        inputs = {"u0": jnp.asarray(self._state)}
        inputs["f"] = jnp.asarray(force + push[:, None].astype(np.float32))
        u = np.asarray(self._part.solve(inputs)["u"])
        if not np.isfinite(u).all():
            raise ValueError(
                f"The flow must stay finite, but diverged at tick {now}. Push less."
            )
        shown = self._shown(now, u, goal, push, command, seconds)
        with self._changed:
            self._state, self._tick = u[:, -1], now + 1
        self.news.tell(shown)
        return shown

    @property
    def wishes(self) -> dict[str, Wish]:
        """Goal and push, as JSON has them."""
        return {"goal": self._wish_goal, "push": self._wish_push}

    def _wish_goal(self, wish: dict[str, Any]) -> None:
        heights, places = (tuple(map(float, wish[n])) for n in ("heights", "places"))
        if len(heights) != 2 or len(places) != 2:
            raise ValueError("A goal has two heights and two places.")
        self.choose_goal(heights, places)

    def _wish_push(self, wish: dict[str, Any]) -> None:
        self.push(float(wish["strength"]), float(wish["place"]))

    def _hump(self, place: float) -> Float[np.ndarray, "1 x"]:
        """A Gaussian that is 0 at both walls, as the flow is."""
        x = self.system.coords["x"][None]
        walls = np.sin(np.pi * x / self.system.length) ** 0.25
        hump = walls * np.exp(-0.5 * ((x - place) / 0.1) ** 2)
        return hump.astype(np.float32)

    def _shown(
        self,
        now: int,
        u: Float[Array, "1 frame x"] | np.ndarray,
        goal: np.ndarray,
        push: np.ndarray,
        command: Command,
        seconds: float,
    ) -> dict[str, Any]:
        """A tick in numbers that JSON can hold."""
        begun = command.planned_for not in (None, self._runs)
        self._runs, self._new = command.planned_for, self._new + begun
        foreseen = command.foreseen.get("u")
        until = self.system.frames - now * self.every % self.system.frames
        innovation = command.innovation
        return {
            "tick": now,
            "time": (now + 1) * self._part.duration,
            "until": until - self.every,
            "u": _rounded(u[0]),
            "foreseen": None if foreseen is None else _rounded(foreseen[0]),
            "f": _rounded(command.controls["f"][0, -1]),
            "goal": _rounded(goal[0]),
            "push": _rounded(push[0]),
            "miss": float(np.mean((u[0, -1] - goal[0]) ** 2)),
            "innovation": innovation if np.isfinite(innovation) else None,
            "new": begun,
            "asked": command.asked,
            "share": self._new / (now + 1),
            "milliseconds": 1e3 * seconds,
            "planning": 1e3 * self.planning.seconds,
            "faults": list(command.faults),
        }


def _check(what: str, values: tuple[float, ...], low: float, high: float) -> None:
    if not all(low <= value <= high for value in values):
        raise ValueError(
            f"{what} lie between {low:g} and {high:g}, but got {values}. Choose others."
        )


def _rounded(values: Any) -> list:
    return np.round(np.asarray(values, float), 3).tolist()
