"""How far beyond its training grid does the refiner carry a simulation of Burgers flow?

A forecast on the training grid, or a cheap run of the solver, is doubled three times
and compared with the reference solution on the finest grid: everything is interpolated
to that grid, linearly as in WDNO's table 16, the forecast also by nearest and cubic
rules. What a doubling changes is told by differences trajectory by trajectory. Rivals:
the base model run on the finer grids, and the refiner without wavelets.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro
import xarray as xr
from _control import interval
from _results import record
from scipy.interpolate import interp1d
from tqdm import tqdm

import wdno
from wdno import metrics
from wdno.systems import Burgers
from wdno.trajectory import coarsen

POINTS, FRAMES = 120, 80
"""Of the training grid."""
LEVELS = (1, 2, 4, 8)
"""Ratios of the grids to the training grid."""
GROUP = 16
"""Trajectories that are compared at a time, which bounds the memory."""


@dataclass(frozen=True)
class Config:
    """Which models, on how many trajectories."""

    base: str = "burgers-simulation"
    refiner: str = "burgers-refinement"
    rival: Path = Path("runs/refinement-lazy/model")
    samples: int = 64
    seed: int = 50_000


class Models(NamedTuple):
    """What is compared; the rival only where it has been trained."""

    base: wdno.WDNO
    refiner: wdno.WDNO
    rival: wdno.WDNO | None


class Row(NamedTuple):
    """What one kind of states on one grid was worth."""

    errors: dict[str, np.ndarray]
    """By rule of interpolation, a number a trajectory; "change" is the linear one less
    that of the coarse states."""
    seconds: float
    """Per trajectory."""
    memory: float
    """Peak of the process until then, in GiB."""


Rows = dict[tuple[str, str], Row]
"""By what was done and on which grid."""


def interpolated(u: xr.DataArray, like: xr.DataArray, kind: str) -> xr.DataArray:
    """States on the grid of others; beyond the last point is the wall, u = 0."""
    u = u.transpose("sample", "time", "x").pad(x=(0, 1), constant_values=0.0)
    ratio = (like.sizes["time"] - 1) // (u.sizes["time"] - 1)
    values = interp1d(like.time[::ratio], u, kind, axis=1)(like.time)
    positions = [*like.x.values[::ratio], 1.0]
    return like.copy(data=interp1d(positions, values, kind, axis=2)(like.x))


def system(ratio: float) -> Burgers:
    """The solver on a grid finer than that of training, or coarser."""
    return Burgers(points=int(POINTS * ratio), frames=int(FRAMES * ratio))


def compared(models: Models, key: jax.Array) -> Rows:
    """All kinds of states against the solution, on a group of trajectories."""
    truth = system(8).trajectories(key, GROUP)
    rows: Rows = {}

    def inputs(ratio: float) -> tuple[xr.DataArray, xr.DataArray]:
        part = coarsen(truth, int(8 / ratio))
        return part.u.isel(time=0), part.f

    def measure(
        arm: str,
        name: str,
        states: Callable[[], xr.Dataset],
        kinds: tuple[str, ...] = ("linear",),
        before: np.ndarray | None = None,
    ) -> tuple[xr.Dataset, np.ndarray]:
        """Note a row; returns the states and their linearly interpolated errors."""
        begin = time.perf_counter()
        found = states()
        seconds = (time.perf_counter() - begin) / GROUP
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        later = metrics.exclude_initial
        errors = {
            kind: metrics.mse(
                later(interpolated(found.u, truth.u, kind)), later(truth.u)
            ).values
            for kind in kinds
        }
        if before is not None:
            errors["change"] = errors["linear"] - before
        rows[arm, name] = Row(errors, seconds, peak)
        return found, errors["linear"]

    def doublings(
        arm: str,
        model: wdno.WDNO,
        start: float,
        coarse: xr.Dataset,
        error: np.ndarray,
    ) -> None:
        """Every finer grid, from the coarse states of a grid and their errors."""
        for level in (level for level in LEVELS if level > start):

            def refined(level=level) -> xr.Dataset:
                factor = int(level / start)
                how = {"factor": factor, "batch_size": GROUP, "key": key}
                return wdno.super_resolve(model, coarse, *inputs(level), **how)

            _, error = measure(arm, f"x{level}", refined, before=error)

    base, refiner, rival = models
    forecast = measure(
        "base, interpolated",
        "x1",
        lambda: wdno.simulate(base, *inputs(1), key=key),
        ("nearest", "linear", "cubic"),
    )
    doublings("base, then refiner", refiner, 1, *forecast)
    if rival is not None:
        doublings("refiner without wavelets", rival, 1, *forecast)
    for level in LEVELS[1:]:
        finer = base.on((base.window, level * POINTS))
        measure(
            "base on the grid itself",
            f"x{level}",
            lambda level=level, finer=finer: wdno.simulate(
                finer, *inputs(level), batch_size=GROUP, key=key
            ),
        )
    for ratio in (0.5, 1):
        cheap = measure(
            "solver alone", f"x{ratio}", lambda r=ratio: system(r).run(*inputs(r))
        )
        doublings(f"solver x{ratio}, then refiner", refiner, ratio, *cheap)
    for ratio in (2, 4):
        measure("solver alone", f"x{ratio}", lambda r=ratio: system(r).run(*inputs(r)))
    return rows


def pooled(groups: list[Rows]) -> dict[str, dict[str, dict]]:
    """Means with intervals over all trajectories, by what was done and by grid.

    Seconds are the least over groups, since the first one compiles; memory is that of
    the first, before what comes later has been seen.
    """
    results: dict[str, dict[str, dict]] = {}
    for arm, name in groups[0]:
        rows = [rows[arm, name] for rows in groups]
        entry: dict = {
            "seconds_per_trajectory": min(row.seconds for row in rows),
            "peak_memory_gib": round(rows[0].memory, 2),
        }
        for kind in rows[0].errors:
            entry[kind] = interval(np.concatenate([row.errors[kind] for row in rows]))
        results.setdefault(arm, {})[name] = entry
    return results


def main(config: Config) -> None:
    """Refine, compare, print and store."""
    if config.samples % GROUP:
        raise ValueError(
            f"Trajectories are compared in groups of {GROUP}, but samples is "
            f"{config.samples}. Ask for a multiple."
        )
    models = Models(
        wdno.load(config.base),
        wdno.load(config.refiner),
        wdno.load(config.rival) if config.rival.exists() else None,
    )
    groups = []
    for group in tqdm(range(config.samples // GROUP), desc="groups"):
        key = jax.random.fold_in(jax.random.key(config.seed), group)
        groups.append(compared(models, key))
        record("super_resolution", asdict(config), **pooled(groups))
    for arm, rows in pooled(groups).items():
        for name, row in rows.items():
            print(f"{arm:26s}{name:6s}", row)


if __name__ == "__main__":
    main(tyro.cli(Config))
