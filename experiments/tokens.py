"""Does a transformer on patches of coefficients earn its place?

Transformers with attention everywhere, along one axis at a time and in windows, the one
before, and the backbone of the recipe, train on the same records for the same processor
time of one core and are judged on records that none has seen. Run one arm a core:

    python experiments/tokens.py --arm axes --recipe smoke-simulation --data smoke.zarr

Without `--train` an arm only says what a call and an update cost.
"""

import math
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from _results import best, portable, record
from flax import nnx

import wdno
from wdno import metrics
from wdno.networks import (
    Shape,
    TokenTransformerConfig,
    TransformerConfig,
    build,
)
from wdno.training.loop import TrainingConfig
from wdno.training.pipeline import train
from wdno.training.recipes import RECIPES, Recipe
from wdno.training.validation import simulation_error
from wdno.trajectory import open_trajectories


@dataclass(frozen=True)
class Config:
    """One arm."""

    arm: str
    recipe: str
    data: Path
    test: Path
    train: bool = False
    out: Path = Path("runs/tokens")
    patch: tuple[int, ...] = ()
    """Coefficients a token; empty for 1 in time and 2 along each axis of space."""
    width: int = 192
    depth: int = 6
    heads: int = 6
    budget: float = 1200.0
    learning_rate: float = 1e-3
    steps: tuple[int, ...] = (1, 8)
    rows: int = 16
    seed: int = 0


def network(arm: str, config: Config, axes: int) -> Any:
    """The configuration of an arm; None for the backbone of the recipe."""
    patch = config.patch or (1, *(2,) * (axes - 1))
    size = {"width": config.width, "depth": config.depth, "heads": config.heads}
    one_by_one = tuple(
        tuple(0 if axis == here else 1 for axis in range(axes)) for here in range(axes)
    )
    time_and_boxes = ((0, *(1,) * (axes - 1)), (1, *(8,) * (axes - 1)))
    tokens = partial(TokenTransformerConfig, patch, **size)
    return {
        "recipe": lambda: None,
        "old": lambda: TransformerConfig(patch, **size),
        "everywhere": tokens,
        "axes": lambda: tokens(windows=one_by_one),
        "windows": lambda: tokens(windows=(*time_and_boxes, one_by_one[-1])),
    }[arm]()


def price(model: wdno.WDNO, chosen: Any, rows: int) -> dict[str, float]:
    """Operations, bytes and seconds of a call, and seconds of its gradient."""
    grid = model.targets.coefficient_grid
    channels, given = len(model.targets.channels), len(model.given.channels)
    made = build(chosen, Shape(len(grid), channels, given), rngs=nnx.Rngs(0))
    x, cond = (jnp.ones((rows, *grid, n), jnp.float32) for n in (channels, given))
    graph, state = nnx.split(made)

    def call(state: Any) -> jax.Array:
        return nnx.merge(graph, state)(x, jnp.zeros(rows, jnp.float32), cond)

    compiled = jax.jit(call).lower(state).compile()
    counted = compiled.cost_analysis() or {}
    slope = jax.jit(jax.grad(lambda state: jnp.square(call(state)).sum()))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state)),
        "points": math.prod(grid),
        "operations": float(counted.get("flops", 0)),
        "bytes": float(counted.get("bytes accessed", 0)),
        "seconds": best(lambda: compiled(state), 5),
        "seconds_of_gradient": best(lambda: slope(state), 5),
    }


def trained(recipe: Recipe, config: Config) -> dict[str, Any]:
    """Errors of the arm after its budget."""
    test = open_trajectories(config.test).load()
    early, late = test.isel(sample=slice(64)), test.isel(sample=slice(64, None))
    how = TrainingConfig(
        budget=config.budget,
        seed=config.seed,
        validate_every=60,
        learning_rate=config.learning_rate,
    )
    folder = config.out / f"{config.recipe}-{config.arm}-{config.seed}"
    data = open_trajectories(config.data)
    model = train(recipe, data, how, folder, held_back=early, clock=time.process_time)
    return {
        str(steps): {
            name: float(value)
            for name, value in metrics.bootstrap_interval(
                simulation_error(model, late, steps)
            )
            ._asdict()
            .items()
        }
        for steps in config.steps
    }


def main(config: Config) -> None:
    """Price the arm, train it if told to, and store what was found."""
    shipped, recipe = wdno.load(config.recipe), RECIPES[config.recipe]
    axes = len(shipped.targets.dims)
    chosen = network(config.arm, config, axes) or recipe.network
    results: dict[str, Any] = {"price": price(shipped, chosen, config.rows)}
    print(config.arm, results["price"], flush=True)
    if config.train:
        results["mse"] = trained(replace(recipe, network=chosen), config)
        print(results["mse"])
    settings = {name: portable(value) for name, value in asdict(config).items()}
    name = f"tokens-{config.recipe}-{config.arm}-{config.seed}"
    print(record(name, settings, **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
