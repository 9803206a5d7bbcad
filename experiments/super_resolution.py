"""How far beyond its training grid does the refiner carry a simulation of Burgers flow?

A forecast on the training grid, or a cheap run of the solver, is doubled three times,
and compared with the reference solution on the finest grid: everything is interpolated
to that grid, linearly as in WDNO's table 16, and also by nearest and cubic rules.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import jax
import tyro
import xarray as xr
from _results import record
from scipy.interpolate import interp1d

import wdno
from wdno import metrics
from wdno.systems import Burgers
from wdno.trajectory import coarsen

LEVELS = (1, 2, 4, 8)
"""Ratios of the grids to the training grid."""


@dataclass(frozen=True)
class Config:
    """Which models, on how many trajectories."""

    base: str = "burgers-simulation"
    refiner: str = "burgers-refinement"
    rival: str = "runs/refinement-lazy/model"
    samples: int = 64
    seed: int = 50_000


def interpolated(u: xr.DataArray, like: xr.DataArray, kind: str) -> xr.DataArray:
    """States on the grid of others; beyond the last point lies the wall, where u = 0."""
    u = u.transpose("sample", "time", "x").pad(x=(0, 1), constant_values=0.0)
    values = interp1d(like.time[:: _ratio(like, u)], u, kind, axis=1)(like.time)
    positions = [*like.x.values[:: len(like.x) // (u.sizes["x"] - 1)], 1.0]
    return like.copy(data=interp1d(positions, values, kind, axis=2)(like.x))


def _ratio(fine: xr.DataArray, coarse: xr.DataArray) -> int:
    return (fine.sizes["time"] - 1) // (coarse.sizes["time"] - 1)


def main(config: Config) -> None:
    """Refine, compare, print and store."""
    finest = Burgers(points=960, frames=640)
    truth = finest.trajectories(jax.random.key(config.seed), config.samples)
    on_grid = {level: coarsen(truth, 8 // level) for level in LEVELS}
    inputs = {n: (part.u.isel(time=0), part.f) for n, part in on_grid.items()}
    key = jax.random.key(config.seed + 1)

    def error(u: xr.DataArray, kind: str = "linear") -> list[float]:
        whole = interpolated(u, truth.u, kind)
        values = metrics.mse(*map(metrics.exclude_initial, (whole, truth.u)))
        return [float(part) for part in metrics.bootstrap_interval(values)]

    def measured(states: Callable[[], xr.Dataset], kinds=("linear",)) -> dict:
        """Errors on the finest grid, seconds of a second call, memory until then."""
        states()
        begin = time.perf_counter()
        u = states().u
        seconds = (time.perf_counter() - begin) / config.samples
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row = {kind: error(u, kind) for kind in kinds}
        row |= {"seconds_per_trajectory": seconds, "peak_memory_gib": peak}
        print({k: v if isinstance(v, float) else v[0] for k, v in row.items()}, flush=True)
        return row

    def refined(model: wdno.WDNO, coarse: xr.Dataset, factor: int) -> xr.Dataset:
        level = factor * coarse.sizes["x"] // 120
        return wdno.super_resolve(
            model, coarse, *inputs[level], factor=factor, batch_size=16, key=key
        )

    base, refiner = wdno.load(config.base), wdno.load(config.refiner)
    forecast = wdno.simulate(base, *inputs[1], key=key)
    kinds = ("nearest", "linear", "cubic")
    results = {"1": measured(lambda: wdno.simulate(base, *inputs[1], key=key), kinds)}
    for level in LEVELS[1:]:
        results[str(level)] = measured(partial(refined, refiner, forecast, level))
    print(record("super_resolution", asdict(config), base_then_refiner=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
