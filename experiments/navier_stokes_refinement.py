"""What is halving the cells of shock tubes worth, once and again, beside rivals?

Trajectories that no training has seen are solved on 1,024 cells. Refined are their
means over 128 cells, a run of the solver on 128 cells and a forecast of `navier-stokes-
correction`: by rules, a linear map, the shipped model and the same without wavelets, to
256, 512 and 1,024 cells. All is compared on 1,024 cells, in density, momentum and
energy; what has fewer is parted by parabolas, so that a doubling pays only if it beats
these. The solver on finer grids, from the same initial means, is the other way to more
cells.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
import xarray as xr
from _cells import FIELDS, FINEST, RULES, LinearMap, finest, on_cells
from _control import interval
from _pair import pair, trained
from _results import RESULTS, record
from tqdm import tqdm

import wdno
from wdno.plotting.style import (
    CURVES,
    INK,
    TRUTH,
    decimal_ticks,
    finish,
    new_figure,
    save,
)
from wdno.systems import CompressibleNavierStokes
from wdno.systems.compressible import conserved, primitive

COARSEST = 128
GRIDS = (256, 512, 1024)
GROUP = 16
"""Trajectories that are compared at a time, which bounds the memory."""
PICTURE = Path("docs/pictures/navier_stokes_refinement.png")


@dataclass(frozen=True)
class Config:
    """Which models, on how many trajectories."""

    model: str = "navier-stokes-refinement"
    pair: Path = Path("runs/gas-pair")
    """Folder of `_pair`, with and without wavelets; left out where there is none."""
    correction: str = "navier-stokes-correction"
    data: Path = Path("runs/gas/data/80000-000.nc")
    """Training trajectories, of which the linear map is fitted."""
    only: tuple[str, ...] = ()
    """Ways to double that are measured anew; all else stays as it is stored. Empty for
    all."""
    samples: int = 64
    seed: int = 30_000
    sample: int = 3
    frame: int = 60
    """Of the picture."""


class Row(NamedTuple):
    """What one way to a grid was worth, a number a trajectory."""

    errors: dict[str, np.ndarray]
    seconds: float
    """Per trajectory."""
    least_pressure: float


Rows = dict[tuple[str, str, int], Row]
"""By what was refined, how, and the cells."""
Double = Callable[[xr.Dataset, xr.Dataset], xr.Dataset]
"""(record, initial state on the finest grid) -> the record on twice the cells."""


def over_cells(flow: xr.Dataset, cells: int) -> xr.Dataset:
    """Means over so many cells, of records and of single states."""
    return flow.coarsen(x=flow.sizes["x"] // cells).mean(keep_attrs=True)


def solved(initial: xr.Dataset, cells: int) -> xr.Dataset:
    """The solver on so many cells."""
    start = primitive(over_cells(initial, cells))
    return conserved(CompressibleNavierStokes(points=cells).run(start))


def corrected(initial: xr.Dataset, model: wdno.WDNO) -> xr.Dataset:
    """A forecast of the model that corrects the solver on 128 cells."""
    start = primitive(over_cells(initial, COARSEST))
    found = wdno.simulate(model, start, frames=100, key=jax.random.key(0))
    return conserved(found)


def doubled(model: wdno.WDNO, flow: xr.Dataset, initial: xr.Dataset) -> xr.Dataset:
    """A doubling by a refiner."""
    start = over_cells(initial, 2 * flow.sizes["x"])
    key = jax.random.key(0)
    return wdno.super_resolve(model, flow, start, batch_size=GROUP, key=key)


def scored(found: xr.Dataset, truth: xr.Dataset, seconds: float) -> Row:
    """Mean squared errors at t > 0, on the finest grid and on the grid itself."""
    cells = found.sizes["x"]
    later = slice(1, None)

    def error(flow: xr.Dataset, right: xr.Dataset) -> dict[str, np.ndarray]:
        flow = flow[list(FIELDS)].assign_coords(right.coords)  # equal up to rounding
        square = np.square(flow - right).isel(time=later)
        by_field = square.mean(["time", "x"])
        return {name: by_field[name].values for name in FIELDS}

    parts = error(on_cells(found, FINEST), truth)
    own = error(found, over_cells(truth, cells))
    errors = parts | {
        "mse": np.mean([*parts.values()], axis=0),
        "own_grid": np.mean([*own.values()], axis=0),
    }
    least = float(primitive(found).pressure.min())
    return Row(errors, seconds / truth.sizes["sample"], least)


def compared(
    doublings: dict[str, Double], correction: wdno.WDNO, key: jax.Array
) -> tuple[Rows, dict[str, xr.Dataset]]:
    """All ways to all grids on a group of trajectories, and what comes out."""
    truth = finest(key, GROUP)
    initial = truth.isel(time=0, drop=True)
    rows: Rows = {}
    shown = {"truth": truth}

    def measure(
        of: str, how: str, made: Callable[[], xr.Dataset], before: Row | None = None
    ) -> tuple[xr.Dataset, Row]:
        begin = time.perf_counter()
        found = made()
        row = scored(found, truth, time.perf_counter() - begin)
        if before is not None:
            row.errors["change"] = row.errors["mse"] - before.errors["mse"]
        rows[of, how, found.sizes["x"]] = row
        shown[f"{of}, {how}, {found.sizes['x']}"] = found
        return found, row

    coarse = {
        "means of the truth": lambda: over_cells(truth, COARSEST),
        "solver": lambda: solved(initial, COARSEST),
        "correction": lambda: corrected(initial, correction),
    }
    for of, made in coarse.items():
        start, first = measure(of, "as it is", made)
        for name, rule in RULES.items():
            measure(of, name, partial(on_cells, start, FINEST, rule))
        for how, double in doublings.items():
            found, row = start, first
            for _ in GRIDS:
                found, row = measure(of, how, partial(double, found, initial), row)
    for cells in GRIDS:
        measure("solver", "solver itself", partial(solved, initial, cells))
    return rows, shown


def pooled(groups: list[Rows]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Means with intervals over all trajectories; seconds are the least over groups."""
    results: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for of, how, cells in groups[0]:
        rows = [rows[of, how, cells] for rows in groups]
        entry: dict[str, Any] = {
            name: interval(np.concatenate([row.errors[name] for row in rows]))
            for name in rows[0].errors
        }
        entry["seconds"] = float(f"{min(row.seconds for row in rows):.3g}")
        entry["least_pressure"] = round(min(row.least_pressure for row in rows), 4)
        results.setdefault(of, {}).setdefault(how, {})[str(cells)] = entry
    return results


