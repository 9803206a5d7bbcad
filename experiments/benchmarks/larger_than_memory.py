"""Memory of training by the size of the set, read from a file or loaded.

    python experiments/benchmarks/larger_than_memory.py

Trajectories are smooth random numbers on the grid of Burgers flow, each a chunk of its
file as `wdno data` writes them. Each measurement has a process of its own.
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import tyro
import xarray as xr

from wdno.networks import FourierConfig
from wdno.training.config import TrainingConfig
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
    """How large.

    Attributes:
        sizes: of sets whose windows are read from a file, in GB as they are on disk.
        loaded: those of them that are read into memory too, for comparison.
        folder: for the files, which are removed; a temporary one by default.
    """

    sizes: tuple[float, ...] = (0.5, 2.0, 8.0)
    loaded: tuple[float, ...] = (0.5, 2.0)
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
    print(record("larger_than_memory", asdict(config), peak_gib=peaks))


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


if __name__ == "__main__":
    main(tyro.cli(Config))
