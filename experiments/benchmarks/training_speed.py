"""Seconds of the training loop on sets in memory and in files, beside updates alone.

    python experiments/benchmarks/training_speed.py

The model is that of Burgers flow, of whole fields. Seconds are those of the clock and
those of all threads of the process, which change less when a machine has other work.
"""

import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from flax import nnx
from larger_than_memory import GRID, RECIPE, written

from wdno import WDNO
from wdno._typing import Loss
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.loop import Run, TrainingConfig, fit, train_step
from wdno.training.loss import training_loss
from wdno.training.pending import Pending, Step
from wdno.trajectory import open_trajectories

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

Clocks = tuple[float, float]
CLOCKS = ("by the clock", "by processor time")
CONFIG = TrainingConfig(steps=1)
WARM_UP = 5
"""Updates before a measurement: the first of them compile."""


@dataclass(frozen=True)
class Config:
    """How much and how often.

    Attributes:
        gigabytes: size of the set, which fits into memory.
        updates: of each measurement.
        repeats: of these, in turn; the median is kept.
        folder: for the files, which are removed; a temporary one by default.
    """

    gigabytes: float = 0.25
    updates: int = 15
    repeats: int = 3
    seed: int = 0
    folder: Path | None = None


def main(config: Config) -> None:
    """Measure each in turn, print, and store what there is after every turn."""
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        datasets = sources(Path(folder), config)
        batches = {
            n: WindowBatches(d, RECIPE, config.seed) for n, d in datasets.items()
        }
        memory = batches["memory"]
        model = build_model(RECIPE, datasets["memory"], memory)
        loss = training_loss(model, RECIPE.noise.distribution())
        measures = {"updates alone": partial(updates, model, loss, memory)}
        for name, source in batches.items():
            measures[name] = partial(looped, model, loss, source)
        measures["memory, waiting"] = partial(measures["memory"], log_every=0.0)
        reads = {name: reading(source) for name, source in batches.items()}
        seconds: dict[str, list[Clocks]] = {name: [] for name in measures}
        for _ in range(config.repeats):
            for name, measure in measures.items():
                seconds[name].append(measure(config.updates))
                print(name, seconds[name][-1], flush=True)
            found = {
                "processor_seconds_to_read_a_batch": reads,
                "seconds_an_update": seconds,
                "share_in_update": beside("updates alone", seconds),
                "speed_beside_memory": beside("memory", seconds),
            }
            print(record("training_speed", asdict(config), **found))


def sources(folder: Path, config: Config) -> dict[str, xr.Dataset]:
    """The same trajectories in memory and in files."""
    how = (config.gigabytes, config.seed)
    plain = open_trajectories(written(folder / "plain.nc", *how))
    packed = written(folder / "packed.nc", *how, compression="zlib", complevel=1)
    # As `wdno data` writes stores: each sample is compressed by itself.
    pieces = {"chunks": (1, *GRID.values()), "shards": (64, *GRID.values())}
    plain = plain.drop_encoding()
    plain.to_zarr(folder / "data.zarr", encoding={"u": pieces, "f": pieces})
    return {
        "memory": plain.copy().load(),
        "NetCDF": plain,
        "NetCDF, compressed": open_trajectories(packed),
        "Zarr, compressed": open_trajectories(folder / "data.zarr"),
    }


def beside(other: str, seconds: dict[str, list[Clocks]]) -> dict[str, dict[str, float]]:
    """How fast each is by its medians, in units of one of them."""
    median = {name: np.median(values, axis=0) for name, values in seconds.items()}
    return {
        name: dict(zip(CLOCKS, (median[other] / each).round(3).tolist(), strict=True))
        for name, each in median.items()
    }


def clocks() -> Clocks:
    """Seconds since whenever, on the wall and of all threads of the process."""
    return time.perf_counter(), time.process_time()


def updates(model: WDNO, loss: Loss, batches: WindowBatches, count: int) -> Clocks:
    """Seconds of one update on a batch that is there."""
    run, batch = Run(model.denoiser.backbone.thaw(), CONFIG), batches(0)
    update = nnx.jit(train_step, static_argnames="loss")
    rate, key = jnp.float32(1e-3), jax.random.key(0)
    pending, ticks = Pending(), [clocks()]
    for step in range(WARM_UP + count):
        metrics = update(run, loss=loss, batch=batch, rate=rate, key=key)
        pending.add(Step(step, 0, metrics))
        pending.wait()
        ticks.append(clocks())
    return each(ticks, count)


def looped(
    model: WDNO,
    loss: Loss,
    batches: WindowBatches,
    count: int,
    log_every: float = 1.0,
) -> Clocks:
    """Seconds of one step of the training loop, which asks for the time at each."""
    config = replace(CONFIG, steps=WARM_UP + count, log_every=log_every)
    ticks: list[Clocks] = []

    def clock() -> float:
        ticks.append(clocks())
        return ticks[-1][0]

    with tempfile.TemporaryDirectory() as folder:
        network = model.denoiser.backbone.thaw()
        fit(network, loss, batches, config, folder, clock=clock)
    return each(ticks, count)


def each(ticks: list[Clocks], count: int) -> Clocks:
    """Seconds of a step, of `count` steps after the warm-up."""
    wall, processor = np.subtract(ticks[WARM_UP + count], ticks[WARM_UP]) / count
    return float(wall), float(processor)


def reading(batches: WindowBatches, count: int = 20) -> float:
    """Seconds of processor time to read a batch."""
    begin = time.process_time()
    for step in range(count):
        jax.block_until_ready(batches(step))
    return round((time.process_time() - begin) / count, 4)


if __name__ == "__main__":
    main(tyro.cli(Config))
