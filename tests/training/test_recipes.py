"""Recipes: which noise a model is trained on, and what a card says of it."""

import json

import jax
import numpy as np
import pytest

from wdno.operator import tasks
from wdno.systems import Advection, Burgers, CompressibleNavierStokes, Smoke
from wdno.training.recipes import RECIPES, NoiseLevels, Recipe, TrainingGrid
from wdno.wavelets.field import Field, Role

KEY = jax.random.key(0)


# Noise levels


def test_noise_levels_are_the_largest_or_log_normal():
    levels = NoiseLevels(sigma_max=20.0, share_at_max=0.6, mean=-1.0, std=0.5)
    draws = np.asarray(levels.distribution()(KEY, (20_000,)))
    largest = draws == 20.0
    assert largest.mean() == pytest.approx(0.6, abs=0.02)
    others = np.log(draws[~largest])
    assert others.mean() == pytest.approx(-1.0, abs=0.03)
    assert others.std() == pytest.approx(0.5, abs=0.03)


# Fields


def test_fields_are_those_of_the_task_and_those_beside():
    dims = ("time", "x")
    share, gate = Field("share", ("time",)), Field("gate", ("x",), Role.STATIC)
    beside = tasks.Task((share,), (gate,))
    for task in (tasks.simulation, tasks.refinement, tasks.control, tasks.reaching):
        plain = Recipe(("u", "v"), ("f",), window=4, task=task)
        assert plain.fields(dims) == task(("u", "v"), ("f",), dims)
        found = Recipe(("u", "v"), ("f",), window=4, task=task, beside=beside)
        targets, given = plain.fields(dims)
        assert found.fields(dims) == ((*targets, share), (*given, gate))


SYSTEMS = {
    "advection": Advection,
    "burgers": Burgers,
    "navier": CompressibleNavierStokes,
    "smoke": Smoke,
}


@pytest.mark.parametrize("name", [n for n in RECIPES if n.split("-")[0] in SYSTEMS])
def test_recipes_name_what_their_system_has(name):
    """All of it: nothing that a solver gives is left out, nothing is asked for more."""
    recipe = RECIPES[name]
    system = SYSTEMS[name.split("-")[0]]()
    conserved = ("density", "momentum", "energy")  # whose means over cells are kept
    state = conserved if recipe.task is tasks.cell_refinement else system.state
    assert (recipe.state, recipe.control) == (state, system.control)
    beside = {q.name: q.dims for q in recipe.beside.targets}
    # what lacks an axis has no coarse values to be refined
    whole = {n: dims for n, dims in system.auxiliary.items() if len(dims) > 1}
    refined = recipe.task is tasks.refinement
    assert beside == (whole if refined else system.auxiliary)
    space = tuple(system.coords)[1:]
    static = [q for q in recipe.beside.given if q.role is Role.STATIC]
    fields = {q.name: q.dims for q in static if q.dims}
    # where controls may act is not given: what they are says it
    known = [name for name in system.static if name != "ring"]
    assert fields == dict.fromkeys(known, space)
    numbers = {q.name for q in static if not q.dims}
    assert numbers >= set(system.parameters)
    targets, given = recipe.fields(tuple(system.coords))
    names = [q.name for q in (*targets, *given)]
    assert len(set(names)) == len(names)
    acting = {q.name for q in targets if q.role is Role.PIECEWISE_CONSTANT}
    assert acting <= set(system.control)


def test_smoke_is_steered_to_a_share_in_the_end():
    recipe = RECIPES["smoke-control"]
    targets, given = recipe.fields(("time", "y", "x"))
    ends = [q for q in given if q.role is Role.FINAL]
    assert ends == [Field("smokeT", (), Role.FINAL, of="smoke")]
    acting = {q.name for q in targets if q.role is Role.PIECEWISE_CONSTANT}
    assert acting == {"cx", "cy"}


# Cards


@pytest.mark.parametrize("name", RECIPES)
def test_notes_of_a_recipe_are_json_and_name_the_task(name):
    recipe = RECIPES[name]
    notes = json.loads(json.dumps(recipe.notes()))
    assert notes["task"] == recipe.task.__name__
    assert notes["window"] == recipe.window
    assert recipe.grids[0] == TrainingGrid(1, recipe.window)
    beside = [[q["name"] for q in side] for side in notes["beside"]]
    assert beside == [[q.name for q in side] for side in recipe.beside]
