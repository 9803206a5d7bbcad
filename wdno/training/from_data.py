"""From a user's trajectories to a model: `wdno.train` and `wdno.finetune`."""

from dataclasses import replace
from pathlib import Path

import xarray as xr

from wdno.operator.checkpoint import load, read_card
from wdno.operator.domain import Domain
from wdno.operator.model import WDNO
from wdno.training.begun import check_new
from wdno.training.config import TrainingConfig
from wdno.training.devices import Devices
from wdno.training.parts import in_samples
from wdno.training.pipeline import train_recipe
from wdno.training.processes import is_first
from wdno.training.recipe import Recipe
from wdno.training.recipe_file import recipe_from, save_recipe
from wdno.training.suggestion import suggest
from wdno.trajectory import from_first

HELD_BACK = 8
"""One of so many trajectories is held back, up to the next number."""
MOST_HELD_BACK = 128


def train(
    dataset: xr.Dataset,
    directory: str | Path,
    config: TrainingConfig,
    *,
    recipe: Recipe | None = None,
    validation_samples: int | None = None,
    start: WDNO | None = None,
    devices: Devices | None = None,
    resume: bool = False,
) -> WDNO:
    """Train a model of the dynamics in these trajectories, and keep it in a folder.

    Some trajectories, the last ones, are held back for validation and for the scales of
    the mean. A single record is cut into parts, of which the last are held
    back. `directory` receives the recipe as ``recipe.json``, the log, the checkpoints
    and the trained ``model``, which `wdno.load` reads.

    Args:
        dataset: trajectories on (sample, time, *space), or one on (time, *space), from
            memory or from files that are read as they are needed.
        directory: folder of the run; its name is that of the model.
        config: length of the run, learning rate, seed.
        recipe: of the model; by default `suggest` makes one of the dataset, with every
            variable as a state.
        validation_samples: trajectories held back; an eighth by default, and never more
            than 128.
        start: trained model to go on from.
        devices: that train it together, also of several processes, which then have the
            same data and see the same `directory`; see `Devices`.
        resume: continue from the last checkpoint in `directory`.

    Raises:
        ValueError: the trajectories are too few or too short, not evenly spaced or not
            finite, or do not have what the recipe names; the devices do not divide a
            batch, or processes have other data or versions.
        ProcessLost: another process has died; begun again, all of them resume.

    Example:
        >>> data = xr.open_dataset("own.nc", chunks={})
        >>> recipe = wdno.suggest(data, ("temperature",), ("heating",))
        >>> config = wdno.TrainingConfig(budget=600)
        >>> model = wdno.train(data, "runs/heat", config, recipe=recipe)
    """
    directory = Path(directory).expanduser()
    dataset = in_samples(dataset)
    recipe = recipe or suggest(dataset)
    check_new(directory, resume=resume)
    directory.mkdir(parents=True, exist_ok=True)
    noted = resume and (directory / "recipe.json").exists()
    if is_first() and not noted:
        save_recipe(recipe, directory / "recipe.json")
    return train_recipe(
        directory.name,
        dataset,
        config,
        directory,
        recipe=recipe,
        validation_samples=held_back(dataset, validation_samples),
        start=start,
        devices=devices,
        resume=resume,
    )


def held_back(dataset: xr.Dataset, wanted: int | None = None) -> int:
    """How many of these trajectories, the last ones, no training sees."""
    eighth = -(-dataset.sizes["sample"] // HELD_BACK)
    return wanted or min(eighth, MOST_HELD_BACK)


def finetune(
    model: str | Path,
    dataset: xr.Dataset,
    directory: str | Path,
    config: TrainingConfig,
    *,
    batch_size: int | None = None,
    validation_samples: int | None = None,
    devices: Devices | None = None,
    resume: bool = False,
) -> WDNO:
    """Go on training a model on trajectories of another grid, time step or coefficient.

    The parameters, layouts and recipe are those of the model, the domain and the grid
    those of the data; scales of a mean are fitted anew. As `train` otherwise.

    Args:
        model: shipped name or folder.
        dataset: trajectories with the variables that the model knows.
        directory: folder of the run.
        config: length of the run; a tenth of the learning rate of a fresh model is a
            good beginning.
        batch_size: windows per update; by default that of the recipe.
        validation_samples: trajectories held back.
        devices: that train it together, see `train`.
        resume: continue from the last checkpoint in `directory`.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: its card has no recipe, or the data are not for it.
    """
    dataset = in_samples(dataset)
    begun = load(model)
    try:
        recipe = recipe_from(read_card(model).get("recipe"))
    except ValueError as error:
        raise ValueError(
            f"Training goes on by the recipe on a card, but that of {model} has none "
            f"of today: {error}. Give a recipe and this model as `start` to `train`."
        ) from error
    recipe = replace(recipe, batch_size=batch_size or recipe.batch_size)
    dims = begun.targets.dims
    if lost := [dim for dim in dims if dim not in dataset.dims]:
        raise ValueError(
            f"Trajectories have the axes {list(dims)} of the model, but {lost} are "
            f"missing from {list(dataset.dims)}. Rename them."
        )
    grid = (begun.window, *(dataset.sizes[dim] for dim in dims[1:]))
    moved = replace(
        begun,
        targets=begun.targets.on(grid),
        given=begun.given.on(grid),
        domain=Domain.of({dim: from_first(dim, dataset[dim].values) for dim in dims}),
    )
    return train(
        dataset,
        directory,
        config,
        recipe=recipe,
        validation_samples=validation_samples,
        start=moved,
        devices=devices,
        resume=resume,
    )
