"""At equal operations: coarse tokens alone, fine ones everywhere, or in K cells?

Networks as wide as the same number of operations a call allows train on the same
records for the same processor time of one core; there is no mean. They are judged by
windows that none has seen, those that choose cells also where they are told the true
ones and random ones. Run one arm a core:

    python experiments/grain_training.py --arm quarter --system shocks \\
        --data shocks.nc --test shocks-test.nc
    python experiments/grain_figure.py
"""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _tokens import PROBLEMS, Arm, operations, price
from backbones import CoarseConfig
from jaxtyping import Array, Float, PRNGKeyArray

import wdno
from wdno import metrics
from wdno._typing import Fields
from wdno.networks import DynamicGrainConfig, TokenTransformerConfig
from wdno.networks.cells import most
from wdno.operator.checkpoint import save
from wdno.operator.generation import generate, left_open, prepare
from wdno.operator.model import with_backbone
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.grain import Told, true_cells
from wdno.training.held_out import held_windows
from wdno.training.pipeline import train
from wdno.trajectory import open_trajectories
from wdno.wavelets.grain import fine_channels

ARMS = {"coarse": 0.0, "eighth": 0.125, "quarter": 0.25, "half": 0.5, "fine": 1.0}
"""Share of cells that are refined."""
DEPTH, REFINEMENTS, HEADS = 2, 4, 4


@dataclass(frozen=True)
class Config(Arm):
    """One arm."""

    out: Path = Path("runs/grain")
    patch: tuple[int, ...] = (1, 8)
    """Points of the coarsest grid in a cell."""
    width: int = 128
    """Of the arm that refines all cells: the others have as many operations."""
    samples: int = 24


def network(model: wdno.WDNO, share: float, config: Config, width: int) -> Any:
    """The configuration of the arm that refines a share of the cells."""
    fine = fine_channels(model.targets)
    if not share:
        depth = DEPTH + REFINEMENTS
        tokens = TokenTransformerConfig(config.patch, width, depth, HEADS)
        return CoarseConfig(fine, **asdict(tokens) | {"windows": ()})
    grid = model.targets.coefficient_grid
    cells = math.prod(-(-n // p) for n, p in zip(grid, config.patch, strict=True))
    reach = (0,) * len(grid) if share == 1 else (1,) * len(grid)
    return DynamicGrainConfig(
        config.patch,
        width,
        DEPTH,
        HEADS,
        fine=fine,
        kept=round(share * cells),
        refinements=REFINEMENTS,
        reach=reach,
    )


def widest(model: wdno.WDNO, config: Config) -> Any:
    """The network of the arm with the operations of the one that refines all cells."""

    def count(share: float, width: int) -> float:
        return operations(model, network(model, share, config, width))

    bound, share, step = count(1.0, config.width), ARMS[config.arm], 4 * HEADS
    width = config.width
    while count(share, width + step) <= 1.02 * bound:
        width += step
    return network(model, share, config, width)


def told(
    model: wdno.WDNO, windows: Fields, choice: str, key: PRNGKeyArray
) -> wdno.WDNO:
    """The model whose network is told true or random cells, or chooses them itself."""
    module: Any = model.denoiser.backbone.thaw()
    if choice == "predicted":
        return model
    x0 = left_open(model, prepare(model, windows), windows)
    cells = true_cells(module, x0, model.targets.energy_share)
    if choice == "random":
        grid = module.cell_grid(x0.shape[1:-1])
        scores = jax.random.uniform(key, (len(x0), *grid), x0.dtype)
        cells = most(scores, cells.shape[1], (0,) * len(grid))
    return with_backbone(model, Told(module, cells, []))


@partial(jax.jit, static_argnames=("choice", "steps"))
def squared_errors(
    model: wdno.WDNO, windows: Fields, choice: str, steps: int
) -> Float[Array, " window"]:
    """Of one sample of each window: mean over instants, points and states."""
    key = jax.random.key(1)
    levels = jnp.asarray(model.levels(steps))
    here = told(model, windows, choice, key)
    found = generate(here, windows, wdno.samplers.ddim(0.0), levels, key)
    return jnp.stack(
        [
            jnp.square(found[n] - windows[n]).reshape(len(found[n]), -1).mean(axis=1)
            for n in model.state
        ]
    ).mean(axis=0)


@jax.jit
def logits(model: wdno.WDNO, windows: Fields) -> Float[Array, "window *cell"]:
    """Of the choice in the first call, when the condition alone is known."""
    module: Any = model.denoiser.backbone.thaw()
    context, said = prepare(model, windows), Told(module, None, [])
    grid = (*model.targets.coefficient_grid, len(model.targets.channels))
    x = jax.random.normal(jax.random.key(1), (len(context.condition), *grid))
    sigma = jnp.full(len(x), model.levels(1)[0], x.dtype)
    with_backbone(model, said).denoiser(sigma[0] * x, sigma, context.condition)
    return said.said[0]


def agreement(model: wdno.WDNO, windows: Fields) -> float:
    """Share of the true cells that the network chooses in its first call."""
    module: Any = model.denoiser.backbone.thaw()
    x0 = left_open(model, prepare(model, windows), windows)
    true = np.asarray(true_cells(module, x0, model.targets.energy_share))
    config = module.config
    ours = np.asarray(most(logits(model, windows), config.kept, config.reach))
    pairs = zip(true, ours, strict=True)
    return float(np.mean([np.isin(one, other).mean() for one, other in pairs]))


def judged(model: wdno.WDNO, windows: Fields, config: Config) -> dict[str, Any]:
    """Errors by choice of cells and calls, and how good the choice is."""
    adaptive = 0 < ARMS[config.arm] < 1
    found: dict[str, Any] = {}
    for choice in ("predicted", "true", "random") if adaptive else ("predicted",):
        found[choice] = {}
        for steps in config.steps:
            rows = np.asarray(squared_errors(model, windows, choice, steps))
            interval = metrics.bootstrap_interval(xr.DataArray(rows, dims="sample"))
            values = {name: float(v) for name, v in interval._asdict().items()}
            found[choice][str(steps)] = values
    if adaptive:
        found["agreement"] = agreement(model, windows)
    return found


def main(config: Config) -> None:
    """Find the width, train the arm, and keep the model and what was found."""
    recipe = PROBLEMS[config.system].recipe
    data = open_trajectories(config.data).load()
    fresh = build_model(recipe, data, WindowBatches(data, recipe, config.seed))
    chosen = widest(fresh, config)
    costs = price(fresh, chosen, recipe.batch_size)
    print(config.arm, chosen, costs, flush=True)
    where = config.out / f"{config.system}-{config.arm}-{config.seed}"
    test = open_trajectories(config.test).isel(sample=slice(config.samples)).load()
    recipe = replace(recipe, network=chosen)
    model = train(recipe, data, config.training, where, clock=time.process_time)
    save(model, where / "model", notes={"name": f"grain-{config.system}"})
    lines = [json.loads(line) for line in (where / "log.jsonl").open()]
    results = {
        "config": config.noted(),
        "network": asdict(chosen),
        "price": costs,
        "updates": lines[-1]["step"],
        "mse": judged(model, held_windows(model, test), config),
    }
    (where / "result.json").write_text(json.dumps(results, indent=1) + "\n")
    print(config.arm, results["updates"], results["mse"])


if __name__ == "__main__":
    main(tyro.cli(Config))
