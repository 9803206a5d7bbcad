"""How much smoke leaks under sampled plans, and under their rivals?

Plans of the shipped planner, guided, the best of several, polished through the solver;
no control, the way-point controls that it was trained on, their regression (behaviour
cloning), and adjoint-gradient optimisation with little and with much time. All judged
by the solver at 128 x 128 from the true initial smoke.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import tyro
import xarray as xr
from _results import record
from _smoke import SYSTEM, Scenes, controls_of, objective

import wdno
from wdno._typing import Fields
from wdno.adjoint import descend
from wdno.constraints import every, region


@dataclass(frozen=True)
class Config:
    """Which planner, on which scenes."""

    planner: str = "smoke-control"
    scenes: int = 50
    steps: int = 10
    strength: float = 5.0
    samples: int = 8
    polish: tuple[int, ...] = (3, 8)
    descent_steps: int = 30
    descent_scenes: int = 16
    seed: int = 40_000


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    scenes = Scenes.draw(config.seed, config.scenes)
    planner, key = wdno.load(config.planner), jax.random.key(config.seed + 1)
    allowed = every(*(region(name, SYSTEM.ring) for name in SYSTEM.control))
    goal = xr.Dataset({"smoke": xr.DataArray(1.0)})
    results = {}

    def arm(name: str, make: Callable[[], Fields], few: int = config.scenes) -> Fields:
        begin = time.perf_counter()
        controls = jax.block_until_ready(make())
        seconds = time.perf_counter() - begin
        part = Scenes(*jax.tree.map(lambda a: a[:few], tuple(scenes)))
        results[name] = part.judged(controls, seconds, scenes=few)
        print(f"{name:28s}", results[name], flush=True)
        return controls

    def plans(**how) -> Fields:
        fixed = {"constraint": allowed, "batch_size": 25, "key": key}
        plan = wdno.control(
            planner, scenes.initial, objective, target=goal, **fixed, **how
        )
        return controls_of(wdno.best_plan(plan) if "member" in plan.dims else plan)

    once = {"strength": 0.0, "steps": 1}
    guided = {"strength": config.strength, "steps": config.steps}
    arm("no control", lambda: scenes.still)
    arm("way-points", lambda: scenes.waypoints)
    plans(**once)  # compiles
    arm("regression", lambda: plans(**once))
    arm("sampled", lambda: plans(strength=0.0, steps=config.steps))
    plan = arm("guided", lambda: plans(**guided))
    many = {**guided, "samples": config.samples}
    arm(f"guided, best of {config.samples}", lambda: plans(**many))

    def polished(start: Fields, steps: int, few: int) -> Fields:
        known = {"density0": scenes.inputs["density0"][:few]}
        start = {name: c[:few] for name, c in start.items()}
        found = descend(
            SYSTEM.solve, known, start, objective, steps=steps, constraint=allowed
        )
        return found.controls

    few = config.descent_scenes
    polished(plan, 1, 1)  # compiles
    for n in config.polish:
        arm(f"guided, polish {n}", lambda n=n: polished(plan, n, config.scenes))
    mean = {name: c.mean(axis=0) for name, c in scenes.waypoints.items()}
    mean = {name: jnp.broadcast_to(c, (few, *c.shape)) for name, c in mean.items()}
    for name, start in (("no control", scenes.still), ("mean way-points", mean)):
        for n in (*config.polish, config.descent_steps):
            arm(f"adjoint, {name}, {n}", lambda s=start, n=n: polished(s, n, few), few)
    record("smoke_control", asdict(config), results=results)


if __name__ == "__main__":
    main(tyro.cli(Config))
