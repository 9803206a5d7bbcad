"""Training by a recipe, up to a model folder that `wdno.load` reads."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import xarray as xr
from flax import nnx

from wdno.diffusion.denoiser import freeze
from wdno.operator.checkpoint import save
from wdno.operator.model import WDNO, with_backbone
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.loop import TrainingConfig, fit
from wdno.training.loss import training_loss
from wdno.training.recipes import RECIPES, Recipe
from wdno.training.validation import VALIDATIONS


def train(
    recipe: Recipe,
    dataset: xr.Dataset,
    config: TrainingConfig,
    directory: str | Path,
    *,
    validate: Callable[[WDNO], dict[str, float]] | None = None,
    start: WDNO | None = None,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> WDNO:
    """Train the model of a recipe on labelled trajectories; see `fit`.

    Args:
        recipe: model and noise levels.
        dataset: trajectories to train on.
        config: length of the run, learning rate, seed.
        directory: folder of log and checkpoints.
        validate: metrics of the averaged model.
        start: trained model to go on from; a fresh one by default.
        resume: continue from the last checkpoint.
        clock: what a budget counts.
    """
    batches = WindowBatches(dataset, recipe, config.seed)
    model = start or build_model(recipe, dataset, batches)
    loss = training_loss(model, recipe.noise.distribution())

    def validate_module(backbone: nnx.Module) -> dict[str, float]:
        trained = with_backbone(model, freeze(backbone))
        return {} if validate is None else validate(trained)

    backbone = fit(
        model.denoiser.backbone.thaw(),
        loss,
        batches,
        config,
        directory,
        validate=validate_module,
        resume=resume,
        clock=clock,
    )
    return with_backbone(model, freeze(backbone))


def train_recipe(
    name: str,
    dataset: xr.Dataset,
    config: TrainingConfig,
    directory: str | Path,
    *,
    recipe: Recipe | None = None,
    validation_samples: int = 128,
    start: WDNO | None = None,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> WDNO:
    """Train a shipped recipe, hold trajectories back for validation, save the model.

    The folder ``model`` in `directory` receives weights and a card with the data's
    recipe and checksum, the training configuration and the validation error.

    Args:
        name: of the recipe, and of the model on its card.
        dataset: trajectories; the last ones are held back.
        config: length of the run, learning rate, seed.
        directory: folder of the run.
        recipe: one to follow in place of the shipped recipe of that name.
        validation_samples: number of trajectories held back.
        start: trained model to go on from; a fresh one by default.
        resume: continue from the last checkpoint.
        clock: what a budget counts.

    Raises:
        ValueError: too few trajectories to hold some back.
    """
    recipe = recipe or RECIPES[name]
    if not 0 < validation_samples < dataset.sizes["sample"]:
        raise ValueError(
            "Some trajectories are held back for validation, but "
            f"{validation_samples} of {dataset.sizes['sample']} were asked for. Hold "
            "back fewer, or generate more."
        )
    held_back = dataset.isel(sample=slice(-validation_samples, None)).load()

    def validate(model: WDNO) -> dict[str, float]:
        error = VALIDATIONS[recipe.task](model, held_back)
        return {"validation_error": float(error.mean())}

    model = train(
        recipe,
        dataset.isel(sample=slice(-validation_samples)),
        config,
        directory,
        validate=validate,
        start=start,
        resume=resume,
        clock=clock,
    )
    notes = {
        "name": name,
        "recipe": recipe.notes(),
        "training": dataclasses.asdict(config)
        | {"clock": getattr(clock, "__name__", repr(clock))},
        "data": {key: str(value) for key, value in dataset.attrs.items()},
        **validate(model),
    }
    save(model, Path(directory) / "model", notes=notes)
    return model
