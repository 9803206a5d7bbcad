"""Commands that train."""

import dataclasses
import json
from pathlib import Path

import jax
import xarray as xr
from tyro.conf import Positional

import wdno
from wdno._files import check_output_folder
from wdno.cli.runs import Flat, Length, On
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.demo.training_run import training_run
from wdno.operator.card_file import notes_of
from wdno.operator.checkpoint import load, read_card, save
from wdno.training import from_data, recipes
from wdno.training.parts import in_samples
from wdno.training.processes import is_first
from wdno.training.recipe_file import load_recipe
from wdno.training.suggestion import suggest
from wdno.trajectory import join_trajectories, open_trajectories


def train(
    recipe: Positional[str] = "",
    *,
    data: tuple[str, ...],
    out: Path,
    state: tuple[str, ...] = (),
    control: tuple[str, ...] = (),
    static: tuple[str, ...] | None = None,
    start: str | None = None,
    length: Flat,
    machines: On,
) -> None:
    """Train a model; writes its recipe, the log, checkpoints and OUT/model.

    A bar shows how far it is, where there is a terminal; at the end OUT/report.html
    shows the learning curve, and a forecast beside the truth.

    Args:
        recipe: name of a recipe, e.g. burgers-simulation, or a file such as an earlier
            OUT/recipe.json, changed as you like; by default one is suggested for the
            data, and printed.
        data: files of trajectories on one grid, or their addresses, of which windows
            are read as they are needed; the last trajectories of the last file are held
            back for validation, in memory.
        out: folder of the run.
        state: variables whose evolution is learned, without a recipe; by default all
            with an axis of time that are no control.
        control: variables that act over the intervals, likewise.
        static: variables that never change and are given, likewise.
        start: begin with the parameters of this model (name or folder).
        length: how long and how it is trained.
        machines: what it is trained on.
    """
    check_output_folder(out)
    devices = machines.joined()
    dataset = join_trajectories(data)
    names = {"state": state, "control": control, "static": static}
    chosen = _recipe(recipe, dataset, {n: v for n, v in names.items() if v})
    size = chosen.batch_size if length.batch_size is None else length.batch_size
    chosen = dataclasses.replace(chosen, batch_size=size)
    from_data.train(
        dataset,
        out,
        length.config(),
        recipe=chosen,
        start=None if start is None else load(start),
        devices=devices,
        **length.how(),
    )
    _shown(out, dataset, length)


def finetune(
    model: Positional[str],
    *,
    data: tuple[str, ...],
    out: Path,
    length: Flat,
    machines: On,
) -> None:
    """Go on training a model, on another grid or coefficient.

    Args:
        model: shipped name or folder.
        data: files, or their addresses, of trajectories with the variables that the
            model knows.
        out: folder of the run.
        length: how long and how it is trained.
        machines: what it is trained on.
    """
    check_output_folder(out)
    how = {"devices": machines.joined(), "batch_size": length.batch_size}
    dataset, how = join_trajectories(data), how | length.how()
    from_data.finetune(model, dataset, out, length.config(), **how)
    _shown(out, dataset, length)


def _shown(out: Path, dataset: xr.Dataset, length: Length) -> None:
    """The page on a run, and where everything lies."""
    if not is_first():
        return
    print(f"Wrote {out / 'model'}: use it by its path, e.g. wdno info {out / 'model'}")
    dataset = in_samples(dataset)
    count = from_data.held_back(dataset, length.validation_samples)
    page = training_run(out, dataset.isel(sample=slice(-count, None)))
    print(f"Wrote {page}: recipe, data, learning curve, a forecast beside the truth")


def calibrate(
    model: Positional[str],
    data: Positional[Path],
    *,
    out: Path,
    calls: int = 4,
    members: int = 8,
    samples: int | None = None,
    sampler: SamplerName = "dpmpp-2m",
    seed: int = 0,
) -> None:
    """Make the ensembles of a model scatter as far as they are off.

    Args:
        model: shipped name or folder.
        data: file of trajectories that the model was not trained on.
        out: folder of the calibrated model.
        calls: denoiser calls of the ensembles, per window.
        members: size of the ensembles that are drawn here.
        samples: the last so many trajectories of the file are used; all by default.
        sampler: rule of one step in noise level.
        seed: seed of all noise.
    """
    check_output_folder(out)
    if samples is not None and samples < 1:
        raise ValueError(
            "A calibration takes one trajectory or more, but got --samples "
            f"{samples}. Ask for more, or leave it out."
        )
    last = slice(None if samples is None else -samples, None)
    found = wdno.calibrate(
        load(model),
        open_trajectories(data).isel(sample=last).load(),
        calls=calls,
        members=members,
        sampler=SAMPLERS[sampler],
        key=jax.random.key(seed),
    )
    how = {"calls": calls, "members": members, "sampler": sampler, "seed": seed}
    notes = notes_of(read_card(model))
    for stale in ("metrics", "diagnosis"):  # those of the model as it was
        notes.pop(stale, None)
    save(found, out, notes=notes | {"calibration": how})
    print(f"Wrote {out}: slopes and factors stand on its card, wdno info {out}")


def _recipe(
    recipe: str, dataset: xr.Dataset, names: dict[str, tuple[str, ...]]
) -> recipes.Recipe:
    """The recipe of that name or file, or one that is suggested and printed."""
    if not recipe:
        chosen = suggest(dataset, **names)
        print(f"Recipe, suggested for these data: {json.dumps(chosen.notes())}")
        return chosen
    if names:
        raise ValueError(
            f"Variables are named where a recipe is suggested, but got {[*names]} "
            f"beside the recipe {recipe!r}. Leave out one of the two."
        )
    if recipe in recipes.RECIPES:
        return recipes.RECIPES[recipe]
    if not Path(recipe).expanduser().is_file():
        raise ValueError(
            f"Training follows a known recipe or the file of one, but got {recipe!r}. "
            f"Known: {', '.join(recipes.RECIPES)}."
        )
    return load_recipe(recipe)