def picture(
    results: dict[str, Any], shown: dict[str, xr.Dataset], config: Config
) -> None:
    """Density around the steepest place as cells are halved, and errors by cells."""
    place = {"sample": config.sample, "time": config.frame}
    right = shown["truth"].density.isel(place)
    centre = float(right.x[int(np.abs(np.diff(right.values)).argmax())])
    figure = new_figure(11.0, 4.4)
    left, axis = figure.subplots(1, 2)
    left.plot(right.x, right, color=TRUTH, lw=1.6, label="solver, 1,024 cells")
    of = "means of the truth"
    curves = {
        "means over 128 cells": (f"{of}, as it is, 128", CURVES[5]),
        "parabolas, 1,024": (f"{of}, parabolas, 1024", CURVES[1]),
        "navier-stokes-refinement, 1,024": (f"{of}, model, 1024", CURVES[0]),
    }
    for label, (name, colour) in curves.items():
        u = shown[name].density.isel(place)
        left.step(u.x, u, where="mid", color=colour, lw=1.2, label=label)
    left.set_xlim(centre - 0.12, centre + 0.12)
    near = right.where(abs(right.x - centre) < 0.12, drop=True)
    margin = 0.15 * float(near.max() - near.min())
    left.set_ylim(float(near.min()) - margin, float(near.max()) + margin)
    finish(left, "x", "density", f"Around a front, t = {float(right.time):.2f}")
    left.legend(frameon=False, fontsize=8)
    arms = {
        "means of the truth": CURVES[0],
        "correction": CURVES[2],
        "solver": CURVES[1],
    }
    for of, colour in arms.items():
        found = {COARSEST: results[of]["as it is"][str(COARSEST)]}
        found |= {cells: results[of]["model"][str(cells)] for cells in GRIDS}
        values = np.array([row["mse"] for row in found.values()])
        bars = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        label = f"{of} on 128 cells, refined"
        how = {"color": colour, "marker": "o", "label": label}
        axis.errorbar([*found], values[:, 0], bars, **how)
    alone = results["solver"]["solver itself"]
    cells = [*GRIDS[:-1]]
    errors = [alone[str(n)]["mse"][0] for n in cells]
    axis.plot(cells, errors, "s", color=INK, label="solver on that grid")
    axis.set(xscale="log", yscale="log", xticks=[128, *GRIDS])
    finish(axis, "cells", "mean squared error on 1,024 cells", "Error by doublings")
    decimal_ticks(axis)
    axis.legend(frameon=False, fontsize=8)
    save(figure, PICTURE)


def merged(results: dict[str, Any], only: tuple[str, ...]) -> dict[str, Any]:
    """Results with those that are stored of all that was not measured anew."""
    path = RESULTS / "navier_stokes_refinement.json"
    if not (only and path.exists()):
        return results
    stored = json.loads(path.read_text())["coarse"]
    return {
        of: arms | {how: results[of][how] for how in only}
        for of, arms in stored.items()
    }


def main(config: Config) -> None:
    """Refine, compare, print and store."""
    if config.samples % GROUP:
        raise ValueError(
            f"Trajectories are compared in groups of {GROUP}, but samples is "
            f"{config.samples}. Ask for a multiple."
        )
    fitted = LinearMap([xr.load_dataset(config.data)])
    doublings: dict[str, Double] = {
        "linear map": lambda flow, _: fitted(flow),
        "model": partial(doubled, wdno.load(config.model)),
    }
    doublings |= {n: partial(doubled, arm) for n, arm in pair(config.pair).items()}
    if config.only:
        doublings = {name: doublings[name] for name in config.only}
    correction = wdno.load(config.correction)
    groups, first = [], {}
    for group in tqdm(range(config.samples // GROUP), desc="groups"):
        key = jax.random.fold_in(jax.random.key(config.seed), group)
        rows, shown = compared(doublings, correction, key)
        groups.append(rows)
        first = first or shown
        results = merged(pooled(groups), config.only)
        how = asdict(config) | {"compared": GROUP * len(groups)}
        parts = {"pair": trained(config.pair), "coarse": results}
        record("navier_stokes_refinement", how, **parts)
        if "model" in doublings:
            picture(results, first, config)
    for of, arms in merged(pooled(groups), config.only).items():
        for how, rows in arms.items():
            for cells, row in rows.items():
                print(f"{of:20s}{how:18s}{cells:6s}", row)


if __name__ == "__main__":
    main(tyro.cli(Config))
