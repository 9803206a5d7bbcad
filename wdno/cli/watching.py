"""The command that shows a loop in the browser while it runs."""

import contextlib
from typing import Literal

import jax
from tyro.conf import Positional

from wdno.accelerate.latest import Appointments
from wdno.demo.live import LiveLoop, running
from wdno.demo.live_server import serving
from wdno.operator import checkpoint
from wdno.planning.objectives import reach
from wdno.planning.planner import Planner
from wdno.systems import Burgers


def live(
    system: Positional[Literal["burgers"]],
    port: int = 8000,
    pace: float = 0.8,
    noise: float = 0.02,
    model: str = "burgers-control",
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
    loop = LiveLoop(flow, make, noise=noise, key=loop_key)
    print("Compiling the plans of every horizon …", flush=True)
    make.compile(*loop.known)
    with running(loop, pace), serving(loop, port) as address:
        print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            loop.wait()
