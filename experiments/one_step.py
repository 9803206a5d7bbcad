"""Is one call, taught by several, as good as these, and better than its rivals?

Students of `burgers-simulation` in equal numbers of updates, each once forth and back
through the same backbone with equal batches, which is equal time: adapters with the
loss that promotes details, with squared errors alone, with a bottleneck an octave, a
whole backbone, progressive distillation, and a whole backbone that the fair CRPS tunes
without a teacher; beside them fewer calls of the teacher, and one call that is
calibrated. All from the same key, in windows that none has seen.

    taskset -c 0 python experiments/one_step.py
"""

import json
import pickle
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
from _results import RESULTS, portable, record

import wdno
from wdno.diffusion.schedules import LadderSchedule
from wdno.networks.adapters import AdapterConfig
from wdno.operator.generation import generate
from wdno.operator.model import WDNO
from wdno.systems import Burgers
from wdno.training.config import TrainingConfig
from wdno.training.detail_loss import DetailLoss
from wdno.training.distillation import Distillation, asked, learned_from
from wdno.training.teacher_pairs import TeacherPairs

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
    steps: int = 100
    learning_rate: float = 3e-3
    seeds: tuple[int, ...] = (0, 1)
    sigmas: tuple[float, ...] = (1.0, 3.0)
    """To begin from, beside the highest of the model."""
    judged: int = 24
    judged_seed: int = 53_000
    members: int = 8
    repeats: int = 7
    arms: tuple[str, ...] = ()
    """To measure now; others are kept. All by default."""
    out: Path = Path("runs/one_step")


def main(config: Config) -> None:
    """Train and judge every arm that is wanted; what is there already is kept."""
    model, clock = wdno.load(config.model), time.process_time
    system, out = Burgers(), config.out
    out.mkdir(parents=True, exist_ok=True)
    told = asdict(config) | {"arms": ()}
    entry = stored(told)
    results, cost = entry.get("arms", {}), entry.get("cost", {})
    unseen = system.trajectories(jax.random.key(config.judged_seed), config.judged)
    judge = Judge.of(model, unseen, config.members)
    if not cost:
        cost = costs(model, judge, config.repeats)
    np.save(out / "truth.npy", judge.truth[:2])
    taught = kept(out / "taught", lambda: judge.drawn(model, *FEW_CALLS["8 calls"]))

    def wanted(name: str) -> bool:
        return name in config.arms or not config.arms

    def arm(name: str, student: WDNO, how: Any = ONCE, **more: Any) -> None:
        u = judge.drawn(student, *how)
        np.save(out / f"{name}.npy", u[:2])
        results[name] = scored(judge, model, u, taught) | more
        print(name, results[name], flush=True)
        record("one_step", told, arms=results, cost=cost)

    for name, how in FEW_CALLS.items():
        if wanted(name):
            arm(name, model, how)
    seen = system.trajectories(jax.random.key(config.seed), config.samples)
    at_one = replace(model, schedule=LadderSchedule((1.0,)))
    if wanted("one call from 1"):
        arm("one call from 1", at_one)
    if wanted("one call from 1, calibrated"):
        begin = clock()
        few = seen.isel(sample=slice(64))
        how = {"calls": 1, "sampler": ONCE[0], "key": jax.random.key(0)}
        found = wdno.calibrate(at_one, few, **how)
        arm("one call from 1, calibrated", found, seconds=round(clock() - begin, 1))

    how = Distillation(pairs=config.pairs, batch_size=config.batch_size)

    def ask() -> tuple[TeacherPairs, TeacherPairs, float]:
        begin, keys = clock(), jax.random.split(jax.random.key(0))
        pairs = asked(model, seen, config.held_back, how, keys)
        return *pairs, round(clock() - begin, 1)

    for name, (train, seed, more) in students(config).items():
        if not wanted(name):
            continue
        pairs, validation, asking = kept(out / "pairs", ask)
        own = replace(how, **more)
        lesson = Lesson(
            model, seen, pairs, validation, own, training(config, seed), clock
        )
        shutil.rmtree(out / name, ignore_errors=True)
        begin = clock()
        found = train(lesson, out / name)
        seconds = round(clock() - begin, 1)
        whole = isinstance(found, WDNO)
        network = found.denoiser.backbone if whole else found.adapter
        trained = sum(value.size for value in network.parameters.values())
        quick = found if whole else found.of(model)
        arm(name, quick, trained=trained, seconds=seconds, teacher_seconds=asking)
    if wanted("as shipped"):
        arm("as shipped", wdno.load(config.model, adapter="one-step"))


def students(config: Config) -> dict[str, tuple[Callable[..., Any], int, dict]]:
    """How each student is trained, its seed, and what it is told besides."""
    own = {f"adapters, seed {n}": (adapters, n, {}) for n in config.seeds}
    levels = {
        f"adapters from {s:g}": (adapters, 0, {"sigma": s}) for s in config.sigmas
    }
    return {
        **own,
        **levels,
        "adapters, squared error": (adapters, 0, {"loss": SQUARED}),
        "a bottleneck an octave": (adapters, 0, {"adapter": OCTAVES}),
        "whole backbone": (tuned_whole, 0, {}),
        "progressive": (progressive, 0, {}),
        "whole backbone by fair CRPS": (tuned_by_crps, 0, {}),
    }


def training(config: Config, seed: int) -> TrainingConfig:
    """The same for all students."""
    return TrainingConfig(
        steps=config.steps,
        learning_rate=config.learning_rate,
        validate_every=1e9,
        checkpoint_every=1e9,
        seed=seed,
    )


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What was made for an earlier arm."""
    if path.exists():
        return pickle.loads(path.read_bytes())
    found = make()
    path.write_bytes(pickle.dumps(found))
    return found


def stored(told: dict[str, Any]) -> dict[str, Any]:
    """Results of an earlier run with the same configuration."""
    path = RESULTS / "one_step.json"
    entry = json.loads(path.read_text()) if path.exists() else {}
    plain = json.loads(json.dumps(told, default=portable))
    return entry if entry.get("config") == plain else {}


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
