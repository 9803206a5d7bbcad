"""One study for every system that is simulated: train, beat or be beaten, roll on.

A model of wavelet diffusion, a Fourier neural operator and a U-Net see the same windows
for the same processor time. All chain windows from initial states that no training saw,
over the record that they were trained on and beyond it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import _regression
import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from _control import interval
from _results import RESULTS, provenance, record

import wdno
from wdno import metrics, plotting
from wdno.systems import PhysicalSystem, generate
from wdno.training import pipeline
from wdno.training.loop import TrainingConfig
from wdno.training.recipes import RECIPES
from wdno.trajectory import open_trajectories

Forecast = Callable[[xr.Dataset], xr.Dataset]


@dataclass(frozen=True)
class Config:
    """What to train on, for how long, and what to evaluate."""

    recipe: str
    training_samples: int
    budget: float
    """Processor time of each model in seconds."""
    learning_rate: float = 1e-3
    rival_batch_size: int = 16
    """Windows an update of the rivals, whose updates are dearer."""
    fourier_modes: tuple[int, ...] = (12, 32)
    fourier_width: int = 32
    unet_widths: tuple[int, ...] = (16, 32, 64)
    shipped: str = ""
    """Shipped name or folder of a model that is evaluated beside these."""
    only: tuple[str, ...] = ()
    """Forecasts to measure anew, by name; the rows of others stay as they are stored.
    Empty for all."""
    samples: int = 256
    records: int = 2
    """Length of the rollouts, in records of training."""
    seed: int = 20_000
    folder: Path = Path("runs")


def run(system: PhysicalSystem, training: PhysicalSystem, config: Config) -> None:
    """Train what is not there yet, evaluate, store and draw.

    Args:
        system: what is simulated.
        training: the same with the distribution that all models learn from.
        config: numbers.
    """
    folder = config.folder / config.recipe
    folder.mkdir(parents=True, exist_ok=True)
    frames = len(system.coords["time"]) - 1
    key = jax.random.key(config.seed)
    longer = system.over(config.records * frames)
    truth = longer.trajectories(key, config.samples)
    stem = config.recipe.replace("-", "_")
    results, rollouts, over_time = *_kept(stem, config.only), {}
    for name, ready in _forecasts(training, config, folder).items():
        if config.only and name not in config.only:
            continue
        forecast = ready()
        forecast(truth.isel(sample=slice(2)))  # compiles
        begin = time.perf_counter()
        found = forecast(truth)
        seconds = (time.perf_counter() - begin) / config.samples / config.records
        first = slice(frames + 1)
        results[name] = {
            **provenance(),
            **_scores(found.isel(time=first), truth.isel(time=first)),
            "seconds_per_record": round(seconds, 5),
        }
        over_time[name] = _over_time(found, truth)
        print(name, results[name], flush=True)
    rollouts |= {name: _portable(table) for name, table in over_time.items()}
    path = record(stem, asdict(config), one_record=results, rollouts=rollouts)
    learned = float(truth.time[frames])
    figure = _figure(rollouts, learned)
    plotting.save(figure, Path(f"docs/pictures/{stem}_rollout.png"))
    print(path)


def _kept(stem: str, only: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores and rollouts that are stored, unless all are measured anew."""
    path = RESULTS / f"{stem}.json"
    if not (only and path.exists()):
        return {}, {}
    stored = json.loads(path.read_text())
    return stored["one_record"], stored["rollouts"]


def _forecasts(
    system: PhysicalSystem, config: Config, folder: Path
) -> dict[str, Callable[[], Forecast]]:
    """What makes every forecaster ready, by its name: most are trained first."""
    training = _training(config)
    recipe = replace(RECIPES[config.recipe], batch_size=config.rival_batch_size)

    def model() -> Forecast:
        return partial(_simulated, wdno.load(_trained(system, config, folder)))

    def regression(name: str, make: _regression.Make) -> Forecast:
        data = _data(system, config, folder)
        place, clock = folder / name.lower(), time.process_time
        rival = _regression.train(make, recipe, data, training, place, clock)
        return partial(_regression.forecast, rival)

    found: dict[str, Callable[[], Forecast]] = {"WDNO": model}
    if config.shipped:
        shipped = partial(_simulated, wdno.load(config.shipped))
        found["WDNO as shipped"] = lambda: shipped
    for name, make in _rivals(config).items():
        found[name] = partial(regression, name, make)
    return found | {"persistence": lambda: _persisting}


def _rivals(config: Config) -> dict[str, _regression.Make]:
    return {
        "FNO": _regression.fourier(config.fourier_modes, config.fourier_width),
        "U-Net": _regression.unet(config.unet_widths),
    }


