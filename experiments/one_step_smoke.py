"""Does one call plan for smoke as eight do?

Plans of `smoke-control` by its mean, in one call, in eight with and without guidance,
and by its adapter in one, judged by the solver; and by subbands, how far the adapter's
members are from those of the teacher in energy.

    python experiments/one_step_smoke.py
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _results import RESULTS, record
from _smoke import SYSTEM, Scenes, sampled

import wdno
from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m
from wdno.operator.generation import generate


@dataclass(frozen=True)
class Config:
    """Which planner, on which scenes."""

    planner: str = "smoke-control"
    scenes: int = 12
    strength: float = 3000.0
    seed: int = 41_000
    arms: tuple[str, ...] = ()
    """To measure now; those of an earlier run are kept."""


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    scenes = Scenes.draw(config.seed, config.scenes)
    model, key = wdno.load(config.planner), jax.random.key(config.seed + 1)
    quick = wdno.load(config.planner, adapter="one-step")
    eight = {"sampler": dpmpp_2m(), "steps": 8}
    ways: dict[str, tuple[wdno.WDNO, dict[str, Any]]] = {
        "mean": (model, {"steps": 0}),
        "1 call": (model, {"sampler": ddim(), "steps": 1}),
        "8 calls": (model, eight),
        "guided, 8 calls": (model, eight | {"strength": config.strength}),
        "adapter, 1 call": (quick, {"sampler": ddim(), "steps": 1}),
    }
    path = RESULTS / "one_step_smoke.json"
    results = json.loads(path.read_text())["plans"] if path.exists() else {}
    told = asdict(config) | {"arms": [*ways]}
    for name in config.arms or ways:
        if name == "energy":
            continue
        planner, how = ways[name]
        controls = sampled(planner, scenes, key, **how)
        results[name] = scenes.judged(controls, 0.0)
        results[name].pop("seconds_per_plan")
        print(f"{name:20s}", results[name], flush=True)
        record("one_step_smoke", told, plans=results)
    if not config.arms or "energy" in config.arms:
        for name, way in (("1 call", model), ("adapter, 1 call", quick)):
            found = energy_over_teacher(way, model, scenes, key)
            results.setdefault(name, {})["energy_over_teacher"] = found
            print(name, found, flush=True)
        record("one_step_smoke", told, plans=results)


def energy_over_teacher(
    quick: wdno.WDNO, teacher: wdno.WDNO, scenes: Scenes, key: jax.Array
) -> list[float]:
    """Least and largest ratio of energies of departures from the mean, of subbands."""
    few = scenes.inputs["density0"][:4]
    closed = jnp.asarray(SYSTEM.static["obstacle"], few.dtype)
    known = {
        "density0": few,
        "obstacle": jnp.broadcast_to(closed, few.shape),
        "smokeT": jnp.ones(len(few), few.dtype),
    }

    def departures(model: wdno.WDNO, sampler: Sampler, steps: int) -> np.ndarray:
        fields = generate(model, known, sampler, model.levels(steps), key)
        mean = generate(teacher, known, sampler, teacher.levels(0), key)
        z = teacher.targets.analysis(fields) - teacher.targets.analysis(mean)
        return np.square(np.asarray(z)).mean(axis=tuple(range(z.ndim - 1)))

    one = departures(quick, ddim(), 1)
    many = departures(teacher, dpmpp_2m(), 8)
    there = many > many.max() * 1e-12
    ratio = one[there] / many[there]
    return [round(float(ratio.min()), 3), round(float(ratio.max()), 3)]


if __name__ == "__main__":
    main(tyro.cli(Config))
