"""Is one call, taught by several, as good as these, and better than its rivals?

Students of `burgers-simulation` in equal numbers of updates, each once forth and back
through the same backbone with equal batches, which is equal time: adapters with the
loss that promotes details, with squared errors alone, with a bottleneck an octave, a
whole backbone, progressive distillation, and a whole backbone that the fair CRPS tunes
without a teacher; beside them fewer calls of the teacher, and one call that is
calibrated. All from the same key, in windows that none has seen.

    taskset -c 0 python experiments/one_step.py
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from _one_step import (
    FEW_CALLS,
    ONCE,
    Judge,
    Lesson,
    progressive,
    scored,
    tuned_by_crps,
    tuned_whole,
)
from _results import record

import wdno
from wdno.diffusion.schedules import LadderSchedule
from wdno.networks.adapters import AdapterConfig
from wdno.operator.generation import generate
from wdno.operator.model import WDNO
from wdno.systems import Burgers
from wdno.training.detail_loss import DetailLoss
from wdno.training.distillation import Distillation, asked, learned_from
from wdno.training.loop import TrainingConfig

SQUARED = DetailLoss(detail=0.0, edge=0.0, spectrum=0.0, energy=0.0)
OCTAVES = AdapterConfig(16, (24, 16, 8))


@dataclass(frozen=True)
class Config:
    """How long, on what, and how to judge."""

    model: str = "burgers-simulation"
    samples: int = 240
    held_back: int = 30
    seed: int = 52_000
    pairs: int = 1024
    batch_size: int = 32
    steps: int = 150
    learning_rate: float = 3e-3
    seeds: tuple[int, ...] = (0, 1)
    sigmas: tuple[float, ...] = (1.0, 3.0)
    judged: int = 32
    judged_seed: int = 53_000
    members: int = 8
    repeats: int = 7
    out: Path = Path("runs/one_step")


def main(config: Config) -> None:
    """Ask the teacher, train every arm, judge, print and store as they come."""
    model, clock = wdno.load(config.model), time.process_time
    system = Burgers()
    seen = system.trajectories(jax.random.key(config.seed), config.samples)
    unseen = system.trajectories(jax.random.key(config.judged_seed), config.judged)
    judge = Judge.of(model, unseen, config.members)
    taught = judge.drawn(model, *FEW_CALLS["8 calls"])
    results: dict[str, Any] = {}
    drawn: dict[str, np.ndarray] = {}

    def arm(name: str, student: WDNO, how: Any = ONCE, **more: Any) -> None:
        u = judge.drawn(student, *how)
        drawn[name] = u[:2]
        results[name] = scored(judge, model, u, taught) | more
        print(name, results[name], flush=True)
        record("one_step", asdict(config), arms=results, cost=cost)

    cost = costs(model, judge, config.repeats)
    for name, how in FEW_CALLS.items():
        arm(name, model, how)
    at_one = replace(model, schedule=LadderSchedule((1.0,)))
    arm("one call from 1", at_one)
    few = seen.isel(sample=slice(64))
    begin = clock()
    calibrated = wdno.calibrate(
        at_one, few, calls=1, sampler=ONCE[0], key=jax.random.key(0)
    )
    arm("one call from 1, calibrated", calibrated, seconds=round(clock() - begin, 1))

    how = Distillation(pairs=config.pairs, batch_size=config.batch_size)
    keys = jax.random.split(jax.random.key(0))
    begin = clock()
    pairs, validation = asked(model, seen, config.held_back, how, keys)
    asking = round(clock() - begin, 1)
    shutil.rmtree(config.out, ignore_errors=True)

    def student(
        name: str, train: Callable[[Lesson, Path], Any], seed: int, **told: Any
    ):
        training = TrainingConfig(
            steps=config.steps,
            learning_rate=config.learning_rate,
            validate_every=1e9,
            checkpoint_every=1e9,
            seed=seed,
        )
        own = replace(how, **told)
        lesson = Lesson(model, seen, pairs, validation, own, training, clock)
        name = f"{name}, seed {seed}" if seed else name
        begin = clock()
        found = train(lesson, config.out / name)
        seconds = round(clock() - begin, 1)
        whole = isinstance(found, WDNO)
        network = found.denoiser.backbone if whole else found.adapter
        trained = sum(value.size for value in network.parameters.values())
        quick = found if whole else found.of(model)
        arm(name, quick, trained=trained, seconds=seconds, teacher_seconds=asking)

    for seed in config.seeds:
        student("adapters", adapters, seed)
    student("adapters, squared error", adapters, 0, loss=SQUARED)
    student("a bottleneck an octave", adapters, 0, adapter=OCTAVES)
    student("whole backbone", tuned_whole, 0)
    student("progressive, squared error", progressive, 0)
    student("whole backbone by fair CRPS", tuned_by_crps, 0)
    for sigma in config.sigmas:
        student(f"adapters from {sigma:g}", adapters, 0, sigma=sigma)
    if "one-step" in wdno.read_card(config.model).get("adapters", {}):
        arm("as shipped", wdno.load(config.model, adapter="one-step"))
    np.savez(
        config.out / "drawn.npz", truth=judge.truth[:2], taught=taught[:2], **drawn
    )


def adapters(lesson: Lesson, folder: Path) -> Any:
    """As the package distils."""
    return learned_from(
        lesson.pairs,
        lesson.unseen,
        lesson.model,
        lesson.how,
        lesson.config,
        folder,
        clock=lesson.clock,
    )


def costs(model: WDNO, judge: Judge, repeats: int) -> dict[str, Any]:
    """Operations and milliseconds of 32 windows by calls, of these in turn.

    The compiler counts the body of a loop once, so operations are those of no call, and
    those of one more for each.
    """
    fields = {name: values[:32] for name, values in judge.fields.items()}
    keys = jax.random.split(jax.random.key(0), 32)
    ways: dict[str, Any] = {"0 calls": compiled(model, ONCE[0], 0, fields, keys)}
    for name, (sampler, steps) in FEW_CALLS.items():
        ways[name] = compiled(model, sampler, steps, fields, keys)
    none, once = (operations(ways[name]) / 32 for name in ("0 calls", "1 calls"))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + repeats):
        for name, run in ways.items():
            begin = time.perf_counter()
            jax.block_until_ready(run(model, fields, keys))
            seconds[name].append(time.perf_counter() - begin)
    return {
        name: {
            "flops_per_window": round(none + int(name.split()[0]) * (once - none)),
            "milliseconds_per_window": round(float(np.median(spent[1:])) * 1e3 / 32, 3),
        }
        for name, spent in seconds.items()
    }


def compiled(model: WDNO, sampler: Any, steps: int, fields: Any, keys: Any) -> Any:
    """`generate` in so many calls."""

    def run(model: WDNO, fields: Any, keys: Any) -> Any:
        return generate(model, fields, sampler, model.levels(steps), keys)

    return jax.jit(run).lower(model, fields, keys).compile()


def operations(program: Any) -> float:
    """Floating-point operations of a program, its loops gone through once."""
    return float((program.cost_analysis() or {})["flops"])


if __name__ == "__main__":
    main(tyro.cli(Config))
