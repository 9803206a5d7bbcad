"""Train a recipe for a budget of processor time, with its own wavelet or with none.

The shipped refiner and planner come from here, and so do their rivals on raw fields:
the lazy wavelet only sorts samples, so that network, work and budget stay the same.

    taskset -c 0 python experiments/train.py --recipe burgers-control \\
        --data bursts.nc --out runs/control [--wavelet lazy]

Several files are one data set, and the last trajectories of the last are held back. The
refiner has trajectories of 2, 4 and 8 times the viscosity too: in units of the spacing
they look like those of finer grids (`datasets/burgers.md`).
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

import wdno
from wdno.networks import FourierConfig
from wdno.operator.calibrated import mean_of
from wdno.operator.model import with_backbone
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.config import TrainingConfig
from wdno.training.loss import with_mean
from wdno.training.pipeline import train_recipe
from wdno.training.recipe import ConditionDropout, NoiseLevels
from wdno.training.recipes import RECIPES
from wdno.trajectory import join_trajectories


@dataclass(frozen=True)
class Config:
    """Which recipe on which data, and for how long."""

    recipe: str
    data: tuple[Path, ...]
    out: Path
    wavelet: str = ""
    budget: float = 1500.0
    learning_rate: float = 1e-3
    average_width: float = 0.05
    mean_share: float | None = None
    mean_from: str = ""
    """Model of whole fields whose network the mean begins with, or the denoiser."""
    whole_fields: bool = False
    """Without a mean, as `burgers-control` was before it had one."""
    dropped: tuple[str, ...] = ()
    """Given fields that are withheld from a tenth of the rows."""
    start: str = ""
    """Model to go on from."""
    in_memory: bool = False
    """Read all data at once instead of window by window."""
    seed: int = 0
    validation_samples: int = 128
    resume: bool = False


WHOLE_FIELDS = {
    "residual": None,
    "uniform_weight": 0.0,
    "network": FourierConfig((12, 16), width=56, depth=4),
    "noise": NoiseLevels(share_at_max=0.3, mean=0.0, std=1.8),
}
"""Of a planner without a mean."""


def main(config: Config) -> None:
    """Train, and save the model with its history."""
    recipe = RECIPES[config.recipe]
    if config.wavelet:
        # "boundary" is for orthogonal wavelets alone; where filters do not overlap,
        # as those of raw fields, there is no difference. Ends are not joined either.
        mode = tuple("symmetric" if m == "boundary" else m for m in recipe.mode)
        recipe = replace(recipe, wavelet=config.wavelet, mode=mode)
    training = TrainingConfig(
        budget=config.budget,
        learning_rate=config.learning_rate,
        average_width=config.average_width,
        seed=config.seed,
    )
    if config.whole_fields:
        recipe = replace(recipe, **WHOLE_FIELDS)
    if config.dropped:
        recipe = replace(recipe, dropout=ConditionDropout(config.dropped))
    if config.mean_share is not None:
        recipe = replace(recipe, mean_share=config.mean_share)
    data = join_trajectories(config.data)
    data = data.load() if config.in_memory else data
    start = wdno.load(config.start) if config.start else None
    if config.mean_from:
        begun = wdno.load(config.mean_from).denoiser.backbone
        fresh = build_model(recipe, data, WindowBatches(data, recipe, config.seed))
        if config.whole_fields:
            start = with_backbone(fresh, begun)
        else:
            mean = mean_of(fresh.residual)
            start = with_mean(replace(fresh, residual=mean), begun)
    train_recipe(
        config.recipe,
        data,
        training,
        config.out,
        recipe=recipe,
        validation_samples=config.validation_samples,
        start=start,
        resume=config.resume,
        clock=time.process_time,
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
