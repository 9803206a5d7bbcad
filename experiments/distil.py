"""Distil a shipped model to one call, and store the adapter beside it.

Some noise levels are tried for a few updates, and the one with which the student is
nearest to its teacher, by the loss of pairs that it has not seen, is trained on.

    python experiments/distil.py --model burgers-simulation --system burgers
"""

import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import tyro
from _results import record

import wdno
from wdno.cli.systems import SYSTEMS, SystemName
from wdno.networks.adapters import AdapterConfig
from wdno.operator.checkpoint import attach
from wdno.systems import trajectories
from wdno.training.config import TrainingConfig
from wdno.training.distillation import (
    Distillation,
    asked,
    distillation_loss,
    learned_from,
    one_call,
)
from wdno.training.teacher_pairs import Teacher, TeacherPairs

SHIPPED = Path(wdno.__file__).parent / "pretrained"


@dataclass(frozen=True)
class Config:
    """Which model, on what, how long."""

    model: str = "burgers-simulation"
    folder: Path | None = None
    """Of the model, if it is not the shipped one."""
    system: SystemName = "burgers"
    samples: int = 240
    held_back: int = 30
    seed: int = 52_000
    calls: int = 8
    pairs: int = 1024
    batch_size: int = 32
    rank: int = 16
    octaves: tuple[int, ...] = (16,)
    sigmas: tuple[float, ...] = (1.0, 3.0, 10.0)
    trial_steps: int = 100
    steps: int = 400
    learning_rate: float = 3e-3
    out: Path = Path("runs/distil")


def main(config: Config) -> None:
    """Ask the teacher, try the levels, train, store, record."""
    folder = config.folder or SHIPPED / config.model
    model = wdno.load(folder)
    truth = trajectories(
        SYSTEMS[config.system](), jax.random.key(config.seed), config.samples
    )
    how = Distillation(
        Teacher(config.calls),
        adapter=AdapterConfig(config.rank, config.octaves),
        pairs=config.pairs,
        batch_size=config.batch_size,
    )
    training = TrainingConfig(
        steps=config.steps,
        learning_rate=config.learning_rate,
        validate_every=1e9,
        checkpoint_every=1e9,
    )
    begin = time.process_time()
    keys = jax.random.split(jax.random.key(0))
    pairs, unseen = asked(model, truth, config.held_back, how, keys)
    seconds = {"pairs": round(time.process_time() - begin, 1)}
    print(seconds, flush=True)
    shutil.rmtree(config.out / config.model, ignore_errors=True)

    def student(sigma: float, steps: int) -> Any:
        begin = time.process_time()
        place = config.out / config.model / f"{sigma:g}-{steps}"
        part = replace(training, steps=steps)
        told = replace(how, sigma=sigma)
        found = learned_from(pairs, unseen, model, told, part, place)
        error = _error(model, told, found, unseen)
        spent = time.process_time() - begin
        print(f"{sigma:g}: {error:.4f} after {steps} in {spent:.0f} s", flush=True)
        return found, error, round(spent, 1)

    first, *others = config.sigmas
    several = config.sigmas if others else ()
    trials = {s: student(s, config.trial_steps)[1] for s in several}
    best = min(trials, key=lambda sigma: trials[sigma], default=first)
    found, error, spent = student(best, config.steps)
    seconds |= {"training": spent}
    trained = sum(value.size for value in found.adapter.parameters.values())
    whole = sum(leaf.size for leaf in jax.tree.leaves(model))
    notes = {
        "teacher": {"calls": config.calls, "sampler": "dpmpp_2m"},
        "sigma": found.sigma,
        "parameters": trained,
        "share_of_parameters": round(trained / whole, 5),
        "training": {
            "steps": config.steps,
            "pairs": config.pairs,
            "batch_size": config.batch_size,
            "learning_rate": config.learning_rate,
            "processor_seconds": seconds,
        },
        "data": {
            "system": config.system,
            "samples": config.samples,
            "seed": config.seed,
        },
        "validation_error": round(error, 5),
        "levels_tried": {f"{s:g}": round(trial, 5) for s, trial in trials.items()},
    }
    path = attach(folder, "one-step", found, notes=notes)
    print(path, path.stat().st_size, notes)
    stem = config.model.replace("-", "_")
    record(f"one_step_{stem}_training", asdict(config), notes=notes)


def _error(
    model: wdno.WDNO, how: Distillation, found: Any, unseen: TeacherPairs
) -> float:
    student = one_call(model.denoiser, found.sigma)
    loss = distillation_loss(model.targets, student, how.loss)
    value = jax.jit(partial(loss, found.module))(
        unseen.rows(slice(None)), jax.random.key(0)
    )
    return float(value)


if __name__ == "__main__":
    main(tyro.cli(Config))