def _training(config: Config) -> TrainingConfig:
    return TrainingConfig(budget=config.budget, learning_rate=config.learning_rate)


def _data(system: PhysicalSystem, config: Config, folder: Path) -> xr.Dataset:
    path = generate(system, folder / "data.nc", config.training_samples, chunk=256)
    return open_trajectories(path)


def _trained(system: PhysicalSystem, config: Config, folder: Path) -> str:
    """Folder of the model of wavelet diffusion, trained unless it is there."""
    place = folder / "wdno"
    if not (place / "model").exists():
        pipeline.train_recipe(
            config.recipe,
            _data(system, config, folder),
            _training(config),
            place,
            resume=(place / "checkpoints").exists(),
            clock=time.process_time,
        )
    return str(place / "model")


def _simulated(model: wdno.WDNO, truth: xr.Dataset) -> xr.Dataset:
    start = truth[list(model.state)].isel(time=0, drop=True)
    frames = truth.sizes["time"] - 1
    return wdno.simulate(model, start, frames=frames, key=jax.random.key(0))


def _persisting(truth: xr.Dataset) -> xr.Dataset:
    """The initial state, for ever."""
    return truth.isel(time=0, drop=True).broadcast_like(truth)


def _scores(found: xr.Dataset, truth: xr.Dataset) -> dict[str, Any]:
    """Over one record: mean squared and relative error with 95 % intervals."""
    scores: dict[str, Any] = {}
    for name in truth.data_vars:
        pair = [metrics.exclude_initial(flow[name]) for flow in (found, truth)]
        scores[f"mse_{name}"] = interval(metrics.mse(*pair).values)
        scores[f"relative_l2_{name}"] = interval(metrics.relative_l2(*pair).values)
    every = [
        metrics.mse(*(metrics.exclude_initial(flow[n]) for flow in (found, truth)))
        for n in truth.data_vars
    ]
    scores["mse"] = interval(xr.concat(every, "variable").mean("variable").values)
    return scores


def _over_time(found: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """Relative error and spectra of rollouts against their length.

    Error: root mean square over samples and space, of the error over that of the state.
    Spectrum: energy of the forecasts in the shortest half of the waves over that of the
    truth; 1 is right, less is too smooth.
    """
    tables = {}
    for name in map(str, truth.data_vars):
        pair = found[name], truth[name]
        space = [dim for dim in pair[1].dims if dim != "time"]
        square = np.square(pair[0] - pair[1]).mean(space)
        size = np.square(pair[1]).mean(space)
        tables[f"error_{name}"] = np.sqrt(square / size)
        spectra = [metrics.energy_spectrum(field).mean("sample") for field in pair]
        (waves,) = set(spectra[1].dims) - {"time"}
        short = slice(spectra[1].sizes[waves] // 2, None)
        energy = [spectrum.isel({waves: short}).sum(waves) for spectrum in spectra]
        tables[f"short_waves_{name}"] = energy[0] / energy[1]
    return xr.Dataset(tables).isel(time=slice(1, None))


def _portable(table: xr.Dataset, every: int = 10) -> dict[str, list[float]]:
    """Rounded, every tenth instant, for the results file."""
    few = table.isel(time=slice(every - 1, None, every))
    values = {str(name): few[name].values for name in few.data_vars}
    values["time"] = few["time"].values
    return {
        name: [float(f"{value:.5g}") for value in column]
        for name, column in values.items()
    }


def _figure(rollouts: dict[str, dict[str, list[float]]], learned: float) -> plt.Figure:
    """Error and short waves of every forecaster against the length of a rollout.

    Args:
        rollouts: columns of each, every tenth instant.
        learned: length of the records that were trained on.
    """
    errors = [n for n in next(iter(rollouts.values())) if n.startswith("error")]
    figure, axes = plt.subplots(
        2,
        len(errors),
        figsize=(4.2 * len(errors), 5.2),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for label, table in rollouts.items():
        for column, name in enumerate(errors):
            quantity = name.removeprefix("error_")
            axes[0, column].semilogy(table["time"], table[name], label=label)
            waves = table[f"short_waves_{quantity}"]
            axes[1, column].semilogy(table["time"], waves)
            axes[0, column].set_title(quantity)
    for axis in axes.flat:
        axis.axvline(learned, color="0.7", linewidth=0.8)
    for column in range(len(errors)):
        axes[1, column].axhline(1, color="0.7", linewidth=0.8)
        axes[1, column].set_xlabel("time")
    axes[0, 0].set_ylabel("relative error")
    axes[1, 0].set_ylabel("energy of short waves / truth")
    labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
