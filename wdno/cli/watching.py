"""The command that shows a loop in the browser while it runs."""

import contextlib
from typing import Literal, Protocol, runtime_checkable

import jax
from tyro.conf import Positional

from wdno.accelerate.foresight import Simulated
from wdno.accelerate.latest import Appointments
from wdno.demo.live import LiveLoop
from wdno.demo.live_server import serving
from wdno.demo.live_smoke import SmokeLoop, SmokePlans
from wdno.demo.watched import Running, Watched, running
from wdno.operator import checkpoint
from wdno.planning.feedback import Names
from wdno.planning.objectives import leakage, reach
from wdno.planning.planner import Planner
from wdno.planning.surrogate import FrameByFrame, Surrogate
from wdno.systems import Burgers, Smoke


def live(
    system: Positional[Literal["burgers"]],
    port: int = 8000,
    pace: float = 0.8,
    noise: float = 0.02,
    model: str = "burgers-control",
    simulation: str = "burgers-simulation",
    seed: int = 0,
) -> None:
    """Steer a flow without end, and watch and disturb it in the browser.

    Args:
        system: what is steered.
        port: of the page, on this machine alone; 0 takes one that is free.
        pace: seconds of a tick of 8 frames, 0.1 or more: plans made during one act from
            the next on. At 0.8 the flow takes as long as its own time says.
        noise: standard deviation of the observations.
        model: shipped name or folder of a planner.
        simulation: of a model that says what the flow does until a plan is there.
        seed: of the initial state and of all noise.
    """
    if not 0.1 <= pace < float("inf"):
        raise ValueError(
            "A tick is long enough for a plan, 0.1 seconds or more, but got --pace "
            f"{pace:g}. Give more."
        )
    planner_key, loop_key = jax.random.split(jax.random.key(seed))
    planner = Planner(checkpoint.load(model), reach(("u",), ("f",), 2e-5), steps=1)
    make = Appointments(planner, 8, planner_key)
    flow = Burgers().over(planner.model.window)
    tick = Surrogate(checkpoint.load(simulation), 8)
    foresee = Simulated(tick, Names({"u": "u0"}, ("f",)))
    loop = LiveLoop(flow, make, noise=noise, foresee=foresee, key=loop_key)
    print("Compiling the plans of every horizon …", flush=True)
    make.compile(*loop.known)
    _watch(loop, port, pace)


def live_smoke(seed: int = 0, port: int = 8000, pace: float = 0.5) -> None:
    """Steer smoke, scene after scene, and blow at it in the browser.

    Args:
        seed: of scenes and noise.
        port: of the page, on this machine alone; 0 takes one that is free.
        pace: seconds of a tick of 4 frames.
    """
    system = Smoke()
    planner = Planner(checkpoint.load("smoke-control"), leakage, steps=0)
    surrogate = FrameByFrame(checkpoint.load("smoke-simulation"), system.frames)
    plans = SmokePlans(planner, surrogate, system, every=4)
    print("Compiling the plans of every horizon …", flush=True)
    plans.compile()
    _watch(SmokeLoop(system, plans, key=jax.random.key(seed)), port, pace)


@runtime_checkable
class _Loop(Running, Watched, Protocol):
    """A loop that runs and is watched."""


def _watch(loop: _Loop, port: int, pace: float) -> None:
    """Serve a loop until it or the person at the keyboard ends it."""
    with running(loop, pace), serving(loop, port) as address:
        print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            loop.news.wait()
