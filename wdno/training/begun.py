"""What a training run was begun with: it is continued as the same run."""

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr

from wdno._files import check_output_folder, replacing
from wdno.training.config import TrainingConfig
from wdno.training.processes import check_alike, is_first
from wdno.training.recipe import Recipe
from wdno.trajectory import fingerprint

__all__ = ["check_begun", "check_new"]

_MAY_CHANGE = ("steps", "budget", "validate_every", "checkpoint_every", "log_every")
"""A run may be made longer, and be looked at more often."""
_VERSIONS = ("wdno", "jax", "flax", "optax", "numpy")


def check_new(folder: Path, *, resume: bool) -> None:
    """Refuse to begin a run where another one is, before anything there is changed.

    Raises:
        ValueError: there are checkpoints, and the run is not to be continued.
    """
    if not resume and any(folder.rglob("checkpoints/*")):
        raise ValueError(
            f"A new run needs a folder without checkpoints, but {folder} holds some. "
            "Resume it or choose another folder."
        )


def check_begun(
    folder: Path,
    recipe: Recipe,
    config: TrainingConfig,
    dataset: xr.Dataset,
    *,
    resume: bool,
) -> None:
    """Note what a run is begun with, or refuse to continue it with anything else.

    Notes lie in ``begun.json`` in the folder of the run; one without is continued and
    noted from then on. Processes that train together have to begin with the same, and
    with the same versions.

    Args:
        folder: of the run.
        recipe: what is trained.
        config: seed, rates and lengths.
        dataset: trajectories to train on, known again by their `fingerprint`.
        resume: whether the run is continued.

    Raises:
        ValueError: recipe, data, seed or rates are not those it was begun with, or not
            those of another process; or the notes are damaged.
    """
    path = folder / "begun.json"
    noted = _noted(path) if path.is_file() and resume else None
    facts = _facts(recipe, config, dataset)
    check_alike(facts | {f"version.{name}": version(name) for name in _VERSIONS})
    if noted is not None:
        changed = [
            f"{name} = {_brief(noted.get(name))}, now {_brief(facts.get(name))}"
            for name in sorted({*noted, *facts})
            if noted.get(name) != facts.get(name)
        ]
        if changed:
            raise ValueError(
                "A run is continued with what it was begun with, but that in "
                f"{folder} was begun with {'; '.join(changed)}. Give the same, or "
                "begin a new run in another folder, e.g. from the parameters of this "
                "one (`start`)."
            )
    if not is_first():
        return
    check_output_folder(folder).mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")


def _noted(path: Path) -> dict[str, Any]:
    try:
        noted = json.loads(path.read_bytes())
    except ValueError as error:
        noted = error
    if not isinstance(noted, dict):
        raise ValueError(
            "A run keeps notes of what it was begun with, a JSON object, but "
            f"{path} is none ({noted!r:.200}). If you know that recipe, data and rates "
            "are the same, delete it: it is written anew."
        )
    return noted


def _facts(
    recipe: Recipe, config: TrainingConfig, dataset: xr.Dataset
) -> dict[str, Any]:
    rates = dataclasses.asdict(config)
    facts = {name: v for name, v in rates.items() if name not in _MAY_CHANGE}
    facts |= {f"recipe.{name}": value for name, value in recipe.notes().items()}
    known = {*recipe.state, *recipe.control, *dataset.coords}
    known |= {quantity.name for part in recipe.beside for quantity in part}
    used = dataset[[str(name) for name in dataset.variables if name in known]]
    facts["data"] = {
        "sizes": {str(dim): size for dim, size in used.sizes.items()},
        "sha256": fingerprint(used),
    }
    return json.loads(json.dumps(facts, default=str))


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:70]} …"
