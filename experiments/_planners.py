"""Small planners of Burgers flow, and the nearly best plans that they learn from.

The shipped planner has its plans from examples and needs one call; what more calls,
other guidance or other sources are worth shows with networks, trained in minutes.
"""

from dataclasses import replace
from pathlib import Path

import burgers_plans
import jax
import numpy as np
import xarray as xr
from _control import OBJECTIVE

import wdno
from wdno.diffusion.keys import row_keys
from wdno.networks import FourierConfig
from wdno.training.recipe import NoiseLevels, TrainingGrid
from wdno.training.recipes import RECIPES, Recipe

HORIZON = 32


def small_recipe(width: int = 48, tick: int = 0) -> Recipe:
    """A planner of whole fields; with a tick for the horizons that are left too."""
    left = range(HORIZON - tick, 0, -tick) if tick else ()
    return replace(
        RECIPES["burgers-control"],
        residual=None,
        more_grids=tuple(TrainingGrid(1, frames) for frames in left),
        network=FourierConfig((8, 16), width=width, depth=4),
        noise=NoiseLevels(share_at_max=0.3, mean=0.0, std=1.8),
    )


def nearly_best(count: int, seed: int) -> xr.Dataset:
    """What the solver makes of plans of the shipped planner, with their twins.

    A plan that misses its goal a little is a nearly best plan for where it does end.
    """
    drawing = burgers_plans.Config(Path(), chunk=count, horizon=HORIZON)
    problems = burgers_plans.Problems.draw(drawing, jax.random.key(seed))
    planner = wdno.Planner(wdno.load("burgers-control"), OBJECTIVE, steps=0)
    known = {"u0": problems.initial, "uT": problems.goal}
    plans = [
        planner({n: u[part] for n, u in known.items()}, keys)["f"]
        for part in np.array_split(np.arange(count), max(1, count // 256))
        for keys in [row_keys(jax.random.key(0), len(part))]
    ]
    force = np.concatenate(plans)
    pairs = burgers_plans.with_twins(problems.initial, force)
    return burgers_plans.labelled(*pairs)
