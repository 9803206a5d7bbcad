"""Training on files: memory by the size of the set, samples a second, share of updates.

    python experiments/benchmarks/larger_than_memory.py

Trajectories are smooth random numbers on the grid of Burgers flow, each a chunk of its
file as `wdno data` writes them. Each memory has a process of its own. Seconds are those
of the clock and of all threads of the process: these hardly change when a machine has
other work to do.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import netCDF4
import numpy as np
import tyro
import xarray as xr
from flax import nnx

from wdno import WDNO
from wdno._typing import Loss
from wdno.networks import FourierConfig
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.loop import Run, TrainingConfig, fit, train_step
from wdno.training.loss import training_loss
from wdno.training.pending import Pending, Step
from wdno.training.pipeline import train_recipe
from wdno.training.recipes import RECIPES
from wdno.trajectory import open_trajectories

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

RECIPE = replace(RECIPES["burgers-simulation"], residual=None)
GRID = {"time": 81, "x": 120}
BLOCK = 512
BYTES = 2 * 4 * int(np.prod([*GRID.values()]))
"""Of a trajectory, a state and a control."""


@dataclass(frozen=True)
class Config:
    """How large, how long and how often.

    Attributes:
        sizes: of sets whose windows are read from a file, in GB as they are on disk.
        loaded: of sets that are read into memory first, for comparison.
        fitting: size of the set whose speed is compared, in GB.
        updates: of each measurement of speed, whose model is the shipped one of Burgers
            flow, of whole fields.
        repeats: of these; the median is kept.
        folder: for the files, which are removed; a temporary one by default.
    """

    sizes: tuple[float, ...] = (0.5, 2.0, 8.0)
    loaded: tuple[float, ...] = (0.5, 2.0)
    fitting: float = 0.25
    updates: int = 15
    repeats: int = 3
    seed: int = 0
    folder: Path | None = None


def main(config: Config) -> None:
    """Measure, print and store."""
    peaks: dict[str, dict[str, float]] = {"file": {}, "loaded": {}}
    with tempfile.TemporaryDirectory(dir=config.folder) as name:
        folder = Path(name)
        for size in config.sizes:
            path = alone(written, folder / "data.nc", size, config.seed)
            gigabytes = f"{path.stat().st_size / 1e9:.2f} GB"
            peaks["file"][gigabytes] = alone(peak, path, open_trajectories)
            if size in config.loaded:
                peaks["loaded"][gigabytes] = alone(peak, path, loaded)
        speed = alone(speeds, folder, config)
    print(record("larger_than_memory", asdict(config), peak_gib=peaks, **speed))


def alone(measure: Callable, *arguments: Any) -> Any:
    """What a process of its own measures."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        found = process.submit(measure, *arguments).result()
    print(measure.__name__, *arguments, found, flush=True)
    return found


def loaded(path: Path) -> xr.Dataset:
    """The same in memory."""
    return open_trajectories(path).load()


def written(path: Path, gigabytes: float, seed: int, **how: Any) -> Path:
    """A file of smooth noise, which repeats itself block by block."""
    draw = np.random.default_rng(seed)
    samples = round(gigabytes * 1e9 / BYTES)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("sample", samples)
        for dim, extent in GRID.items():
            file.createDimension(dim, extent)
            file.createVariable(dim, "f8", (dim,))[:] = np.arange(extent) / extent
        for name, method in (("u", "time: point"), ("f", "time: mean")):
            chunks = (1, *GRID.values())
            dims = ("sample", *GRID)
            variable = file.createVariable(name, "f4", dims, chunksizes=chunks, **how)
            variable.cell_methods = method
            noise = draw.standard_normal((BLOCK, *GRID.values()), np.float32)
            noise = noise.cumsum(1).cumsum(2) / 100
            for first in range(0, samples, BLOCK):
                variable[first : first + BLOCK] = noise[: samples - first]
    return path


def peak(path: Path, opened: Callable[[Path], xr.Dataset]) -> float:
    """GiB at most while a small model is trained and saved."""
    recipe = replace(RECIPE, network=FourierConfig((8, 8), 16, 2))
    training = TrainingConfig(steps=100)
    with tempfile.TemporaryDirectory() as run:
        how = {"recipe": recipe, "validation_samples": 32}
        train_recipe("burgers-simulation", opened(path), training, run, **how)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)


def speeds(folder: Path, config: Config) -> dict[str, Any]:
    """Of the loop on each kind of source in turn, and of nothing but updates."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    how = (config.fitting, config.seed)
    plain = open_trajectories(written(folder / "plain.nc", *how))
    packed = written(folder / "packed.nc", *how, compression="zlib", complevel=1)
    plain.to_zarr(folder / "data.zarr")
    sources = {
        "memory": plain.copy().load(),
        "NetCDF": plain,
        "NetCDF, compressed": open_trajectories(packed),
        "Zarr, compressed": open_trajectories(folder / "data.zarr"),
    }
    batches = {
        name: WindowBatches(dataset, RECIPE, config.seed)
        for name, dataset in sources.items()
    }
    model = build_model(RECIPE, sources["memory"], batches["memory"])
    loss = training_loss(model, RECIPE.noise.distribution())
    measures = {"updates alone": partial(updates, model, loss, batches["memory"])}
    for name in batches:
        measures[name] = partial(looped, model, loss, batches[name])
    measures["memory, waiting"] = partial(
        looped, model, loss, batches["memory"], log_every=0.0
    )
    seconds: dict[str, list[Clocks]] = {name: [] for name in measures}
    for _ in range(config.repeats):
        for name, measure in measures.items():
            seconds[name].append(measure(config.updates))
            print(name, seconds[name][-1], flush=True)
    median = {name: np.median(values, axis=0) for name, values in seconds.items()}

    def beside(other: str, names: Iterable[str]) -> dict[str, dict[str, float]]:
        ratios = {name: (median[other] / median[name]).round(3) for name in names}
        return {
            n: dict(zip(CLOCKS, map(float, r), strict=True)) for n, r in ratios.items()
        }

    return {
        "seconds_an_update": {n: np.round(v, 4).tolist() for n, v in seconds.items()},
        "processor_seconds_to_read_a_batch": {n: reading(batches[n]) for n in batches},
        "share_in_update": beside("updates alone", median),
        "speed_beside_memory": beside("memory", batches),
    }


Clocks = tuple[float, float]
CLOCKS = ("by the clock", "by processor time")
CONFIG = TrainingConfig(steps=1)
WARM_UP = 5
"""Updates before a measurement: the first of them compile."""


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
