"""Are costs foreseen? Seconds and bytes foretold from few rows, beside those measured.

Of each problem, none of whose programs was timed before: chained windows are those of
`wdno.simulate`, plans and updates whole programs of all rows. Seconds are those of the
processor; run on one thread, where other work changes them least:

    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        python experiments/benchmarks/cost.py
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
import xarray as xr

import wdno
from wdno.deployment import cost
from wdno.deployment.programs import Update, Window
from wdno.diffusion.samplers import ddim

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import RESULTS, record  # noqa: E402

CLOCK = time.process_time


@dataclass(frozen=True)
class Config:
    """Which problems: those whose names contain this; rows of others are kept."""

    only: str = ""


class Compared(NamedTuple):
    """What was foretold, and what it then took."""

    foretold: cost.Cost
    seconds: float
    memory: int | None


def simulation(name: str, samples: int, windows: int, calls: int) -> Compared:
    """A record of several windows, as users make it."""
    model = wdno.load(name)
    frames = windows * model.window
    how = {"samples": samples, "frames": frames, "calls": calls}
    foretold = cost.simulation_cost(model, clock=CLOCK, **how)
    given = Window(model, ddim()).of(samples)[1][1]
    dims = {q.name: q.dims for q in model.given.fields}
    static = {n: (("sample", *dims[n]), given[n]) for n in model.static}
    initial = xr.Dataset(
        {s: (("sample", *dims[n]), given[n]) for s, n in model.initial.items()}, static
    )
    control = xr.Dataset(
        {
            n: (("sample", *dims[n]), np.concatenate([given[n]] * windows, axis=1))
            for n in model.control
        }
    )
    seconds = []  # of which the first compiles
    for _ in range(3):
        begin = CLOCK()
        wdno.simulate(
            model,
            initial,
            control if model.control else None,
            frames=frames,
            steps=calls,
            key=jax.random.key(0),
        )
        seconds.append(CLOCK() - begin)
    return Compared(foretold, min(seconds[1:]), None)


def ensemble(name: str, rows: int, calls: int, *cells: int) -> Compared:
    """A window of so many rows."""
    model = wdno.load(name)
    how = {"members": rows, "calls": calls, "cells": cells or None}
    foretold = cost.simulation_cost(model, clock=CLOCK, **how)
    if cells:
        model = model.on((model.window, *cells))
    found = Window(model, ddim(), calls=calls).measured(rows, CLOCK)
    return Compared(foretold, found.seconds, found.memory)


def planning(name: str, rows: int, calls: int) -> Compared:
    """Plans that reach a state."""
    model = wdno.load(name)
    wish = wdno.objectives.reach(model.state, model.planned, 2e-5)
    planner = wdno.Planner(model, wish, strength=0.1, steps=calls)
    foretold = cost.planning_cost(planner, members=rows, clock=CLOCK)
    window = Window(model, planner.sampler, planner.guided, calls)
    found = window.measured(rows, CLOCK)
    return Compared(foretold, found.seconds, found.memory)


def training(name: str, batch: int, *cells: int) -> Compared:
    """An update of the denoiser."""
    model = wdno.load(name)
    how = {"batch_size": batch, "cells": cells or None}
    foretold = cost.training_cost(model, clock=CLOCK, **how)
    if cells:
        model = model.on((model.window, *cells))
    found = Update(model).measured(batch, CLOCK)
    return Compared(foretold, found.seconds, found.memory)


PROBLEMS: dict[str, Callable[[], Compared]] = {
    "simulation: Burgers, 64 records of 5 windows, 4 calls": lambda: simulation(
        "burgers-simulation", 64, 5, 4
    ),
    "simulation: Burgers, 8 records of 20 windows, 1 call": lambda: simulation(
        "burgers-simulation", 8, 20, 1
    ),
    "ensemble: Burgers, 256 members, 8 calls": lambda: ensemble(
        "burgers-simulation", 256, 8
    ),
    "ensemble: Burgers on 960 cells, 64 members, 2 calls": lambda: ensemble(
        "burgers-simulation", 64, 2, 960
    ),
    "ensemble: advection, 128 members, 8 calls": lambda: ensemble(
        "advection-simulation", 128, 8
    ),
    "ensemble: chaos, 128 members, 16 calls": lambda: ensemble(
        "kuramoto-sivashinsky-simulation", 128, 16
    ),
    "ensemble: weather, 32 members, 8 calls": lambda: ensemble("era5-t2m", 32, 8),
    "ensemble: smoke, 16 members, 1 call": lambda: ensemble("smoke-simulation", 16, 1),
    "planning: Burgers, 64 plans, 16 calls": lambda: planning(
        "burgers-control", 64, 16
    ),
    "training: Burgers, batch of 128": lambda: training("burgers-simulation", 128),
    "training: Burgers on 480 cells, batch of 32": lambda: training(
        "burgers-simulation", 32, 480
    ),
    "training: weather, batch of 16": lambda: training("era5-t2m", 16),
}


def main(config: Config) -> None:
    """Foretell, measure, print, and store what there is after every problem."""
    path = RESULTS / "cost.json"
    rows: dict[str, Any] = json.loads(path.read_text())["rows"] if path.exists() else {}
    for name, compare in PROBLEMS.items():
        if config.only not in name:
            continue
        found = compare()
        rows[name] = {
            "foretold_seconds": found.foretold.seconds,
            "seconds": found.seconds,
            "ratio": found.foretold.seconds / found.seconds,
            "foretold_memory": found.foretold.memory,
            "memory": found.memory,
            "memory_ratio": found.memory and found.foretold.memory / found.memory,
            "operations": found.foretold.operations,
        }
        print(name, rows[name], flush=True)
        within = np.mean([abs(row["ratio"] - 1) <= 0.25 for row in rows.values()])
        how = {"share_within_a_quarter": float(within), "rows": rows}
        record("cost", asdict(config), **how)


if __name__ == "__main__":
    main(tyro.cli(Config))
