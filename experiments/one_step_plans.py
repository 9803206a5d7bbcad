"""Does one call, taught by guided sampling, plan as well as the sampling does?

Plans of `burgers-control` in 1 to 8 calls, guided ones, and those of an adapter that
learned guided samples of 8 calls, each also polished, judged by the solver.

    python experiments/one_step_plans.py
"""

import shutil
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr
from _control import OBJECTIVE, SYSTEM, Problems, late_plan
from _results import record

import wdno
from wdno.diffusion.samplers import ddim, dpmpp_2m
from wdno.networks.adapters import AdapterConfig
from wdno.training.config import TrainingConfig
from wdno.training.distillation import Distillation, asked, learned_from
from wdno.training.teacher_pairs import Teacher


@dataclass(frozen=True)
class Config:
    """Which planner, on what, how long."""

    base: str = "burgers-simulation"
    planner: str = "burgers-control"
    targets: int = 50
    horizon: int = 16
    strength: float = 100.0
    calls: int = 8
    polish: tuple[int, ...] = (3,)
    taught: int = 256
    pairs: int = 1024
    sigma: float = 1.0
    steps: int = 300
    learning_rate: float = 3e-3
    seed: int = 40_000
    taught_seed: int = 54_000
    out: Path = Path("runs/one_step_plans")


def main(config: Config) -> None:
    """Teach, plan, judge, print and store."""
    base, model = wdno.load(config.base), wdno.load(config.planner)
    key = jax.random.key(config.seed + 2)
    guided = wdno.Planner(
        model,
        OBJECTIVE,
        strength=config.strength,
        sampler=dpmpp_2m(),
        steps=config.calls,
    )
    begin = time.process_time()
    student = taught(config, base, guided.over(config.horizon)).of(model)
    spent = round(time.process_time() - begin, 1)
    problems = Problems.draw(config.seed, config.targets)
    results: dict[str, Any] = {}

    def arm(name: str, planner: wdno.Planner, **more: Any) -> None:
        plan = partial(late_plan, base, planner, problems, config.horizon, key)
        plan()  # compiles
        begin = time.perf_counter()
        f = jax.block_until_ready(plan())
        seconds = time.perf_counter() - begin
        results[name] = problems.judged(f, seconds, **more)
        print(f"{name:28s}", results[name], flush=True)
        record("one_step_plans", asdict(config), plans=results)

    once = wdno.Planner(student, OBJECTIVE, sampler=ddim(), steps=1)
    for steps in (0, 1, 2, 4, 8):
        how = {"sampler": dpmpp_2m(), "steps": steps}
        arm(f"{steps} calls", wdno.Planner(model, OBJECTIVE, **how))
    arm(f"guided, {config.calls} calls", guided)
    arm("one call, taught by guided", once, processor_seconds_of_teaching=spent)
    for n in config.polish:
        polish = wdno.Polish(SYSTEM, n)
        for name, planner in {
            "1 calls": wdno.Planner(model, OBJECTIVE, steps=1),
            f"guided, {config.calls} calls": guided,
            "one call, taught by guided": once,
        }.items():
            arm(f"{name}, polish {n}", replaced(planner, polish))


def replaced(planner: wdno.Planner, polish: wdno.Polish) -> wdno.Planner:
    """The planner with a polish."""
    return wdno.Planner(
        planner.model,
        planner.objective,
        strength=planner.strength,
        sampler=planner.sampler,
        steps=planner.steps,
        polish=polish,
    )


def taught(config: Config, base: wdno.WDNO, guided: wdno.Planner) -> Any:
    """The adapter that learned guided samples, from where these problems begin."""
    problems = Problems.draw(config.taught_seed, config.taught)
    frames, key = SYSTEM.frames - config.horizon, jax.random.key(1)
    calm = wdno.simulate(base, problems.initial, frames=frames, key=key).u
    begins, ends = calm.isel(time=-1, drop=True).values, problems.goal.values
    share = np.linspace(0, 1, 1 + config.horizon, dtype=np.float32)[None, :, None]
    u = (
        begins[:, None] * (1 - share) + ends[:, None] * share
    )  # its ends are what counts
    dims = ("sample", "time", "x")
    coords = {"time": calm.time.values[: 1 + config.horizon], "x": calm.x.values}
    windows = xr.Dataset({"u": (dims, u), "f": (dims, np.zeros_like(u))}, coords)
    how = Distillation(
        Teacher(config.calls, dpmpp_2m(), guided.guided),
        config.sigma,
        AdapterConfig(8, (8,)),
        pairs=config.pairs,
        batch_size=32,
    )
    training = TrainingConfig(
        steps=config.steps,
        learning_rate=config.learning_rate,
        validate_every=1e9,
        checkpoint_every=1e9,
    )
    keys = jax.random.split(jax.random.key(0))
    pairs, unseen = asked(guided.model, windows, config.taught // 8, how, keys)
    shutil.rmtree(config.out, ignore_errors=True)
    return learned_from(pairs, unseen, guided.model, how, training, config.out)


if __name__ == "__main__":
    main(tyro.cli(Config))
