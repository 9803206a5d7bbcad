"""Systems on which networks of tokens are compared, and what all comparisons share."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _call_cost import Cost, cost
from _results import best, portable
from flax import nnx

import wdno
from wdno.networks import FourierConfig, MixerConfig, Shape, build
from wdno.systems import CompressibleNavierStokes, Smoke
from wdno.training.config import TrainingConfig
from wdno.training.recipes import RECIPES, NoiseLevels, Recipe


@dataclass(frozen=True)
class Arm:
    """A network that is trained for a while and judged; comparisons say which ones."""

    arm: str
    system: str
    data: Path
    test: Path
    out: Path = Path("runs")
    budget: float = 180.0
    """Processor seconds."""
    learning_rate: float = 1e-3
    validate_every: float = 120.0
    steps: tuple[int, ...] = (1, 8)
    """Calls by which it is judged."""
    seed: int = 0

    @property
    def training(self) -> TrainingConfig:
        """How it is trained; no checkpoint is kept."""
        return TrainingConfig(
            budget=self.budget,
            seed=self.seed,
            validate_every=self.validate_every,
            checkpoint_every=math.inf,
            learning_rate=self.learning_rate,
        )

    def noted(self) -> dict[str, str]:
        """As it stands in results."""
        return {name: portable(value) for name, value in asdict(self).items()}


WHOLE_FIELDS: dict[str, Any] = {"residual": None, "noise": NoiseLevels()}
"""Without a mean: the denoiser makes all there is, and one call of it is a forecast."""


@dataclass(frozen=True)
class Problem:
    """A system, and how models of it are made, up to their backbone."""

    system: CompressibleNavierStokes | Smoke
    recipe: Recipe
    """With the best backbone that is not one of tokens."""
    patch: tuple[int, ...]
    """Coefficients of a token along each axis."""


PROBLEMS = {
    "shocks": Problem(
        CompressibleNavierStokes(points=1024),
        replace(
            RECIPES["navier-stokes-shock"],
            network=FourierConfig((8, 16), width=64, depth=4),
            **WHOLE_FIELDS,
        ),
        (5, 4),
    ),
    "smoke": Problem(
        Smoke(),
        replace(RECIPES["smoke-simulation"], network=MixerConfig(), **WHOLE_FIELDS),
        (4, 4, 4),
    ),
}


def call_of(
    model: wdno.WDNO, network: object, rows: int
) -> tuple[Callable[[Any], jax.Array], Any]:
    """A call of a backbone on as many rows of a model's grid, and its parameters."""
    grid = model.targets.coefficient_grid
    channels, given = len(model.targets.channels), len(model.given.channels)
    made = build(network, Shape(len(grid), channels, given), rngs=nnx.Rngs(0))
    x, cond = (jnp.ones((rows, *grid, n), jnp.float32) for n in (channels, given))
    graph, state = nnx.split(made)

    def call(state: Any) -> jax.Array:
        return nnx.merge(graph, state)(x, jnp.zeros(rows, jnp.float32), cond)

    return call, state


def operations(model: wdno.WDNO, network: object) -> float:
    """Of a call with one row, before XLA simplifies it."""
    call, state = call_of(model, network, 1)
    counted = jax.jit(call).lower(state).cost_analysis() or {}
    return float(counted["flops"])


def price(model: wdno.WDNO, network: object, rows: int) -> dict[str, float]:
    """Operations, bytes and seconds of a call of a backbone, and of its gradient.

    Args:
        model: whose grid and channels the backbone is for.
        network: its configuration.
        rows: of a batch.
    """
    call, state = call_of(model, network, rows)
    counted: Cost = cost(call, 5, state)
    slope = jax.jit(jax.grad(lambda state: jnp.square(call(state)).sum()))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state)),
        "points": math.prod(model.targets.coefficient_grid),
        **counted._asdict(),
        "seconds_of_gradient": best(lambda: slope(state), 5),
    }
