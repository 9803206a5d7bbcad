"""Does wavelet diffusion forecast 2-m temperature better than simple rivals?

Trains a model on departures from a linear forecast of the first days of a record, and
two regressions, of which the parameters of the least error on the days of validation
are kept, and scores all of them, and forecasts without a network, on the last days.

    taskset -c 0 python experiments/era5.py laptop --data era5.nc

Scores follow WeatherBench 2 and WeatherBench-X: weighted by area, by lead time.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import _regression
import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _era5 import (
    NAME,
    Forecaster,
    Problem,
    by_model,
    simple_forecasters,
)
from _era5_picture import draw
from _era5_scores import scores, statistics
from _results import record

import wdno
from wdno.diffusion.samplers import dpmpp_2m
from wdno.networks import LocalConfig
from wdno.operator import tasks
from wdno.training.config import TrainingConfig
from wdno.training.pipeline import train
from wdno.training.recipes import RECIPES, Recipe
from wdno.weather import ATTRIBUTION

RECIPE = "era5-t2m"
HOUR = ("local_time_cos", "local_time_sin")


@dataclass(frozen=True)
class Config:
    """Which data, models and forecasts."""

    data: Path = Path("era5_uk_t2m_32x48_744h.nc")
    validation: str = "2019-03-21"
    test: str = "2019-03-25"
    past: tuple[int, ...] = (0, 1)
    lead: int = 24
    leads: tuple[int, ...] = (1, 6, 12, 24)
    levels: int = 3
    network: LocalConfig = LocalConfig((3, 3, 3), width=64, depth=3)
    rival_batch: int = 4
    rival_rate: float = 1e-3
    fno_modes: tuple[int, int, int] = (4, 6, 6)
    fno_width: int = 12
    unet_widths: tuple[int, ...] = (8, 16, 32)
    updates: int = 500
    budget: float = 60.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    validate_every: float = 9.0
    every: int = 3
    members: int = 16
    steps: int = 8
    model: str = ""
    runs: Path = Path("runs/era5")
    picture: Path = Path("docs/pictures/era5.png")
    seed: int = 0


LAPTOP = Config()
PAPER = replace(
    LAPTOP,
    past=tuple(range(13)),
    lead=20,
    leads=(1, 6, 12, 20),
    levels=2,  # 20 hours are halved twice
    network=LocalConfig((3, 3, 3), width=192, depth=8),
    rival_batch=16,
    fno_modes=(10, 12, 12),
    fno_width=32,
    unet_widths=(64, 128, 256),  # likewise
    updates=20_000,
    budget=36000.0,
    validate_every=120.0,
    every=1,
    members=64,
    runs=Path("runs/era5-paper"),
    picture=Path("runs/era5-paper.png"),
)
"""12 hours given and 20 to be found, as in WDNO (arXiv 2412.04833)."""


class Best:
    """A validation that keeps the averaged model of the least error so far.

    With 20 days to learn from, a regression knows them by heart within its budget.
    """

    def __init__(self, error: Callable[[Any], float]) -> None:
        self.error, self.least = error, math.inf
        self.model: Any = None

    def __call__(self, model: Any) -> dict[str, float]:
        value = self.error(model)
        if value < self.least:
            self.least, self.model = value, jax.tree.map(jnp.asarray, model)
        return {"validation_error": value}


def problem_of(config: Config) -> Problem:
    """The record of a run, cut where its validation and its test begin."""
    dates = (config.validation, config.test)
    return Problem.read(config.data, dates, config.past, config.lead)


def recipe_of(config: Config) -> Recipe:
    """The shipped recipe for windows and network of this run."""
    own = {"levels": config.levels, "network": config.network}
    return replace(RECIPES[RECIPE], window=config.lead, **own)


def regression_of(config: Config) -> Recipe:
    """Windows of the regressions, which are given the past and the hour of the day."""
    before = tuple(f"{NAME}_{hours}h_before" for hours in config.past)
    return replace(
        recipe_of(config),
        control=HOUR,
        beside=tasks.Task((), tasks.past(before, ("latitude", "longitude"))),
        batch_size=config.rival_batch,
    )


def training_of(config: Config) -> TrainingConfig:
    """Length and rates of the training of the model of this run."""
    return TrainingConfig(
        steps=config.updates,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        validate_every=config.validate_every,
        checkpoint_every=math.inf,
        seed=config.seed,
    )


def both_signs(windows: xr.Dataset) -> xr.Dataset:
    """Windows and their negatives: near its mean weather is linear in anomalies."""
    negative = windows.copy()
    for name in [n for n in windows.variables if str(n).split("_")[0] == NAME]:
        negative[name] = -windows[name]
    return xr.concat([windows, negative], "sample")


def ensemble(model: wdno.WDNO, members: int, steps: int) -> Forecaster:
    """Members of the model for the windows of a part."""
    return lambda part, n: wdno.simulate(
        model,
        part[[NAME]].isel(time=0),
        part[list(model.control)],
        frames=model.window,
        members=members,
        sampler=dpmpp_2m(),
        steps=steps,
        key=jax.random.fold_in(jax.random.key(1), n),
    )[[NAME]].assign_coords(time=part.time)


def one_call(model: wdno.WDNO) -> Forecaster:
    """The model's estimate from pure noise: close to the mean of all members."""
    return lambda part, n: wdno.simulate(
        model,
        part[[NAME]].isel(time=0),
        part[list(model.control)],
        frames=model.window,
        key=jax.random.key(n),
    )[[NAME]].assign_coords(time=part.time)


