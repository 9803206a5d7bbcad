"""Recipes: which noise a model is trained on, and what a card says of it."""

import json

import jax
import numpy as np
import pytest

from wdno.recipes import RECIPES, NoiseLevels, TrainingGrid

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


# Cards


@pytest.mark.parametrize("name", RECIPES)
def test_notes_of_a_recipe_are_json_and_name_the_task(name):
    recipe = RECIPES[name]
    notes = json.loads(json.dumps(recipe.notes()))
    assert notes["task"] == recipe.task.__name__
    assert notes["window"] == recipe.window
    assert recipe.grids[0] == TrainingGrid(1, recipe.window)
