"""What does a forecast cost at the accuracy that it has?

Error against seconds a record: the solver on several grids, persistence, and the model
that ships with its mean alone and with 1, 4 and 8 denoiser calls. The solver that made
the truth has no error here, and marks what any forecast has to be faster than.

    python experiments/front.py
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import tyro
import xarray as xr
from _control import interval
from _results import record
from burgers_simulation import half_the_grid
from matplotlib import colormaps
from matplotlib.ticker import NullFormatter

import wdno
from wdno import metrics
from wdno.plotting.style import new_figure, save
from wdno.systems import (
    Burgers,
    CompressibleNavierStokes,
    PhysicalSystem,
    Smoke,
    run,
    trajectories,
)

Forecast = Callable[[xr.Dataset], xr.Dataset]


@dataclass(frozen=True)
class Config:
    """How much of each system."""

    systems: tuple[str, ...] = ("burgers", "gas", "smoke")
    samples: int = 64
    scenes: int = 16
    repeats: int = 5
    seed: int = 20_000
    picture: Path = Path("docs/pictures/front.png")


class Front(NamedTuple):
    """A system, what solves it on less, and the models of it."""

    system: PhysicalSystem
    coarser: Mapping[str, Forecast]
    models: tuple[str, ...]
    steps: tuple[int, ...]


def solved(system: PhysicalSystem, truth: xr.Dataset) -> xr.Dataset:
    """A run of the solver from what a forecast is given."""
    initial, control = given(system, truth)
    return run(system, initial, control)


def simulated(model: wdno.WDNO, steps: int, truth: xr.Dataset) -> xr.Dataset:
    """One sample of a model."""
    return wdno.simulate(
        model,
        truth[list(model.state)].isel(time=0, drop=True),
        truth[list(model.control)],
        frames=truth.sizes["time"] - 1,
        steps=steps,
        key=jax.random.key(0),
    )


def still(truth: xr.Dataset) -> xr.Dataset:
    """The initial state, for ever."""
    return truth.isel(time=0, drop=True).broadcast_like(truth).transpose(*truth.dims)


def given(
    system: PhysicalSystem, truth: xr.Dataset
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Initial states, and controls if there are some."""
    initial = truth[list(system.state)].isel(time=0, drop=True)
    return initial, truth[list(system.control)] if system.control else None


def thinned(truth: xr.Dataset) -> xr.Dataset:
    """Burgers flow on half the points and instants."""
    return half_the_grid(truth).to_dataset(name="u")


def fronts() -> dict[str, Front]:
    """Of all systems."""
    burgers, gas = Burgers(), CompressibleNavierStokes(points=128, refinement=8)
    coarse = replace(burgers, refinement=1)
    cells = {
        f"solver, {128 * r} cells": partial(solved, replace(gas, refinement=r))
        for r in (1, 2, 4)
    }
    corrected = ("navier-stokes-shock", "navier-stokes-correction")
    calls = (0, 1, 4, 8)
    return {
        "burgers": Front(
            burgers,
            {
                "solver, 120 intervals": partial(solved, coarse),
                "solver, half the grid": thinned,
            },
            ("burgers-simulation",),
            calls,
        ),
        "gas": Front(gas, cells, corrected, calls),
        "smoke": Front(
            Smoke(),
            {
                f"solver, {n} steps a frame": partial(solved, Smoke(substeps=n))
                for n in (2, 4)
            },
            ("smoke-simulation",),
            (0,),
        ),
    }


def measured(
    forecast: Forecast, truth: xr.Dataset, states: list[str], repeats: int
) -> dict[str, Any]:
    """Mean squared error with its interval, and the least seconds a record."""
    found = forecast(truth)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        forecast(truth)
        seconds.append((time.perf_counter() - begin) / truth.sizes["sample"])
    pairs = [(found[name], truth[name]) for name in states]
    squares = [
        metrics.mse(*map(metrics.exclude_initial, pair)).rename("mse") for pair in pairs
    ]
    errors = sum(squares[1:], start=squares[0]) / len(squares)
    return {"mse": interval(errors.values), "seconds": float(f"{min(seconds):.3g}")}


def front_of(front: Front, config: Config, samples: int) -> dict[str, Any]:
    """All forecasts of one system by name."""
    truth = trajectories(front.system, jax.random.key(config.seed), samples)
    forecasts: dict[str, Forecast] = {"persistence": still, **front.coarser}
    for name in front.models:
        model = wdno.load(name)
        for steps in front.steps:
            label = f"{name}, {steps} calls" if steps else f"{name}, mean"
            forecasts[label] = partial(simulated, model, steps)
    forecasts["solver of the truth"] = partial(solved, front.system)
    found = {}
    for name, forecast in forecasts.items():
        states = list(front.system.state)
        found[name] = measured(forecast, truth, states, config.repeats)
        print(name, found[name], flush=True)
    return found


def draw(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Error against seconds, one panel a system; the solver of the truth as a line."""
    figure = new_figure(4.6 * len(results), 5.2)
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (system, found) in zip(axes, results.items(), strict=True):
        axis.set_prop_cycle(color=colormaps["tab20"](range(20)))
        for name, point in found.items():
            if name == "persistence":
                continue
            if name == "solver of the truth":
                axis.axvline(point["seconds"], color="0.6", linewidth=0.8, label=name)
                continue
            marker = "s" if name.startswith("solver") else "o"
            value, low, high = point["mse"]
            bounds = [[value - low], [high - value]]
            axis.errorbar(
                point["seconds"], value, bounds, marker=marker, ls="", label=name
            )
        axis.set(xscale="log", yscale="log", title=system, xlabel="seconds a record")
        axis.xaxis.set_minor_formatter(NullFormatter())
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}
        axis.legend(fontsize=7, ncols=2, frameon=False, **below)
    axes[0].set_ylabel("mean squared error")
    save(figure, path)


def main(config: Config) -> None:
    """Measure, print, store and draw."""
    known = fronts()
    counts = {name: config.samples for name in config.systems} | {
        "smoke": config.scenes
    }
    results = {
        name: front_of(known[name], config, counts[name]) for name in config.systems
    }
    draw(results, config.picture)
    print(record("front", asdict(config), systems=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
