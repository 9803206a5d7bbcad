"""Wavelets for data with ends: what `wdno.suggest` should take for a heated rod.

    python experiments/own_data.py

The data and the length of training are those of the notebook on one's own data. Each
variant differs from the suggested recipe in wavelet and mode alone, and is trained with
the same seeds on the same trajectories.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr
from _results import record

import wdno
from wdno import metrics

VARIANTS = {
    "haar, suggested": {},
    "db2, boundary": {"wavelet": "db2", "mode": ("boundary", "boundary")},
    "bior2.4, symmetric": {"wavelet": "bior2.4", "mode": ("symmetric", "symmetric")},
    "lazy": {"wavelet": "lazy"},
}


@dataclass(frozen=True)
class Config:
    """Where, how long and how often.

    Attributes:
        folder: of the runs, which are gone on with.
        steps: updates of a run.
        seeds: of the runs.
        samples: trajectories to train on.
        unseen: trajectories to score.
    """

    folder: Path = Path("runs/own_data")
    steps: int = 800
    seeds: tuple[int, ...] = (0, 1)
    samples: int = 480
    unseen: int = 128


def main(config: Config) -> None:
    """Train and score every variant, and store what there is after each."""
    data, unseen = rods(config.samples, seed=0), rods(config.unseen, seed=1)
    suggested = wdno.suggest(data, control=("heating",))
    errors: dict[str, list[np.ndarray]] = {name: [] for name in VARIANTS}
    for seed in config.seeds:
        for name, changes in VARIANTS.items():
            recipe = replace(suggested, **changes)
            model = trained(recipe, data, config, f"{name} {seed}", seed)
            errors[name].append(error(model, unseen))
            print(name, seed, errors[name][-1].mean(), flush=True)
            print(record("own_data", asdict(config), mse=intervals(errors)))


def trained(
    recipe: wdno.Recipe, data: xr.Dataset, config: Config, name: str, seed: int
) -> wdno.WDNO:
    """The model of a run, which is there or is trained."""
    folder = config.folder / "".join(c if c.isalnum() else "-" for c in name)
    if (folder / "model" / "card.json").is_file():
        return wdno.load(folder / "model")
    how = {"learning_rate": 2e-3, "validate_every": 600.0, "seed": seed}
    training = wdno.TrainingConfig(steps=config.steps, **how)
    return wdno.train(data, folder, training, recipe=recipe, resume=True)


def error(model: wdno.WDNO, unseen: xr.Dataset) -> np.ndarray:
    """Mean squared error of one simulation in one call, by trajectory."""
    start = unseen.temperature.isel(time=0, drop=True)
    found = wdno.simulate(model, start, unseen.heating, key=jax.random.key(0))
    pair = (metrics.exclude_initial(u) for u in (found.temperature, unseen.temperature))
    return metrics.mse(*pair).values


def intervals(errors: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Means over seeds, and 95 % intervals over trajectories, also of differences."""
    first = next(iter(errors.values()))
    found = {}
    for name, runs in errors.items():
        if not runs:
            continue
        mean = np.mean(runs, axis=0)
        entry = {"error": bounds(mean), "by_seed": [float(run.mean()) for run in runs]}
        if runs is not first:
            entry["less_the_first"] = bounds(mean - np.mean(first[: len(runs)], axis=0))
        found[name] = entry
    return json.loads(json.dumps(found))


def bounds(values: np.ndarray) -> list[float]:
    """Mean and 95 % bootstrap interval."""
    interval = metrics.bootstrap_interval(xr.DataArray(values, dims="sample"))
    return [float(interval.mean), float(interval.low), float(interval.high)]


def rods(samples: int, seed: int, points: int = 64, frames: int = 32) -> xr.Dataset:
    """The rods of the notebook: T_t = ((κ0 + κ1 T²) T_x)_x + q, insulated ends."""
    steps = 200
    draw = np.random.default_rng(seed)
    x, dt = (np.arange(points) + 0.5) / points, 0.02 / steps
    place, width = draw.uniform(0.1, 0.9, (2, samples, frames + 1, 1))
    strength = draw.normal(0, 12, (samples, frames + 1, 1))
    strength[:, 1::2] = strength[:, :-1:2]
    place[:, 1::2] = place[:, :-1:2]
    heating = strength * np.exp(-(((x - place) / (0.05 + 0.1 * width)) ** 2))
    waves = np.cos(np.pi * np.arange(6)[:, None] * x)
    temperature = draw.normal(size=(samples, 6)) @ waves / 2
    states = [temperature]
    for n in range(frames):
        for _ in range(steps):
            ends = np.pad(temperature, ((0, 0), (1, 1)), mode="edge")
            middle = (ends[:, 1:] + ends[:, :-1]) / 2
            flux = (0.02 + 0.05 * middle**2) * np.diff(ends) * points
            temperature = temperature + dt * (np.diff(flux) * points + heating[:, n])
        states.append(temperature)
    axes = ("sample", "time", "x")
    methods = {"temperature": "time: point", "heating": "time: mean"}
    values = {"temperature": np.stack(states, 1), "heating": heating}
    return xr.Dataset(
        {
            n: (axes, v.astype("f4"), {"cell_methods": methods[n]})
            for n, v in values.items()
        },
        coords={"time": 0.02 * np.arange(frames + 1), "x": x},
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
