"""How good are sampled plans for Burgers flow, and what do they save the solver?

Plans of one denoiser call and of many, the best of several, polished ones and those of
the same diffusion without wavelets, judged by the solver from the true initial states;
then the gradients of the solver that a plan saves against a start from no force.
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from _control import OBJECTIVE, SYSTEM, Problems, interval, late_plan
from _results import record

import wdno
from wdno.planning.adjoint import descend

FACTORS = (2.0, 1.5, 1.1, 1.01)
"""Multiples of the adjoint optimum whose reaching is counted in gradients."""


@dataclass(frozen=True)
class Config:
    """Which models, on which problems."""

    base: str = "burgers-simulation"
    planner: str = "burgers-control"
    rival: Path = Path("runs/control-lazy/model")
    targets: int = 50
    horizon: int = 16
    steps: int = 6
    strength: float = 100.0
    samples: int = 8
    polish: tuple[int, ...] = (1, 3, 5, 8)
    descent_steps: int = 20
    seed: int = 40_000


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    problems = Problems.draw(config.seed, config.targets)
    base = wdno.load(config.base)
    key = jax.random.key(config.seed + 2)
    results, plans = {}, {}

    def arm(
        name: str, model: wdno.WDNO, members: int | None = None, **how: Any
    ) -> None:
        planner = wdno.Planner(model, OBJECTIVE, **how)
        plan = partial(late_plan, base, planner, problems, config.horizon, key, members)
        plan()  # compiles
        begin = time.perf_counter()
        plans[name] = jax.block_until_ready(plan())
        seconds = time.perf_counter() - begin
        results[name] = problems.judged(plans[name], seconds)
        print(f"{name:24s}", results[name], flush=True)

    planner = wdno.load(config.planner)
    once, often = {"steps": 1}, {"steps": config.steps}
    guided = {"strength": config.strength, "steps": config.steps}
    arm("one call", planner, **once)
    arm(f"{config.steps} calls", planner, **often)
    arm("guided", planner, **guided)
    arm(f"best of {config.samples}", planner, **guided, members=config.samples)
    for n in config.polish:
        polish = wdno.Polish(SYSTEM, n)
        arm(f"one call, polish {n}", planner, **once, polish=polish)
    if config.rival.exists():
        rival = wdno.load(config.rival)
        arm("no wavelets, one call", rival, **once)
        arm("no wavelets, guided", rival, **guided)

    def gradients(start: jax.Array, optimum: np.ndarray | None = None):
        """Of each problem until J is near its optimum, and what that is."""
        found = descend(
            SYSTEM.solve,
            problems.known,
            {"f": start},
            OBJECTIVE,
            steps=config.descent_steps,
        )
        best = np.minimum.accumulate(found.values)
        optimum = best[-1] if optimum is None else optimum
        spent = {}
        for factor in FACTORS:
            there = best <= factor * optimum
            first = np.where(there.any(0), there.argmax(0), len(best) - 1)
            counted = found.gradients[first, np.arange(first.size)]
            late = float((~there.any(0)).mean())
            spent[f"{factor}"] = {"gradients": interval(counted), "not reached": late}
        return spent, optimum

    cold, optimum = gradients(problems.still)
    warm, _ = gradients(plans["one call"], optimum)
    print("gradients from no force", cold, "from a plan", warm, sep="\n")
    record(
        "control",
        asdict(config),
        plans=results,
        optimum=interval(optimum),
        gradients_until={"from no force": cold, "from a plan": warm},
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
