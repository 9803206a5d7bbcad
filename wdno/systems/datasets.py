"""Data sets of solved trajectories, written chunk by chunk and resumable."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import netCDF4
import xarray as xr
from tqdm import tqdm

from wdno._files import located, replacing
from wdno._json import entries_of
from wdno.systems.base import PhysicalSystem, trajectories
from wdno.systems.checksums import checksum_of_file, noted
from wdno.systems.cluster import PATIENCE, on_cluster
from wdno.systems.pieces import Pieces, check_recipe, create, write
from wdno.systems.regions import Regions
from wdno.systems.tasks import ChunkTask, in_threads, package_version
from wdno.trajectory import check_store
from wdno.trajectory.places import is_zarr

__all__ = ["generate"]


def generate(
    system: PhysicalSystem,
    path: str | Path,
    samples: int,
    seed: int = 0,
    chunk: int = 512,
    workers: int = 1,
    cluster: str | None = None,
    patience: float = PATIENCE,
    chunks: range | None = None,
) -> Path:
    """Write ``samples`` solved trajectories to a NetCDF-4 file, or a Zarr store.

    Chunk i is drawn from ``fold_in(key(seed), i)`` and kept before more are solved:
    memory does not grow with ``samples``. Chunks are kept in the folder ``path`` +
    ".partial", each whole or absent and with its checksum, until all of them are copied
    into the file. A run that was interrupted, however hard, solves what is missing or
    damaged there and ends with the same bits. A complete file of the same recipe is
    left alone.

    A store, whose path ends in ".zarr", is written by any number of processes: each
    chunk is a region of its own, which has a marker when it is there
    (`wdno.systems.regions`). Its values and its checksum are those of the file.

    Args:
        system: The physical system, a frozen dataclass.
        path: File or store to write.
        samples: Number of trajectories.
        seed: Seed of the random key.
        chunk: Trajectories solved at a time.
        workers: Chunks solved at once, in threads. Solvers that make many small steps
            leave processors idle: the one of gas gains a factor of two from two of
            them. Memory grows likewise, and the bits stay the same.
        cluster: Address of a dask scheduler whose workers solve the chunks of a store
            in place of threads; they have this package and reach ``path``.
        patience: Seconds within which a worker of the cluster finishes a chunk; one
            that hangs longer is ended, and its chunk goes to another.
        chunks: Which chunks of a store to solve here, where others solve the rest; a
            run without it, after all of them, finishes the store.

    Returns:
        ``path``. The file has the attributes ``recipe`` (JSON) and ``checksum``.

    Raises:
        FileNotFoundError, PermissionError: If the folder does not exist or cannot be
            written to.
        ValueError: If a number is not positive, a solution diverges, the file, or an
            unfinished one, has another recipe, a store is being written by another run,
            or a file was to be written by several processes.
        ModuleNotFoundError: If zarr, or dask.distributed for a cluster, is missing.
    """
    path = located(path)
    _check_writable(path)
    _check_engine(path, cluster, chunks)
    if min(samples, chunk, workers) < 1 or not patience > 0:
        raise ValueError(
            "samples, chunk, workers and patience must be positive, but are "
            f"{samples}, {chunk}, {workers} and {patience:g}. Ask for at least one "
            "trajectory at a time."
        )
    recipe = _recipe(system, samples, seed, chunk)
    if path.suffix == ".zarr":
        regions = Regions(path, recipe, samples, chunk)
        solve = partial(in_threads, workers=workers)
        if cluster is not None:
            solve = partial(on_cluster, address=cluster, patience=patience)
        return _stored(ChunkTask(system, recipe, regions), path, solve, chunks)
    pieces = Pieces(Path(f"{path}.partial"), recipe)
    if path.exists():
        check_recipe(noted(path, "recipe"), recipe, path)
        pieces.remove()
        return path
    key = jax.random.key(seed, impl="threefry2x32")
    starts = range(0, samples, chunk)

    def solved(index: int) -> tuple[int, xr.Dataset]:
        count = min(chunk, samples - starts[index])
        return index, trajectories(system, jax.random.fold_in(key, index), count)

    missing = pieces.missing(len(starts))
    left = sum(min(chunk, samples - starts[index]) for index in missing)
    with tqdm(total=samples, initial=samples - left, disable=None) as bar:
        for index, data in in_threads(solved, missing, workers):
            with pieces.keeping(index) as temporary:
                create(temporary, data, data.sizes["sample"], recipe)
                write(temporary, data, 0)
            bar.update(data.sizes["sample"])
    with replacing(path) as temporary:
        for index, start in enumerate(starts):
            data = pieces.load(index)
            if start == 0:
                create(temporary, data, samples, recipe)
            write(temporary, data, start)
        with netCDF4.Dataset(temporary, "a") as file:
            file.checksum = checksum_of_file(file)
    pieces.remove()
    return path


def _stored(
    task: ChunkTask,
    path: Path,
    solve: Callable[[ChunkTask, list[int]], Iterator[int]],
    chunks: range | None,
) -> Path:
    """Write the chunks of a store, and finish it if that was all of them."""
    regions, whole = task.regions, chunks is None
    if path.exists():
        check_recipe(noted(path, "recipe"), task.recipe, path)
        regions.remove()
        return path
    asked = range(regions.count)
    asked = asked if chunks is None else chunks
    if not set(asked) <= set(range(regions.count)):
        raise ValueError(
            f"Chunks of this store are numbered from 0 to {regions.count - 1}, but got "
            f"{asked.start}:{asked.stop}. Ask for some of these."
        )
    with regions.running(alone=whole):
        missing = regions.missing(asked)
        begun = len(asked) - len(missing)
        for _ in tqdm(
            solve(task, missing), "chunks", len(asked), initial=begun, disable=None
        ):
            pass
        if whole:
            regions.finish()
    return path


def _recipe(system: PhysicalSystem, samples: int, seed: int, chunk: int) -> str:
    return json.dumps(
        {
            "system": type(system).__name__,
            "parameters": entries_of(system),
            "samples": samples,
            "seed": seed,
            "chunk": chunk,
            "wdno": package_version(),
        }
    )


def _check_engine(path: Path, cluster: str | None, chunks: range | None) -> None:
    """Several processes write stores only."""
    if path.suffix == ".zarr":
        check_store(path)
        return
    if cluster is not None or chunks is not None:
        raise ValueError(
            "Chunks that several processes solve go into a Zarr store, whose path ends "
            f"in .zarr, but got {path}. Choose such a path, or leave out --cluster and "
            "--chunks."
        )


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"A data set is written into an existing folder, but {path.parent} is "
            "none. Create it first."
        )
    if not os.access(path.parent, os.W_OK) or (path.is_dir() and not is_zarr(path)):
        raise PermissionError(
            f"A data set is written to a file in a writable folder, but {path} cannot "
            "be written. Choose another path."
        )
