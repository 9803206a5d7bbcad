"""How much smoke leaks under sampled plans, and under their rivals?

Plans of the shipped planner, guided, the best of several, polished through the solver;
no control, the way-point controls that it was trained on, their regression (behaviour
cloning: one call gives the mean), and adjoint-gradient optimisation with little and
with much time. All judged by the solver at 128 x 128 from the true initial smoke.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import jax
import jax.numpy as jnp
import tyro
from _results import record
from _smoke import ALLOWED, SYSTEM, Scenes, objective, sampled

import wdno
from wdno._typing import Fields
from wdno.adjoint import descend


@dataclass(frozen=True)
class Config:
    """Which planner, on which scenes."""

    planner: str = "smoke-control"
    scenes: int = 50
    steps: int = 8
    strength: float = 3000.0
    samples: int = 8
    polish: tuple[int, ...] = (1, 2, 4)
    descent_steps: tuple[int, ...] = (4, 16)
    descent_scenes: int = 8
    seed: int = 40_000


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    scenes = Scenes.draw(config.seed, config.scenes)
    planner, key = wdno.load(config.planner), jax.random.key(config.seed + 1)
    results = {}

    def arm(
        name: str,
        make: Callable[[], Fields],
        count: int = config.scenes,
        before: float = 0.0,
    ) -> tuple[Fields, float]:
        begin = time.perf_counter()
        controls = jax.block_until_ready(make())
        seconds = time.perf_counter() - begin + before * count
        results[name] = scenes.first(count).judged(controls, seconds, scenes=count)
        print(f"{name:28s}", results[name], flush=True)
        record("smoke_control", asdict(config), results=results)
        return controls, seconds / count

    def polished(start: Fields, steps: int, count: int = config.scenes) -> Fields:
        found = descend(
            SYSTEM.solve,
            {"density0": scenes.inputs["density0"][:count]},
            {name: c[:count] for name, c in start.items()},
            objective,
            steps=steps,
            constraint=ALLOWED,
        )
        return found.controls

    plans = partial(sampled, planner, scenes, key)
    once, often = {"steps": 1, "goal": 1.0}, {"steps": config.steps}
    guided = {**often, "goal": 1.0, "strength": config.strength}
    arm("no control", lambda: scenes.still)
    arm("way-points", lambda: scenes.waypoints)
    plans(**once)  # compiles
    arm("regression", lambda: plans(**once))
    arm("guided", lambda: plans(**guided))
    plan, price = arm("sampled", lambda: plans(**often))
    arm(
        f"sampled, best of {config.samples}",
        lambda: plans(**often, samples=config.samples),
    )
    polished(plan, 1, 1)  # compiles
    for n in config.polish:
        arm(f"sampled, polish {n}", lambda n=n: polished(plan, n), before=price)
    few = config.descent_scenes
    mean = {name: c.mean(axis=0) for name, c in scenes.waypoints.items()}
    mean = {name: jnp.broadcast_to(c, (few, *c.shape)) for name, c in mean.items()}
    starts = {"no control": scenes.still, "mean of the data": mean}
    for name, start in starts.items():
        for n in config.descent_steps:
            arm(
                f"adjoint from {name}, {n} steps",
                lambda s=start, n=n: polished(s, n, few),
                few,
            )


if __name__ == "__main__":
    main(tyro.cli(Config))
