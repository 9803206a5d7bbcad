"""How much smoke leaks under sampled plans, and under their rivals?

Plans of the shipped planner, guided, the best of several, polished through the solver
or through the simulation model; no control, the way-point controls of the data, the
mean of the planner and one plan for all scenes, adjoint-gradient optimisation, and
descent through the simulation model. All judged by the solver at 128 x 128 from the
true initial smoke.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _control import interval
from _results import RESULTS, record
from _smoke import ALLOWED, SYSTEM, Scenes, coarse, sampled, wary

import wdno
from wdno._typing import Fields, Objective
from wdno.planning.adjoint import descend
from wdno.planning.objectives import leakage
from wdno.planning.optimizer import Solve


@dataclass(frozen=True)
class Config:
    """Which planner, on which scenes."""

    planner: str = "smoke-control"
    simulation: str = "smoke-simulation"
    scenes: int = 50
    steps: int = 8
    strength: float = 3000.0
    samples: int = 8
    polish: int = 3
    descent_steps: int = 12
    descent_scenes: int = 8
    model_steps: int = 12
    polish_model: int = 3
    seed: int = 40_000


def main(config: Config) -> None:
    """Plan, judge, print and store; an interrupted run goes on where it was."""
    scenes = Scenes.draw(config.seed, config.scenes)
    planner, key = wdno.load(config.planner), jax.random.key(config.seed + 1)
    results = stored(config)

    def arm(name: str, make: Callable[[], Fields], count: int = config.scenes) -> None:
        if name not in results:
            begin = time.perf_counter()
            controls = jax.block_until_ready(make())
            seconds = time.perf_counter() - begin
            results[name] = scenes.first(count).judged(controls, seconds, scenes=count)
        print(f"{name:28s}", results[name], flush=True)
        record("smoke_control", asdict(config), results=results)

    def descent(
        name: str,
        start: Fields,
        steps: int,
        count: int,
        solve: Solve = SYSTEM.solve,
        objective: Objective = leakage,
    ) -> None:
        """Steps through a solver or model: its J, gradients and seconds of each."""
        if name in results:
            return
        known = {"density0": scenes.inputs["density0"][:count]}
        if solve is not SYSTEM.solve:
            closed = jnp.asarray(SYSTEM.static["obstacle"])
            known["obstacle"] = jnp.broadcast_to(closed, known["density0"].shape)
        start = {part: c[:count] for part, c in start.items()}
        how = {"objective": objective, "constraint": ALLOWED}
        one = jax.tree.map(lambda a: a[:1], (known, start))
        descend(solve, *one, steps=1, **how)  # compiles
        found = descend(solve, known, start, steps=steps, **how)
        best = np.minimum.accumulate(found.values)
        path = {
            "J": [interval(values) for values in best],
            "gradients": found.gradients.mean(axis=1).tolist(),
            "seconds_per_plan": (found.seconds / count).round(2).tolist(),
        }
        few = scenes.first(count)
        results[name] = few.judged(
            found.controls, found.seconds[-1], scenes=count, path=path
        )
        arm(name, lambda: found.controls, count)

    plans = partial(sampled, planner, scenes, key)
    once, often = {"steps": 0}, {"steps": config.steps}
    guided = {**often, "strength": config.strength}
    many = {**often, "members": config.samples}
    arm("no control", lambda: scenes.still)
    arm("way-points", lambda: scenes.waypoints)
    plan = plans(**often)  # compiles
    arm("one plan for all", lambda: repeated(plans(**once), config.scenes))
    arm("regression", lambda: plans(**once))
    arm("guided", lambda: plans(**guided))
    arm("sampled", lambda: plans(**often))
    few, n = config.descent_scenes, config.descent_steps
    mean = repeated(scenes.waypoints, config.scenes)
    solve, m = coarse(wdno.load(config.simulation)).solve, config.model_steps
    descent(f"model from mean way-points, {m} steps", mean, m, config.scenes, solve)
    k = config.polish_model
    descent(f"model from sampled, {k} steps", plan, k, config.scenes, solve, wary)
    descent(f"adjoint from mean way-points, {n} steps", mean, n, few)
    descent(f"sampled, polish {config.polish}", plan, config.polish, few)
    arm(f"sampled, best of {config.samples}", lambda: plans(**many))


def repeated(controls: Fields, count: int) -> Fields:
    """Their mean, for all scenes."""
    means = {name: c.mean(axis=0) for name, c in controls.items()}
    return {name: jnp.broadcast_to(c, (count, *c.shape)) for name, c in means.items()}


def stored(config: Config) -> dict[str, Any]:
    """Results of an earlier run with the same configuration."""
    path = RESULTS / "smoke_control.json"
    entry = json.loads(path.read_text()) if path.exists() else {}
    same = entry.get("config") == json.loads(json.dumps(asdict(config)))
    return entry["results"] if same else {}


if __name__ == "__main__":
    main(tyro.cli(Config))
