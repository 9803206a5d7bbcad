"""Recipes as files: JSON that is read by the types of the entries."""

import dataclasses
import json
from pathlib import Path
from typing import get_type_hints

from wdno._files import replacing
from wdno._json import from_json
from wdno.operator import tasks
from wdno.training.recipe import Recipe

TASKS = {
    task.__name__: task
    for task in (
        tasks.simulation,
        tasks.refinement,
        tasks.cell_refinement,
        tasks.control,
        tasks.reaching,
    )
}
"""Tasks that a file may name."""


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe, to be changed by hand or read by `load_recipe`."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(recipe.notes(), indent=1) + "\n")


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no recipe; says which entry is wrong.
    """
    try:
        return recipe_from(json.loads(Path(path).expanduser().read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"A recipe is a JSON file such as `wdno train` writes, but {path} is none: "
            f"{error}. Correct that entry."
        ) from error


def recipe_from(notes: object) -> Recipe:
    """Undo `Recipe.notes`.

    Raises:
        ValueError: an entry is missing, has another type, or is none of a recipe.
    """
    hints = get_type_hints(Recipe)
    names = [entry.name for entry in dataclasses.fields(Recipe)]
    if not isinstance(notes, dict) or sorted(notes) != sorted(names):
        raise ValueError(f"a recipe has the entries {names}, but this is {notes!r}")
    if notes["task"] not in TASKS:
        raise ValueError(f"a task is one of {[*TASKS]}, but got {notes['task']!r}")
    values = {
        name: _entry(name, notes[name], hints[name]) for name in names if name != "task"
    }
    return Recipe(**values, task=TASKS[notes["task"]])


def _entry(name: str, value: object, hint: object) -> object:
    try:
        return from_json(value, hint)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