def regressed(model: _regression.Regression) -> Forecaster:
    """The one forecast of a regression."""

    return lambda part, n: _regression.forecast(model, part, HOUR)[
        [NAME]
    ].assign_coords(time=part.time)


def validated(problem: Problem, forecaster_of: Callable[[Any], Forecaster]) -> Best:
    """CRPS on the days of validation, the absolute error of a single forecast."""

    def error(model: Any) -> float:
        forecaster = by_model(problem, forecaster_of(model))
        found = statistics(problem, forecaster, "validation", every=4)
        return float(found["crps"].mean())

    return Best(error)


def trained(
    config: Config, problem: Problem, recipe: Recipe
) -> tuple[dict[str, Forecaster], dict[str, Any]]:
    """Forecasters of the three networks by name, and how their training went."""
    windows = both_signs(problem.departures)
    training = training_of(config)
    notes: dict[str, Any] = {}
    if config.model:
        model = wdno.load(config.model)
        card = wdno.read_card(config.model)
        notes["wdno"] = {key: card[key] for key in ("training", "validation_error")}
    else:
        folder = config.runs / "wdno"
        model = train(recipe, windows, training, folder, clock=time.process_time)
        error = validated(problem, lambda m: ensemble(m, 4, config.steps))
        notes["wdno"] = {"updates": config.updates, **error(model)}
        save(model, config, recipe, training, error.least)
    many = by_model(problem, ensemble(model, config.members, config.steps))
    found = {f"WDNO, {config.members} members": many}
    found["WDNO, one call"] = by_model(problem, one_call(model))
    # On the grid itself an update costs many times as much as on coefficients.
    small = regression_of(config)
    length = {"steps": None, "budget": config.budget}
    short = replace(training, **length, learning_rate=config.rival_rate)
    rivals = {
        "FNO": _regression.fourier(config.fno_modes, config.fno_width),
        "U-Net": _regression.unet(config.unet_widths),
    }
    for name, make in rivals.items():
        best = validated(problem, regressed)
        folder, clock = config.runs / name.lower(), time.process_time
        _regression.train(make, small, windows, short, folder, clock, best)
        notes[name.lower()] = history(folder, best)
        found[name] = by_model(problem, regressed(best.model))
    return found, notes


def history(folder: Path, best: Best) -> dict[str, Any]:
    """Updates of a run, its errors of validation by seconds, and the least of these."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").open()]
    curve = [
        [line["seconds"], round(line["validation_error"], 4)]
        for line in lines
        if "validation_error" in line
    ]
    found = {"updates": lines[-1]["step"], "validation_error": best.least}
    print(folder.name, found, curve, flush=True)
    return found | {"curve": curve}


def save(
    model: wdno.WDNO,
    config: Config,
    recipe: Recipe,
    training: TrainingConfig,
    error: float,
) -> None:
    """The model with the least error of validation, as `ship.py` takes it."""
    data = {
        "source": config.data.name,
        "training": f"until {config.validation}, validation until {config.test}",
        "licence": f"{ATTRIBUTION}.",
        "state": "departures from a linear forecast of anomalies from the hourly "
        "climatology, cross-fitted to the days of training: see docs/era5.md",
    }
    notes = {
        "name": RECIPE,
        "recipe": recipe.notes(),
        "training": asdict(training) | {"clock": "process_time"},
        "data": data,
        "validation_error": error,
    }
    wdno.save(model, config.runs / "wdno" / "model", notes=notes)


def curves(found: xr.Dataset) -> dict[str, list[float]]:
    """RMSE and CRPS of every hour, as they are drawn."""
    means = found[["square_of_mean", "crps"]].mean("sample")
    rmse = np.sqrt(means["square_of_mean"])
    return {
        "rmse": rmse.values.round(4).tolist(),
        "crps": means["crps"].values.round(4).tolist(),
    }


def main(config: Config) -> None:
    """Train, forecast the days of test, score, print, store and draw."""
    problem = problem_of(config)
    networks, training = trained(config, problem, recipe_of(config))
    forecasters = networks | simple_forecasters(problem, config.members)
    found = {}
    for name, forecaster in forecasters.items():
        found[name] = statistics(problem, forecaster, "test", config.every)
        print(name, f"CRPS {float(found[name]['crps'].mean()):.4f}", flush=True)
    reference = found["damped persistence"]
    results = {
        name: scores(part, reference, config.leads) for name, part in found.items()
    }
    starts = reference.sizes["sample"]
    days = len(np.unique(reference["day"]))
    for name, rows in results.items():
        print(name, json.dumps(rows["rmse"]), json.dumps(rows["crps"]))
    draw(problem, found, next(iter(networks.items())), config.picture)
    path = record(
        "era5",
        asdict(config),
        data=ATTRIBUTION,
        starts=starts,
        days=days,
        training=training,
        results=results,
        curves={name: curves(part) for name, part in found.items()},
    )
    print(path)


if __name__ == "__main__":
    presets = {
        "laptop": ("minutes of one core", LAPTOP),
        "paper": ("windows as in the paper, hours of a machine", PAPER),
    }
    main(tyro.extras.overridable_config_cli(presets))
