"""Training by a recipe, up to a model folder that `wdno.load` reads."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from flax import nnx

from wdno._typing import Fields, Loss, Prepare
from wdno.diffusion.denoiser import Network, freeze
from wdno.operator.calibrated import mean_of
from wdno.operator.checkpoint import load, save
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.local_scale import LocalScale
from wdno.operator.model import WDNO, with_backbone
from wdno.training import closed_form
from wdno.training.batches import WindowBatches
from wdno.training.begun import check_begun, check_new
from wdno.training.build import build_model
from wdno.training.config import TrainingConfig
from wdno.training.denoising import denoising_of
from wdno.training.devices import Devices
from wdno.training.loop import fit
from wdno.training.loss import mean_loss, with_mean
from wdno.training.processes import is_first, of_first
from wdno.training.recipes import RECIPES, Recipe
from wdno.training.validation import error
from wdno.training.variances import with_local_scale
from wdno.trajectory import with_samples


def train(
    recipe: Recipe,
    dataset: xr.Dataset,
    config: TrainingConfig,
    directory: str | Path,
    *,
    held_back: xr.Dataset | None = None,
    start: WDNO | None = None,
    devices: Devices | None = None,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> WDNO:
    """Train the model of a recipe on labelled trajectories; see `fit`.

    Parts of a mean that have a closed form are fitted first. Where a network has to
    learn the mean, that is trained next, for a share of the run; then its scales are
    fitted, at each place if the recipe has a `LocalScale`, and the denoiser is trained
    for the rest. Each stage has a folder of its own, ``fitted``, ``mean`` and
    ``denoiser``.

    Args:
        recipe: model and noise levels.
        dataset: trajectories to train on; what is not loaded is read as it is needed.
        config: length of the run, learning rate, seed.
        directory: folder of log and checkpoints.
        held_back: trajectories for validation, and for the scales of a learned mean,
            which are larger for what the network has not seen.
        start: trained model to go on from; a fresh one by default.
        devices: as for `fit`; every process fits closed forms, to all data.
        resume: continue from the last checkpoint.
        clock: what a budget counts.

    Raises:
        ValueError: the mean explains nothing, after its share of the run or the fit; a
            run is continued with another recipe, other data, seed or rates
            (`check_begun`); or the devices do not divide a batch.
    """
    kept, mean_share = Path(directory) / "fitted", 0.0
    folder, devices = kept.parent, Devices.of() if devices is None else devices
    own = devices.own_rows(recipe.batch_size)
    check_new(folder, resume=resume)
    # What an earlier run may have left must not be gone on with.
    if is_first() and not resume:
        (kept / "card.json").unlink(missing_ok=True)
    check_begun(folder, recipe, config, dataset, resume=resume)
    batches = WindowBatches(dataset, recipe, config.seed)
    unseen = batches
    if held_back is not None:
        unseen = _unseen(recipe, held_back, config.seed)
    if start is not None:
        model = _of_mean(start)
    elif resume and (kept / "card.json").is_file():
        model = load(kept)
    else:
        model = _fitted(build_model(recipe, dataset, batches), batches, unseen, kept)
    model = of_first(model)
    how = {"devices": devices, "resume": resume, "clock": clock}
    stage = partial(_trained, recipe, partial(batches, own=own), held_back, how)
    if isinstance(model.residual, LearnedMean):
        mean_share = recipe.mean_share
        if mean_share > 0:
            model = stage(
                model.residual.network,
                mean_loss(model),
                partial(with_mean, model),
                config.part(mean_share),
                folder / "mean",
                steps=0,
            )
            model = of_first(closed_form.with_scales(model, unseen))
        folder = folder / "denoiser"
    if isinstance(recipe.residual, LocalScale):
        model = of_first(with_local_scale(model, unseen, recipe.residual))
    if _mean_alone(recipe, model):
        return model
    loss, prepare = denoising_of(recipe, model)
    return stage(
        model.denoiser.backbone,
        loss,
        partial(with_backbone, model),
        config.part(1 - mean_share),
        folder,
        steps=1,
        prepare=prepare,
    )


def _unseen(recipe: Recipe, held_back: xr.Dataset, seed: int) -> WindowBatches:
    """Windows that say how far a mean is off, with coarse states as they are."""
    exact = dataclasses.replace(recipe, coarse_noise=0.0, coarse_shift=0.0)
    return WindowBatches(held_back, exact, seed + 1)


def _fitted(
    model: WDNO, batches: WindowBatches, unseen: WindowBatches, folder: Path
) -> WDNO:
    """The model without a local scale, parts of a closed form fitted and kept."""
    model = _of_mean(model)
    if closed_form.has_closed_forms(model.residual):
        model = closed_form.with_closed_forms(model, batches, unseen)
        if is_first():
            save(model, folder)
    return model


def _trained(
    recipe: Recipe,
    batches: Callable[[int], Fields],
    held_back: xr.Dataset | None,
    how: Mapping[str, Any],
    network: Network,
    loss: Loss,
    placed: Callable[[Network], WDNO],
    config: TrainingConfig,
    folder: Path,
    *,
    steps: int,
    prepare: Prepare | None = None,
) -> WDNO:
    """The model with one network trained; `steps` are those of its validation."""

    def validate(module: nnx.Module) -> dict[str, float]:
        if held_back is None:
            return {}
        trained = placed(freeze(module))
        return {"validation_error": error(recipe.task, trained, held_back, steps)}

    module = fit(
        network.thaw(),
        loss,
        batches,
        config,
        folder,
        validate=validate,
        prepare=prepare,
        **how,
    )
    return placed(freeze(module))


def train_recipe(
    name: str,
    dataset: xr.Dataset,
    config: TrainingConfig,
    directory: str | Path,
    *,
    recipe: Recipe | None = None,
    validation_samples: int = 128,
    start: WDNO | None = None,
    devices: Devices | None = None,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> WDNO:
    """Train a shipped recipe, hold trajectories back for validation, save the model.

    The folder ``model`` in `directory` receives weights and a card with the data's
    recipe and checksum, the training configuration and the validation error. What is
    not explained here is as for `train`.

    Args:
        name: of the recipe, and of the model on its card.
        dataset: trajectories, read as they are needed; the last ones are held back, in
            memory.
        recipe: one to follow in place of the shipped recipe of that name.
        validation_samples: number of trajectories held back.

    Raises:
        ValueError: too few trajectories to hold some back.
    """
    recipe = recipe or RECIPES[name]
    dataset = with_samples(dataset, (*recipe.state, *recipe.control))
    if not 0 < validation_samples < dataset.sizes["sample"]:
        raise ValueError(
            "Some trajectories are held back for validation, but "
            f"{validation_samples} of {dataset.sizes['sample']} were asked for. Hold "
            "back fewer, or generate more."
        )
    held_back = dataset.isel(sample=slice(-validation_samples, None)).load()
    model = train(
        recipe,
        dataset.isel(sample=slice(-validation_samples)),
        config,
        directory,
        held_back=held_back,
        start=start,
        devices=devices,
        resume=resume,
        clock=clock,
    )
    if not is_first():
        return model
    steps = 0 if _mean_alone(recipe, model) else 1
    notes = {
        "name": name,
        "recipe": recipe.notes(),
        "training": dataclasses.asdict(config)
        | {"clock": getattr(clock, "__name__", repr(clock))},
        "data": {key: str(value) for key, value in dataset.attrs.items()},
        "validation_error": error(recipe.task, model, held_back, steps),
    }
    save(model, Path(directory) / "model", notes=notes)
    return model


def _of_mean(model: WDNO) -> WDNO:
    """The model without a local scale, which is fitted once the mean is there."""
    return dataclasses.replace(model, residual=mean_of(model.residual))


def _mean_alone(recipe: Recipe, model: WDNO) -> bool:
    """Whether the whole run is that of the mean."""
    mean = _of_mean(model).residual
    return (
        isinstance(mean, (*closed_form.FITTED, LearnedMean)) and recipe.mean_share == 1
    )
