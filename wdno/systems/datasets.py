"""Data sets of solved trajectories, written chunk by chunk and resumable."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path

import jax
import netCDF4
import numpy as np
import xarray as xr
from tqdm import tqdm

from wdno._files import located, replacing
from wdno._json import entries_of
from wdno.systems.base import PhysicalSystem, trajectories
from wdno.systems.pieces import Pieces, check_recipe, create, write

__all__ = ["generate", "verify"]


def generate(
    system: PhysicalSystem,
    path: str | Path,
    samples: int,
    seed: int = 0,
    chunk: int = 512,
    workers: int = 1,
) -> Path:
    """Write ``samples`` solved trajectories to a NetCDF-4 file.

    Chunk i is drawn from ``fold_in(key(seed), i)`` and kept before more are solved:
    memory does not grow with ``samples``. Chunks are kept in the folder ``path`` +
    ".partial", each whole or absent and with its checksum, until all of them are copied
    into the file. A run that was interrupted, however hard, solves what is missing or
    damaged there and ends with the same bits. A complete file of the same recipe is
    left alone.

    Args:
        system: The physical system, a frozen dataclass.
        path: File to write.
        samples: Number of trajectories.
        seed: Seed of the random key.
        chunk: Trajectories solved at a time.
        workers: Chunks solved at once, in threads. Solvers that make many small steps
            leave processors idle: the one of gas gains a factor of two from two of
            them. Memory grows likewise, and the bits stay the same.

    Returns:
        ``path``. The file has the attributes ``recipe`` (JSON) and ``checksum``.

    Raises:
        FileNotFoundError, PermissionError: If the folder does not exist or cannot be
            written to.
        ValueError: If a number is not positive, a solution diverges, or the file, or an
            unfinished one, has another recipe.
    """
    path = located(path)
    _check_writable(path)
    if min(samples, chunk, workers) < 1:
        raise ValueError(
            f"samples, chunk and workers must be positive, but are {samples}, {chunk} "
            f"and {workers}. Ask for at least one trajectory at a time."
        )
    recipe = _recipe(system, samples, seed, chunk)
    pieces = Pieces(Path(f"{path}.partial"), recipe)
    if path.exists():
        check_recipe(_noted(path, "recipe"), recipe, path)
        pieces.remove()
        return path
    key = jax.random.key(seed, impl="threefry2x32")
    starts = range(0, samples, chunk)

    def solved(index: int) -> xr.Dataset:
        count = min(chunk, samples - starts[index])
        return trajectories(system, jax.random.fold_in(key, index), count)

    missing = pieces.missing(len(starts))
    left = sum(min(chunk, samples - starts[index]) for index in missing)
    with tqdm(total=samples, initial=samples - left, disable=None) as bar:
        for index, data in _in_order(solved, missing, workers):
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
            file.checksum = _checksum(file)
    pieces.remove()
    return path


def verify(path: str | Path) -> str:
    """Recompute the checksum of a generated file and return it.

    The checksum is the SHA-256 of the values of the data variables in alphabetical
    order, as little-endian numbers in C order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no checksum or its data are not those written.
    """
    path = located(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A generated file is verified, but there is none at {path}. "
            "Check the path."
        )
    noted = _noted(path, "checksum")
    try:
        with netCDF4.Dataset(path) as file:
            found = _checksum(file)
    except (OSError, RuntimeError) as error:  # of HDF5
        raise _damaged(path, error) from error
    if noted != found:
        raise ValueError(
            f"The data of {path} must have the checksum {noted}, but have {found}. "
            "The file was damaged or changed: generate or copy it again."
        )
    return found


def _noted(path: Path, name: str) -> str | None:
    """An attribute of a whole file."""
    try:
        with netCDF4.Dataset(path) as file:
            return getattr(file, name, None)
    except (OSError, RuntimeError, UnicodeError) as error:  # of HDF5
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"A data set is a complete NetCDF file, but {path} cannot be read ({error}). "
        "Delete it and generate it anew, or copy it again."
    )


def _in_order(
    solved: Callable[[int], xr.Dataset], indices: Sequence[int], workers: int
) -> Iterator[tuple[int, xr.Dataset]]:
    """Chunks in their order, as many at once as there are workers."""
    if workers == 1:  # in this thread, which an interrupt stops at once
        yield from ((index, solved(index)) for index in indices)
        return
    with ThreadPoolExecutor(workers) as pool:
        begun = deque(pool.submit(solved, index) for index in indices[:workers])
        for index, next_one in zip_longest(indices, indices[workers:]):
            data = begun.popleft().result()
            if next_one is not None:
                begun.append(pool.submit(solved, next_one))
            yield index, data


def _recipe(system: PhysicalSystem, samples: int, seed: int, chunk: int) -> str:
    try:
        package = version("wdno")
    except PackageNotFoundError:
        package = "not installed"
    return json.dumps(
        {
            "system": type(system).__name__,
            "parameters": entries_of(system),
            "samples": samples,
            "seed": seed,
            "chunk": chunk,
            "wdno": package,
        }
    )


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"A data set is written into an existing folder, but {path.parent} is "
            "none. Create it first."
        )
    if not os.access(path.parent, os.W_OK) or path.is_dir():
        raise PermissionError(
            f"A data set is written to a file in a writable folder, but {path} cannot "
            "be written. Choose another path."
        )


def _checksum(file: netCDF4.Dataset, rows: int = 256) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(file.variables) - set(file.dimensions)):
        variable = file[name]
        variable.set_auto_maskandscale(False)
        for start in range(0, variable.shape[0], rows):
            block = variable[start : start + rows]
            digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")))
    return f"sha256:{digest.hexdigest()}"
