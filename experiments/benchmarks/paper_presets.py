"""Do the largest configurations train and sample at full size, and at what cost?

Each preset `paper` of the experiments, and both networks of the official code, trained
for a few updates with the state of a real run (parameters, average, two moments) on
noise of the right shapes, then sampled once:

    python experiments/benchmarks/paper_presets.py --only era5

Operations are those of XLA's analysis of one piece of a batch, times the pieces. Hours
on a GPU are those operations at a sustained rate, by default 30 % of the 67 TFLOP/s of
single precision of an H100; no GPU has measured them.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from flax import nnx
from official import made_up

from wdno import WDNO, official
from wdno._typing import Batch, Loss
from wdno.diffusion.samplers import ddim
from wdno.operator.calibrated import mean_of
from wdno.operator.generation import generate
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.config import TrainingConfig
from wdno.training.devices import Devices
from wdno.training.loss import learned, mean_loss, training_loss
from wdno.training.recipes import RECIPES, Recipe
from wdno.training.update import Run, mean_gradient, updating

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _regression  # noqa: E402
import _simulation  # noqa: E402
import advection  # noqa: E402
import era5  # noqa: E402
import navier_stokes  # noqa: E402
from _results import RESULTS, record  # noqa: E402

from wdno.cli.systems import SYSTEMS  # noqa: E402

STEM = "paper_presets"


@dataclass(frozen=True)
class Config:
    """What is measured.

    Attributes:
        only: presets, by name; all by default, each is stored when it is done.
        updates: after the first, which compiles; 0 to compile and run nothing.
        calls: of the denoiser in a sample.
        gpu_rate: operations a second that a GPU sustains.
    """

    only: tuple[str, ...] = ()
    updates: int = 2
    calls: int = 2
    gpu_rate: float = 0.3 * 67e12
    seed: int = 0


class Problem(NamedTuple):
    """What is trained on what."""

    module: nnx.Module
    loss: Loss
    batch: Batch
    pieces: int
    updates: int
    """Of the whole run, as far as it is given in updates."""
    model: WDNO | None = None
    """What is sampled."""


def by_recipe(recipe: Recipe, data: xr.Dataset, updates: int) -> Iterator[Problem]:
    """The networks of a recipe: that of its mean, if it has one, and its denoiser."""
    batches = WindowBatches(data, recipe)
    model = build_model(recipe, data, batches)
    model = replace(model, residual=mean_of(model.residual))
    if recipe.residual is not None:
        network = learned(model).network.thaw()
        yield Problem(network, mean_loss(model), batches(0), 1, updates)
    if recipe.mean_share < 1:
        loss = training_loss(model, recipe.noise.distribution())
        module = model.denoiser.backbone.thaw()
        yield Problem(module, loss, batches(0), 1, updates, model)


def simulated(system: str, preset: _simulation.Config) -> Iterator[Problem]:
    """A study of one system, on few of its records."""
    data = SYSTEMS[system]().trajectories(jax.random.key(0), 4)
    # Budgets are in seconds: a full run is taken to see each window a hundred times.
    recipe = RECIPES[preset.recipe]
    windows = preset.training_samples * (data.sizes["time"] - 1) // recipe.window
    return by_recipe(recipe, data, 100 * windows // recipe.batch_size)


def weather(preset: era5.Config) -> xr.Dataset:
    """Noise on the grid of the record of 32 x 48 points."""
    frames, draw = preset.lead + 1, np.random.default_rng(0)
    axes = {
        "time": np.arange(frames, dtype=float),
        "latitude": 50.25 + 0.25 * np.arange(32),
        "longitude": -10 + 0.25 * np.arange(48),
    }
    shape = (4, *map(len, axes.values()))
    dims = ("sample", *axes)
    names = (era5.NAME, *era5.HOUR)
    fields = {n: (dims, draw.normal(size=shape).astype("f4")) for n in names}
    before = (dims[0], *dims[2:]), fields[era5.NAME][1][:, 0]
    past = {f"{era5.NAME}_{hours}h_before": before for hours in preset.past}
    return xr.Dataset(fields | past, axes)


def forecast() -> Iterator[Problem]:
    """The model of the weather."""
    preset = era5.PAPER
    return by_recipe(era5.recipe_of(preset), weather(preset), preset.updates)


def rival(make: _regression.Make) -> Iterator[Problem]:
    """A regression of the weather."""
    preset = era5.PAPER
    recipe = era5.regression_of(preset)
    batches = WindowBatches(weather(preset), recipe)
    model = _regression.Regression(make, recipe, batches)
    yield Problem(model, _regression.loss, batches(0), 4, preset.updates)


def of_authors(kind: str, batch: int, pieces: int) -> Iterator[Problem]:
    """A network of the official code, and its 200,000 updates."""
    model = official.import_model(official.KINDS[kind])
    weights = model.targets.tiling.divisor.tolist()
    loss = official.training.training_loss(model, model.schedule, weights)
    module = model.denoiser.backbone.thaw()
    yield Problem(module, loss, made_up(model, batch), pieces, 200_000, model)


PAPER = era5.PAPER
PRESETS: dict[str, Callable[[], Iterator[Problem]]] = {
    "advection": lambda: simulated("advection-steep", advection.PAPER),
    "navier-stokes": lambda: simulated("navier-stokes-shock", navier_stokes.PAPER),
    "era5": forecast,
    "era5: FNO": lambda: rival(_regression.fourier(PAPER.fno_modes, PAPER.fno_width)),
    "era5: U-Net": lambda: rival(_regression.unet(PAPER.unet_widths)),
    "official Burgers": lambda: of_authors("burgers-simulation", 16, 4),
    "official smoke": lambda: of_authors("smoke-simulation", 6, 6),
}


def operations(run: Run, problem: Problem) -> float:
    """Of one update, without those of the optimiser."""
    part = jax.tree.map(lambda x: x[: len(x) // problem.pieces], problem.batch)
    definition, state = nnx.split(run)

    def of(state, part, key):
        run = nnx.merge(definition, state)
        run.config = replace(run.config, pieces=1)
        return mean_gradient(run, problem.loss, part, key)

    lowered = jax.jit(of).lower(state, part, jax.random.key(0))
    return problem.pieces * lowered.cost_analysis()["flops"]


def trained(problem: Problem, updates: int) -> dict:
    """Seconds, memory and losses of updates, which are those of `fit`."""
    devices = Devices.of(1)
    how = TrainingConfig(steps=1, pieces=problem.pieces, recompute=True)
    run = Run(problem.module, how)
    flops = operations(run, problem)
    nnx.update(run, devices.placed(nnx.state(run)))
    update = updating(problem.loss, None, devices)
    batch, key = devices.spread(problem.batch), jax.random.key(0)
    arguments = (run, batch, jnp.float32(1e-4), key)
    memory = update.lower(*arguments).compile().memory_analysis()
    losses, ticks = [], []
    for n in range(1 + updates) if updates else ():
        found = update(*arguments[:3], jax.random.fold_in(key, n))
        losses.append(float(found["loss"]))
        ticks.append(time.process_time())
    assert np.isfinite(losses).all()
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(nnx.state(run.model))),
        "batch": len(jax.tree.leaves(problem.batch)[0]),
        "pieces": problem.pieces,
        "updates_of_a_run": problem.updates,
        "operations_an_update": flops,
        "processor_seconds_an_update": float(np.diff(ticks).mean()) if ticks else None,
        "state_gib": memory.argument_size_in_bytes / 2**30,
        "temporary_gib": memory.temp_size_in_bytes / 2**30,
        "losses": losses,
    }


def sampled(model: WDNO, batch: Batch, calls: int) -> float:
    """Processor seconds of one sample of so many calls, without compilation."""
    known = {q.name: batch[q.name][:1] for q in model.given.fields}
    run = jax.jit(generate, static_argnames="sampler")
    how = {"sampler": ddim(1.0), "sigmas": model.schedule(calls)}
    for n in range(2):
        begin = time.process_time()
        found = jax.block_until_ready(run(model, known, key=jax.random.key(n), **how))
    assert all(np.isfinite(values).all() for values in found.values())
    return time.process_time() - begin


def main(config: Config) -> None:
    """Measure, print, and store what there is after every network."""
    path = RESULTS / f"{STEM}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    for name in config.only or PRESETS:
        for n, problem in enumerate(PRESETS[name]()):
            label = name if n == 0 else f"{name}: denoiser"
            row = trained(problem, config.updates)
            total = row["operations_an_update"] * row["updates_of_a_run"]
            row["gpu_hours"] = total / config.gpu_rate / 3600
            if problem.model is not None and config.updates:
                seconds = sampled(problem.model, problem.batch, config.calls)
                row["processor_seconds_a_sample"] = seconds
            rows[label] = row
            print(label, row, flush=True)
            record(STEM, asdict(config), rows=rows)


if __name__ == "__main__":
    main(tyro.cli(Config))
