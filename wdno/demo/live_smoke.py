"""Smoke in a wind that no planner knows: one scene after another, watched and blown.

The shipped planner makes the plan of a scene, and the simulation model says what it
will lead to. Where that is not what is observed, the rest of the plan descends a step
through the model, in a thread of its own (`wdno.accelerate.steering`); meanwhile it
goes on as it is. The solver moves the smoke, wind included, which may change any time.
"""

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from wdno._typing import Fields
from wdno.accelerate.event_trigger import InnovationThreshold
from wdno.accelerate.foresight import Simulated
from wdno.accelerate.latest import HostFields, Planning, Request
from wdno.accelerate.steering import Command, Steering
from wdno.demo.watched import News, Wish
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.planning.adjoint import System, steepest_step
from wdno.planning.constraints import Linear, all_of, region
from wdno.planning.feedback import Names
from wdno.planning.objectives import leakage
from wdno.systems import Smoke
from wdno.systems.smoke.flow import advance, begin

NAMES = Names({"density": "density0"}, ("cx", "cy"))
STRONGEST = 0.5
"""Largest wind along either axis; controls are of order one."""


class SmokePlans:
    """Plans of a scene: the planner's at first, then a step from the rest of the last.

    Args:
        planner: of whole records.
        surrogate: a simulation model in the place of the solver.
        system: for its ring and obstacles, and the length of a record.
        every: frames of a tick.
        size: of the step.
    """

    def __init__(
        self,
        planner: Callable[[Fields, RowKeys], Fields],
        surrogate: System,
        system: Smoke,
        *,
        every: int,
        size: float = 0.05,
    ) -> None:
        self.planner, self.surrogate, self.every = planner, surrogate, every
        self.frames, self._points = system.frames, system.points
        closed = jnp.asarray(system.static["obstacle"], jnp.float32)
        self.beside = {"obstacle": closed[None]}
        self._inside = Linear(all_of(*(region(n, system.ring) for n in NAMES.planned)))
        self.size = size
        self._last: tuple[int, HostFields] = (0, {})

    def __call__(self, request: Request) -> HostFields:
        """States and controls from the tick of a request to the end of the scene."""
        known = {n: jnp.asarray(u, jnp.float32) for n, u in request.state.items()}
        known |= self.beside
        if request.tick == 0:
            goal = jnp.ones(1, jnp.float32)  # all of the smoke
            plan = self.planner(
                {**known, "smokeT": goal}, row_keys(jax.random.key(0), 1)
            )
            controls = {name: plan[name] for name in NAMES.planned}
            found = {**self._over(0).solve({**known, **controls}), **controls}
        else:
            tick, controls = self._last
            gone = (request.tick - tick) * self.every
            rest = {name: jnp.asarray(c)[:, gone:] for name, c in controls.items()}
            found = steepest_step(
                self._over(request.tick).solve,
                known,
                rest,
                leakage,
                size=self.size,
                constraint=self._inside,
            )
        self._last = request.tick, {name: found[name] for name in NAMES.planned}
        return {name: found[name] for name in ("density", *NAMES.planned)}

    def _over(self, tick: int) -> System:
        """The surrogate over what is left of a record."""
        return self.surrogate.over(self.frames - tick * self.every)

    def compile(self) -> None:
        """Make a plan of every horizon, before the clock runs."""
        state = {"density0": np.zeros((1, self._points, self._points), np.float32)}
        state["density0"][:, self._points // 4, self._points // 2] = 1.0
        for tick in range(self.frames // self.every):
            self(Request(tick, state, {}))


class SmokeLoop:
    """Scenes of smoke, their controller, and a wind that can be changed.

    Args:
        system: the solver.
        plans: answers requests for plans.
        noise: standard deviation of the observations.
        key: of scenes and noise.
    """

    page = "live_smoke.html"

    def __init__(
        self,
        system: Smoke,
        plans: SmokePlans,
        *,
        noise: float = 0.02,
        key: PRNGKeyArray,
    ) -> None:
        self.system, self.plans, self.noise = system, plans, noise
        self.news, self.planning = News(), Planning(plans)
        self._key, self._changed = key, threading.Lock()
        self._wind = (0.0, 0.0)
        self._ring = system.static["ring"]
        self._tick = self._now = self._asked = 0
        self._number = -1

    def open(self) -> None:
        """A new scene, and its first plan."""
        self._number, self._now = self._number + 1, 0
        self.planning = Planning(self.plans)
        key = jax.random.fold_in(self._key, self._number)
        density = self.system.sample_inputs(key, 1)["density0"].astype(jnp.float32)
        self._scene = begin(self.system.flow, density)
        every, points = self.plans.every, self.system.points
        rest = dict.fromkeys(
            NAMES.planned, np.zeros((1, every, points, points), np.float32)
        )
        tick = self.plans.surrogate.over(every)
        trigger = InnovationThreshold(0.8, most_skips=4, noise=self.noise)
        foresee = Simulated(tick, NAMES, self.plans.beside)
        how = {"tolerance": 1.5, "foresee": foresee, "key": key}
        self.steering = Steering(self.planning, trigger, NAMES, rest, **how)
        self.steering.begin(0, {"density0": np.asarray(density)}, {})

    @property
    def over(self) -> bool:
        """Whether the scene is."""
        return self._now * self.plans.every >= self.system.frames

    @property
    def wishes(self) -> dict[str, Wish]:
        """The wind, as JSON has it."""
        return {"wind": lambda wish: self.blow(float(wish["x"]), float(wish["y"]))}

    def blow(self, x: float, y: float) -> None:
        """The wind from now on, in the ring, beside the controls.

        Raises:
            ValueError: it is stronger than 0.5 along an axis.
        """
        if not max(abs(x), abs(y)) <= STRONGEST:
            raise ValueError(
                f"Winds are between {-STRONGEST:g} and {STRONGEST:g} along either axis,"
                f" but got {x:g} and {y:g}. Blow less."
            )
        with self._changed:
            self._wind = (x, y)

    def advance(self) -> dict[str, Any]:
        """One tick: observe, steer, and let the smoke go on; what there is to see."""
        with self._changed:
            wind = self._wind
        key = jax.random.fold_in(self._key, 10_000 + self._tick)
        density = self.system.flow.stored(self._scene.density)
        seen = density + self.noise * jax.random.normal(
            key, density.shape, density.dtype
        )
        started = time.perf_counter()
        command = self.steering.tick(self._now, {"density0": np.asarray(seen)}, {})
        seconds = time.perf_counter() - started
        pushed = (
            jnp.asarray(command.controls[name] + strength * self._ring, jnp.float32)
            for name, strength in zip(NAMES.planned, wind, strict=True)
        )
        self._scene, flow = advance(self.system.flow, self._scene, *pushed)
        self._asked += command.asked
        shown = self._shown(np.asarray(flow["density"][0]), command, wind, seconds)
        self._now, self._tick = self._now + 1, self._tick + 1
        self.news.tell(shown)
        return shown

    def _shown(
        self,
        density: np.ndarray,
        command: Command,
        wind: tuple[float, float],
        seconds: float,
    ) -> dict[str, Any]:
        """A tick in numbers that JSON can hold; densities as bytes, 255 being dense."""
        counts = np.asarray(self._scene.absorbed[0])
        everything = counts.sum() + float(self._scene.remaining.sum())
        known = np.isfinite(command.innovation)
        foreseen = command.foreseen.get("density")
        return {
            "tick": self._tick,
            "scene": self._number,
            "time": (self._now + 1) * self.plans.every,
            "density": [_bytes(frame) for frame in density],
            "foreseen": None if foreseen is None else _bytes(foreseen[0, -1]),
            "control": [
                round(float(command.controls[n][0, -1][self._ring > 0].mean()), 3)
                for n in NAMES.planned
            ],
            "wind": list(wind),
            "arrived": float(counts[self.system.target] / everything),
            "leaked": float(1 - counts[self.system.target] / everything),
            "lost": float((counts.sum() - counts[self.system.target]) / everything),
            "innovation": command.innovation if known else None,
            "asked": command.asked,
            "share": self._asked / (self._tick + 1),
            "milliseconds": 1e3 * seconds,
            "planning": 1e3 * self.planning.seconds,
            "faults": list(command.faults),
        }


def _bytes(density: np.ndarray) -> str:
    whole = np.clip(255 * np.asarray(density), 0, 255).astype(np.uint8)
    return base64.b64encode(whole.tobytes()).decode()
