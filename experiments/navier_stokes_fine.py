"""What is a network of tokens on 1,024 cells worth, beside what else gets there?

Shock tubes that no training has seen. `navier-stokes-fine` begins with a run of the
solver on 128 cells and corrects all 1,024 at once. Rivals are a linear map of the
initial state, the solver on 128, 256 and 512 cells, and forecasts of models of 128
cells, parted by parabolas or halved three times by `navier-stokes-refinement`.

    python experiments/navier_stokes_fine.py --data gas.nc [--model runs/fine/model]
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr
from _cells import FINEST, on_cells
from _control import interval
from _results import amend
from jaxtyping import Float
from navier_stokes_refinement import COARSEST, doubled, over_cells

import wdno
from wdno.systems import CompressibleNavierStokes, generate
from wdno.systems.compressible import OnFewerCells, conserved, primitive
from wdno.trajectory import open_trajectories

SYSTEM = CompressibleNavierStokes(points=FINEST)
STATES = SYSTEM.state
Forecast = Callable[[xr.Dataset], xr.Dataset]
"""(initial state on the finest grid) -> the record on it."""


@dataclass(frozen=True)
class Config:
    """Which models, on how many trajectories."""

    data: Path
    """Trajectories that the linear map is fitted to."""
    model: str = "navier-stokes-fine"
    coarse: tuple[str, ...] = ("navier-stokes-shock", "navier-stokes-correction")
    refiner: str = "navier-stokes-refinement"
    fitted: int = 640
    ridges: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    """Of the linear map, in units of the mean square of what it sees."""
    samples: int = 128
    group: int = 16
    """Trajectories that are compared at a time."""
    seed: int = 31_000
    truth: Path = Path("runs/fine-truth.nc")
    only: tuple[str, ...] = ("",)
    """How the names of what is measured now begin; all by default."""


class LinearForecast:
    """The record as a linear map of the initial state, by ridge in its dual form.

    The ridge is chosen on the last eighth of the trajectories.
    """

    def __init__(self, records: xr.Dataset, ridges: tuple[float, ...]) -> None:
        """Fit to records."""
        self.records = records
        self.seen = self._initial(records.isel(time=0))
        kept = len(self.seen) // 8
        errors = [self._error(ridge, kept) for ridge in ridges]
        self.ridge = ridges[int(np.argmin(errors))]

    def __call__(self, initial: xr.Dataset) -> xr.Dataset:
        """The records that follow."""
        weights = self._weights(self._initial(initial), len(self.seen), self.ridge)
        return self._combined(weights).assign_coords(initial.coords)

    def _initial(self, state: xr.Dataset) -> Float[np.ndarray, "sample feature"]:
        parts = [state[name].values for name in STATES]
        return np.concatenate([*parts, np.ones_like(parts[0][:, :1])], axis=1)

    def _weights(
        self, asked: Float[np.ndarray, "sample feature"], count: int, ridge: float
    ) -> Float[np.ndarray, "sample record"]:
        """Of the first so many records: K (K + λ)⁻¹."""
        seen = self.seen[:count].astype(float)
        gram = seen @ seen.T
        gram += ridge * np.trace(gram) / count * np.eye(count)
        return np.linalg.solve(gram, seen @ asked.T.astype(float)).T

    def _combined(self, weights: Float[np.ndarray, "sample record"]) -> xr.Dataset:
        def sums(name: str) -> Float[np.ndarray, "sample time x"]:
            values = self.records[name].values[: weights.shape[1]]
            return np.tensordot(weights.astype(values.dtype), values, 1)

        dims = ("sample", "time", "x")
        found = {name: (dims, sums(name)) for name in STATES}
        coords = {name: self.records[name] for name in ("time", "x")}
        return xr.Dataset(found, coords)

    def _error(self, ridge: float, kept: int) -> float:
        count = len(self.seen) - kept
        found = self._combined(self._weights(self.seen[count:], count, ridge))
        truth = self.records.isel(sample=slice(count, None))
        pairs = ((found[name].values, truth[name].values) for name in STATES)
        return float(np.mean([np.square(ours - right).mean() for ours, right in pairs]))


def persistence(initial: xr.Dataset) -> xr.Dataset:
    """The initial state for ever."""
    return initial.expand_dims(time=SYSTEM.coords["time"], axis=1)


def solved(initial: xr.Dataset, cells: int) -> xr.Dataset:
    """The solver on so many cells, parted by straight lines."""
    few = OnFewerCells(CompressibleNavierStokes(points=cells), FINEST // cells)
    start = {f"{name}0": initial[name].values for name in STATES}
    later = jax.block_until_ready(few.solve(start))
    dims = ("sample", "time", "x")
    found = xr.Dataset({n: (dims, np.asarray(later[n])) for n in STATES})
    times = SYSTEM.coords["time"]
    parts = [initial.expand_dims(time=times[:1], axis=1)[list(STATES)]]
    parts.append(found.assign_coords(time=times[1:], x=initial.x))
    return xr.concat(parts, "time", coords="minimal", compat="override")


def simulated(initial: xr.Dataset, model: wdno.WDNO, steps: int) -> xr.Dataset:
    """One sample of a model, windows chained; without a step its mean."""
    frames = SYSTEM.frames
    key = jax.random.key(0)
    return wdno.simulate(model, initial, frames=frames, steps=steps, key=key)


def coarsely(initial: xr.Dataset, model: wdno.WDNO) -> xr.Dataset:
    """A forecast on 128 cells, in what is conserved."""
    start = primitive(over_cells(conserved(initial), COARSEST))
    return conserved(simulated(start, model, steps=1))


def parted(initial: xr.Dataset, model: wdno.WDNO) -> xr.Dataset:
    """A forecast on 128 cells, parted by parabolas."""
    return primitive(on_cells(coarsely(initial, model), FINEST))


def refined(initial: xr.Dataset, model: wdno.WDNO, refiner: wdno.WDNO) -> xr.Dataset:
    """A forecast on 128 cells, whose cells are halved three times."""
    flow, start = coarsely(initial, model), conserved(initial)
    while flow.sizes["x"] < FINEST:
        flow = doubled(refiner, flow, start)
    return primitive(flow)


def forecasts(config: Config) -> dict[str, Callable[[], Forecast]]:
    """Makers of all that is compared, by name."""

    def linear() -> Forecast:
        data = open_trajectories(config.data).isel(sample=slice(config.fitted)).load()
        return LinearForecast(data, config.ridges)

    def by(way: Any, name: str, **more: Any) -> Forecast:
        return partial(way, model=wdno.load(name), **more)

    found: dict[str, Callable[[], Forecast]] = {
        "persistence": lambda: persistence,
        "linear map": linear,
    }
    for cells in (128, 256, 512):
        found[f"solver, {cells} cells"] = partial(partial, solved, cells=cells)
    for name in config.coarse:
        found[f"`{name}`, parabolas"] = partial(by, parted, name)
    for steps, label in ((0, "mean"), (1, "1 call")):
        found[f"tokens, {label}"] = partial(by, simulated, config.model, steps=steps)
    for name in config.coarse:
        refiner = wdno.load(config.refiner)
        found[f"`{name}`, refined"] = partial(by, refined, name, refiner=refiner)
    return found


def squares(found: xr.Dataset, truth: xr.Dataset) -> Float[np.ndarray, "sample state"]:
    """Mean squared errors at t > 0."""
    dims = ("sample", "time", "x")
    pairs = (
        (found[name].transpose(*dims).values, truth[name].transpose(*dims).values)
        for name in STATES
    )
    parts = [np.square(a[:, 1:] - b[:, 1:]).mean(axis=(1, 2)) for a, b in pairs]
    return np.stack(parts, axis=1)


def main(config: Config) -> None:
    """Compare way by way, print and store; rows of other ways stay."""
    truth = kept_truth(config)
    for name, made in forecasts(config).items():
        if config.only and not name.startswith(config.only):
            continue
        forecast, parts, seconds = made(), [], []
        for begin in range(0, config.samples, config.group):
            group = truth.isel(sample=slice(begin, begin + config.group)).load()
            initial = group.isel(time=0, drop=True)
            if not begin:
                forecast(initial)  # compiles
            started = time.process_time()
            found = forecast(initial)
            seconds.append((time.process_time() - started) / config.group)
            parts.append(squares(found, group))
        row = summary(np.concatenate(parts), min(seconds))
        print(f"{name:40s}", row, flush=True)
        on = {"samples": config.samples, "seed": config.seed}
        amend("navier_stokes_fine", "forecasts", name, on | row)


def kept_truth(config: Config) -> xr.Dataset:
    """Solved once; ways that are compared later are judged by the same."""
    return xr.open_dataset(
        generate(SYSTEM, config.truth, config.samples, config.seed, config.group)
    )


def summary(rows: Float[np.ndarray, "sample state"], seconds: float) -> dict[str, Any]:
    """Means with intervals over trajectories; least processor seconds over groups."""
    by_state = dict(zip(STATES, map(interval, rows.T), strict=True))
    return {
        "mse": interval(rows.mean(axis=1)),
        "median": float(f"{np.median(rows.mean(axis=1)):.3g}"),
        **by_state,
        "processor_seconds": float(f"{seconds:.3g}"),
    }


if __name__ == "__main__":
    main(tyro.cli(Config))
