"""Data sets of solved trajectories, written chunk by chunk and resumable."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import netCDF4
import numpy as np
import xarray as xr
from tqdm import tqdm

from wdno._files import located, replacing
from wdno._json import entries_of
from wdno.systems.base import PhysicalSystem, trajectories

__all__ = ["generate", "verify"]

COMPRESSION_LEVEL = 1
"""Lossless and quick: a higher one takes longer than solving and saves little."""


def generate(
    system: PhysicalSystem,
    path: str | Path,
    samples: int,
    seed: int = 0,
    chunk: int = 512,
    workers: int = 1,
) -> Path:
    """Write ``samples`` solved trajectories to a NetCDF-4 file.

    Chunk i is drawn from ``fold_in(key(seed), i)`` and written before the next one is
    solved: memory does not grow with ``samples``, and a run that was interrupted
    resumes at its last complete chunk and ends with the same bits. Until it is
    complete the file is called ``path`` + ".partial" (its progress is noted in
    ``path`` + ".progress.json"). A complete file of the same recipe is left alone.

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
    if path.exists():
        with xr.open_dataset(path) as complete:
            _check_recipe(complete.attrs.get("recipe"), recipe, path)
        return path
    partial, progress = Path(f"{path}.partial"), Path(f"{path}.progress.json")
    done = 0
    if partial.exists() and progress.exists():
        note = json.loads(progress.read_text())
        _check_recipe(note["recipe"], recipe, partial)
        done = note["chunks"]
    key = jax.random.key(seed, impl="threefry2x32")
    starts = range(0, samples, chunk)

    def solved(index: int) -> xr.Dataset:
        count = min(chunk, samples - starts[index])
        return trajectories(system, jax.random.fold_in(key, index), count)

    chunks = _in_order(solved, range(done, len(starts)), workers)
    with tqdm(total=samples, initial=min(done * chunk, samples), disable=None) as bar:
        for index, data in chunks:
            if index == 0:
                _create(partial, data, samples, recipe)
            _write(partial, data, starts[index])
            with replacing(progress) as note:
                note.write_text(json.dumps({"recipe": recipe, "chunks": index + 1}))
            bar.update(data.sizes["sample"])
    with netCDF4.Dataset(partial, "a") as file:
        file.checksum = _checksum(file)
    partial.replace(path)
    progress.unlink()
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
    with netCDF4.Dataset(path) as file:
        noted = getattr(file, "checksum", None)
        found = _checksum(file)
    if noted != found:
        raise ValueError(
            f"The data of {path} must have the checksum {noted}, but have {found}. "
            "The file was damaged or changed: generate or copy it again."
        )
    return found


def _in_order(
    solved: Callable[[int], xr.Dataset], indices: range, workers: int
) -> Iterator[tuple[int, xr.Dataset]]:
    """Chunks in their order, as many at once as there are workers."""
    if workers == 1:  # in this thread, which an interrupt stops at once
        yield from ((index, solved(index)) for index in indices)
        return
    with ThreadPoolExecutor(workers) as pool:
        begun = deque(pool.submit(solved, index) for index in indices[:workers])
        for index in indices:
            data = begun.popleft().result()
            if index + workers in indices:
                begun.append(pool.submit(solved, index + workers))
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


def _check_recipe(found: str | None, recipe: str, path: Path) -> None:
    if found != recipe:
        raise ValueError(
            f"A file is completed by the recipe it was begun with, but {path} has\n"
            f"  {found}\nand the recipe now is\n  {recipe}\n"
            "Choose another path, or delete the file."
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


def _create(path: Path, data: xr.Dataset, samples: int, recipe: str) -> None:
    """Lay out the file for all samples, each of them a compressed chunk."""
    path.unlink(missing_ok=True)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.11",
                "title": f"Trajectories of {json.loads(recipe)['system']}",
                "recipe": recipe,
            }
        )
        if static := [str(n) for n in data.coords if n not in data.dims]:
            file.coordinates = " ".join(static)
        for name, extent in {**data.sizes, "sample": samples}.items():
            file.createDimension(name, extent)
        for name, variable in data.variables.items():
            dims = tuple(map(str, variable.dims))
            once = "sample" not in dims
            new = file.createVariable(
                str(name),
                variable.dtype,
                dims,
                fill_value=False,
                compression=None if once else "zlib",
                complevel=COMPRESSION_LEVEL,
                chunksizes=None if once or len(dims) == 1 else (1, *variable.shape[1:]),
            )
            new.setncatts(variable.attrs)
            if once:
                new[:] = variable.values


def _write(path: Path, data: xr.Dataset, start: int) -> None:
    with netCDF4.Dataset(path, "a") as file:
        for name, variable in data.variables.items():
            if "sample" in variable.dims:
                file[name][start : start + data.sizes["sample"]] = variable.values


def _checksum(file: netCDF4.Dataset, rows: int = 256) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(file.variables) - set(file.dimensions)):
        variable = file[name]
        variable.set_auto_maskandscale(False)
        for start in range(0, variable.shape[0], rows):
            block = variable[start : start + rows]
            digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")))
    return f"sha256:{digest.hexdigest()}"
