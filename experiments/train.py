"""Train a recipe for a budget of processor time, with its own wavelet or with none.

The shipped refiner and planner come from here, and so do their rivals on raw fields:
the lazy wavelet only sorts samples, so that network, work and budget stay the same.

    taskset -c 0 python experiments/train.py --recipe burgers-control \\
        --data bursts.nc --out runs/control [--wavelet lazy]
"""

import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro

import wdno
from wdno.recipes import RECIPES
from wdno.release import train
from wdno.training import TrainingConfig
from wdno.trajectory import open_trajectories
from wdno.validation import VALIDATIONS


@dataclass(frozen=True)
class Config:
    """Which recipe on which data, and for how long."""

    recipe: str
    data: Path
    out: Path
    wavelet: str = ""
    budget: float = 1500.0
    ema_decay: float = 0.995
    validation_samples: int = 128
    seed: int = 0
    resume: bool = False


def main(config: Config) -> None:
    """Train, and save the model with its history."""
    recipe = RECIPES[config.recipe]
    if config.wavelet:
        recipe = replace(recipe, wavelet=config.wavelet)
    dataset = open_trajectories(config.data)
    held_back = dataset.isel(sample=slice(-config.validation_samples, None)).load()
    training = TrainingConfig(
        budget=config.budget, ema_decay=config.ema_decay, seed=config.seed
    )

    def validate(model: wdno.WDNO) -> dict[str, float]:
        error = VALIDATIONS[recipe.task](model, held_back)
        return {"validation_error": float(error.mean())}

    model = train(
        recipe,
        dataset.isel(sample=slice(-config.validation_samples)),
        training,
        config.out,
        validate=validate,
        resume=config.resume,
        clock=time.process_time,
    )
    notes = {
        "name": config.recipe,
        "recipe": recipe.notes(),
        "training": asdict(training) | {"clock": "processor time of one core"},
        "data": {key: str(value) for key, value in dataset.attrs.items()},
        **validate(model),
    }
    wdno.save(model, config.out / "model", notes=notes)
    print(" ".join(sys.argv), notes["validation_error"])


if __name__ == "__main__":
    main(tyro.cli(Config))
