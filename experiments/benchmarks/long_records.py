"""Memory of simulation by the length of a record and the size of an ensemble.

    python experiments/benchmarks/long_records.py

A model of Burgers flow is given force from a file and simulates records of more and
more windows, into a Zarr store or into memory, and more and more members of a single
window. Each measurement has a process of its own. What the device holds is counted at
every batch: the bytes of all arrays of JAX. A call of a single batch comes first, so
that peaks have the compiled program and all libraries in common.
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr

import wdno
from wdno.inference import batching
from wdno.systems import Burgers
from wdno.trajectory import open_trajectories

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

MODEL = "burgers-simulation"


@dataclass(frozen=True)
class Config:
    """How long and how many.

    Attributes:
        windows: of a record, written as they come.
        in_memory: of a record that is kept in memory, for comparison.
        members: of an ensemble of one window.
        samples: trajectories of a record.
        batch_size: of all calls.
    """

    windows: tuple[int, ...] = (8, 64, 512)
    in_memory: tuple[int, ...] = (8, 64, 512)
    members: tuple[int, ...] = (4, 64, 512)
    samples: int = 16
    batch_size: int = 64
    seed: int = 0


def main(config: Config) -> None:
    """Measure and print, and store what there is after each."""
    how = (config.samples, config.batch_size, config.seed)
    measures = [("stored", by_windows, n, True) for n in config.windows]
    measures += [("in_memory", by_windows, n, False) for n in config.in_memory]
    measures += [("members", by_members, n) for n in config.members]
    found: dict[str, dict[str, Any]] = {}
    for kind, measure, number, *rest in measures:
        peak = alone(measure, number, *rest, *how)
        found.setdefault(kind, {})[str(number)] = peak
        path = record("long_records", asdict(config), mebibytes=found)
    print(path)


def alone(measure: Callable, *arguments: Any) -> dict[str, float]:
    """What a process of its own measures."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        found = process.submit(measure, *arguments).result()
    print(measure.__name__, *arguments, found, flush=True)
    return found


def by_windows(
    count: int, stored: bool, samples: int, batch_size: int, seed: int
) -> dict[str, float]:
    """Memory of a record of so many windows."""
    model, system = wdno.load(MODEL), Burgers()
    truth = system.trajectories(jax.random.key(seed), samples)
    how = {"batch_size": batch_size, "key": jax.random.key(seed)}
    start = truth.u.isel(time=0, drop=True)
    with tempfile.TemporaryDirectory() as folder:
        force = written(truth, count * model.window, Path(folder) / "force.zarr")

        def run(frames: int, name: str) -> None:
            out = {"out": Path(folder) / name} if stored else {}
            wdno.simulate(model, start, force, frames=frames, **how, **out)

        return peaks(
            lambda: run(model.window, "first.zarr"),
            lambda: run(count * model.window, "whole.zarr"),
        )


def by_members(
    members: int, samples: int, batch_size: int, seed: int
) -> dict[str, float]:
    """Memory of an ensemble of so many members."""
    model = wdno.load(MODEL)
    truth = Burgers().over(model.window).trajectories(jax.random.key(seed), samples)
    how = {"batch_size": batch_size, "key": jax.random.key(seed)}
    start = truth.u.isel(time=0, drop=True)
    few = batch_size // samples
    return peaks(
        lambda: wdno.simulate(model, start, truth.f, members=few, **how),
        lambda: wdno.simulate(model, start, truth.f, members=members, **how),
    )


def written(truth: xr.Dataset, frames: int, path: Path) -> xr.DataArray:
    """Forces over so many frames, those of the truth again and again, in a store."""
    store = wdno.trajectory.GrowingStore(path, {})
    step = float(truth.time[1])
    time = xr.DataArray(step * np.arange(frames), dims="time")
    acting = truth[["f"]].isel(time=slice(-1)).drop_vars("time")
    rows = acting.sizes["time"]
    for first in range(0, frames, rows):
        part = acting.isel(time=slice(min(rows, frames - first)))
        if first:
            store.write(part)
        else:
            block = part.assign_coords(time=time[: part.sizes["time"]])
            store.begin(block, time)
    store.finish()
    return open_trajectories(path).f


def peaks(first: Callable[[], Any], whole: Callable[[], Any]) -> dict[str, float]:
    """MiB at most of the process, and of what the device holds at a batch."""
    first()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held, bring = [0], batching.on_device

    def counted(*arguments: Any) -> Any:
        known = bring(*arguments)
        held.append(sum(array.nbytes for array in jax.live_arrays()))
        return known

    batching.on_device = counted
    whole()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "after one batch": round(before / 2**10, 1),
        "peak": round(after / 2**10, 1),
        "on the device": round(max(held) / 2**20, 2),
    }


if __name__ == "__main__":
    main(tyro.cli(Config))
