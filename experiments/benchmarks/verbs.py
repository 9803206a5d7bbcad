"""Seconds of the verbs: the first call, which compiles, and another of equal shapes.

    python experiments/benchmarks/verbs.py

Functions, planners and systems are made anew for each call, as a notebook makes them.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np
import tyro
import xarray as xr

import wdno
from wdno.planning.objectives import energy, leakage, terminal
from wdno.systems import Advection, Burgers, CompressibleNavierStokes, Smoke
from wdno.trajectory import coarsen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402


@dataclass(frozen=True)
class Config:
    """How many problems, and what the same calls took before, in seconds.

    Attributes:
        before: a file with results of this script for an earlier state of the package.
    """

    flows: int = 50
    scenes: int = 8
    repeats: int = 2
    seed: int = 40_000
    before: Path | None = None


def main(config: Config) -> None:
    """Time each verb, print and store."""
    results: dict[str, dict[str, float]] = {}

    def note(name: str, count: int, call: Callable[[], object]) -> None:
        seconds = []
        for _ in range(1 + config.repeats):
            begin = time.perf_counter()
            call()
            seconds.append((time.perf_counter() - begin) / count)
        first, again = seconds[0] * count, float(np.median(seconds[1:]))
        results[name] = {"first_call": round(first, 3), "each": round(again, 5)}
        print(f"{name:36s} first call {first:7.2f} s, then {again:.4f} s each")

    for verb in (burgers, smoke, uncontrolled):
        verb(config, note)
    more = {}
    if config.before is not None:
        more["before"] = json.loads(config.before.read_text())
    print(record("seconds", asdict(config), results=results, **more))


def burgers(config: Config, note: Callable) -> None:
    """Simulation, refinement and control of Burgers flow."""
    key, count = jax.random.key(config.seed), config.flows
    truth = Burgers().trajectories(key, count)
    u0, goal = truth.u.isel(time=0), truth.u.isel(time=-1, drop=True)
    base, refiner, model = (
        wdno.load(f"burgers-{task}") for task in ("simulation", "refinement", "control")
    )
    for steps in (1, 4, 8):
        note(
            f"simulate, {steps} calls",
            count,
            lambda steps=steps: wdno.simulate(base, u0, truth.f, steps=steps, key=key),
        )
    coarse = coarsen(truth, 2)
    note(
        "refine twice",
        count,
        lambda: wdno.super_resolve(refiner, coarse.u, u0, truth.f, key=key),
    )

    def plan(polish: int, **how: float) -> None:
        planner = wdno.Planner(
            model,
            lambda s: terminal(s["u"], s["uT"]) + 2e-5 * energy(s["f"]),
            polish=wdno.Polish(Burgers(), polish) if polish else None,
            **how,
        )
        wdno.control(planner.over(16), u0, target=goal, key=key)

    note("plan, one call", count, lambda: plan(0, steps=1))
    note("plan, 6 calls, guided", count, lambda: plan(0, steps=6, strength=100.0))
    for polish in (1, 3, 8):
        note(
            f"plan, one call, polish {polish}",
            count,
            lambda polish=polish: plan(polish, steps=1),
        )

    def loop() -> None:
        planner = wdno.Planner(
            model, lambda s: terminal(s["u"], s["uT"]), steps=1
        ).over(16)
        wdno.control_loop(planner, Burgers(), u0, every=4, target=goal, key=key)

    note("closed loop, a plan every 4 frames", count, loop)


def smoke(config: Config, note: Callable) -> None:
    """Simulation and control of smoke."""
    key, count, system = jax.random.key(config.seed), config.scenes, Smoke()
    truth = system.trajectories(key, count)
    initial = truth.density.isel(time=0)
    base, model = (wdno.load(f"smoke-{task}") for task in ("simulation", "control"))
    for steps in (1, 4):
        note(
            f"simulate smoke, {steps} calls",
            count,
            lambda steps=steps: wdno.simulate(
                base, initial, truth[["cx", "cy"]], steps=steps, key=key
            ),
        )

    def plan(polish: int) -> None:
        constraint = wdno.constraints.all_of(
            *(wdno.constraints.region(name, system.ring) for name in ("cx", "cy"))
        )
        planner = wdno.Planner(
            model,
            leakage,
            constraint=constraint,
            steps=8,
            polish=wdno.Polish(Smoke(), polish) if polish else None,
        )
        goal = xr.Dataset({"smoke": xr.DataArray(np.float32(1.2))})
        wdno.control(planner, initial, target=goal, key=key)

    note("plan smoke, 8 calls", count, lambda: plan(0))
    note("plan smoke, 8 calls, polish 1", count, lambda: plan(1))


def uncontrolled(config: Config, note: Callable) -> None:
    """Simulation of a record of what nobody steers."""
    key, count = jax.random.key(config.seed), config.flows
    systems = {
        "advection-simulation": Advection(),
        "navier-stokes-shock": CompressibleNavierStokes(points=128, refinement=8),
    }
    for name, system in systems.items():
        model = wdno.load(name)
        truth = system.trajectories(key, count)
        start = truth[list(model.state)].isel(time=0, drop=True)
        frames = truth.sizes["time"] - 1
        note(
            name,
            count,
            lambda model=model, start=start, frames=frames: wdno.simulate(
                model, start, frames=frames, key=key
            ),
        )


if __name__ == "__main__":
    main(tyro.cli(Config))
