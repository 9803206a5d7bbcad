"""A data set in the making as a Zarr store: whole regions, each with a marker.

Every chunk of the data set is a region of the store that no other one shares a file
with, so that any number of processes on any number of machines may write at once. A
chunk is there when its marker is, which is written last and has the checksum of its
values: what a killed process left in the store is written over.
"""

import contextlib
import fcntl
import hashlib
import importlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno._files import remove, replacing, synced
from wdno.systems.pieces import check_recipe
from wdno.trajectory.storing import storable

__all__ = ["Regions", "checksum", "opened"]

LARGEST = 2**26
"""Bytes of a file of the store, about."""


class Regions:
    """Chunks of a Zarr store, by number.

    The store is called ``path`` + ".partial" until it is whole, and markers lie in the
    folder ``path`` + ".markers".

    Args:
        path: of the store.
        recipe: of the whole data set.
        samples: of the whole data set.
        chunk: samples of each but the last.
    """

    def __init__(self, path: Path, recipe: str, samples: int, chunk: int) -> None:
        self._path, self._recipe = path, recipe
        self._samples, self._chunk = samples, chunk
        self._partial = Path(f"{path}.partial")
        self._markers = Path(f"{path}.markers")

    @property
    def count(self) -> int:
        """Chunks of the data set."""
        return -(-self._samples // self._chunk)

    @contextlib.contextmanager
    def running(self, alone: bool) -> Iterator[None]:
        """While a run writes chunks; several may that write some of them each.

        The lock is one of the system, which lets go of it when a process is killed.

        Args:
            alone: whether the run is to write all that is missing.

        Raises:
            ValueError: another run writes all, or this one would and others write.
        """
        self._markers.mkdir(exist_ok=True)
        with (self._markers / "lock").open("a") as file:
            kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"A store is written by one run, or by several with --chunks, but "
                    f"another one is writing {self._path}. Wait for it, or choose "
                    "another path."
                ) from error
            yield

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Which of these chunks are absent, or not as they were written.

        Raises:
            ValueError: some were written by another recipe.
        """
        return [index for index in indices if not self.kept(index)]

    def kept(self, index: int) -> bool:
        """Whether a chunk has its marker, and the values that this speaks of.

        Raises:
            ValueError: it was written by another recipe.
        """
        try:
            note = json.loads(self._marker(index).read_bytes())
            recipe, digest = note["recipe"], note["sha256"]
        except (FileNotFoundError, LookupError, TypeError, ValueError):
            return False
        check_recipe(recipe, self._recipe, self._markers)
        try:
            return digest == self._digest(index)
        except Exception:  # whatever a library raises on damaged files
            return False

    def keep(self, index: int, data: xr.Dataset) -> None:
        """Write a chunk, then its marker; nothing to a store that is finished."""
        if self._path.exists():  # by others, who took this process for dead
            return
        self._markers.mkdir(exist_ok=True)
        if not self._partial.is_dir():
            self._lay_out(data)
        self._marker(index).unlink(missing_ok=True)
        group, region = opened(self._partial, "r+"), self._region(index)
        for name in _of_samples(group):
            parts = self._parts(name, group[name].shards[0], region)
            try:
                group[name][region] = data[name].values
            except ValueError:  # zarr reads what it writes into: that was damaged
                for part in parts:
                    remove(part)
                group[name][region] = data[name].values
            for part in parts:
                if part.exists():  # there is none of zeros
                    synced(part)
        note = {"recipe": self._recipe, "sha256": self._digest(index)}
        with replacing(self._marker(index)) as temporary:
            temporary.write_text(json.dumps(note))

    def finish(self) -> None:
        """Give the store its name, with its checksum."""
        group = opened(self._partial, "r+")
        group.attrs["checksum"] = checksum(dict(group.arrays()), self._chunk)
        importlib.import_module("zarr").consolidate_metadata(str(self._partial))
        with replacing(self._path) as temporary:
            self._partial.replace(temporary)
        self.remove()

    def remove(self) -> None:
        """Forget the chunks."""
        for folder in (self._partial, self._markers):
            remove(folder)

    def _lay_out(self, data: xr.Dataset) -> None:
        """The store with room for all samples, at once or by whoever is first."""
        first = storable(data.isel(sample=slice(1)))
        moving = [n for n, v in first.variables.items() if "sample" in v.dims]
        encoding = {name: self._encoding(first[name]) for name in moving}
        system = json.loads(self._recipe)["system"]
        first.attrs = {
            "Conventions": "CF-1.11",
            "title": f"Trajectories of {system}",
            "recipe": self._recipe,
        }
        parent = self._path.parent
        with tempfile.TemporaryDirectory(dir=parent, prefix=".layout-") as folder:
            new = Path(folder, "store")
            first.to_zarr(new, mode="w", encoding=encoding, consolidated=False)
            group = opened(new, "r+")
            for name in moving:
                group[name].resize((self._samples, *group[name].shape[1:]))
            # Where another process was first the folder is not empty.
            with contextlib.suppress(OSError):
                os.rename(new, self._partial)

    def _parts(self, name: str, samples: int, region: slice) -> list[Path]:
        """Files of a region, of so many samples each, or their folders."""
        numbers = range(region.start // samples, -(-region.stop // samples))
        return [self._partial / name / "c" / str(number) for number in numbers]

    def _encoding(self, array: xr.DataArray) -> dict[str, tuple[int, ...]]:
        """Files of many samples, each of which is compressed by itself.

        Training reads windows of samples here and there, and what is compressed is read
        as a whole. Samples of a file divide those of a chunk of the data set: no file
        is of two of these.
        """
        row = array.shape[1:]
        most = max(1, LARGEST // (math.prod(row) * array.dtype.itemsize))
        divisors = (n for n in range(1, self._chunk + 1) if self._chunk % n == 0)
        return {
            "chunks": (1, *row),
            "shards": (max(n for n in divisors if n <= most), *row),
        }

    def _region(self, index: int) -> slice:
        start = index * self._chunk
        return slice(start, min(start + self._chunk, self._samples))

    def _digest(self, index: int) -> str:
        """Of the values of a chunk as they are read from the store."""
        group, digest = opened(self._partial, "r"), hashlib.sha256()
        for name in _of_samples(group):
            digest.update(_little(group[name][self._region(index)]))
        return digest.hexdigest()

    def _marker(self, index: int) -> Path:
        return self._markers / f"{index:06d}.json"


def opened(path: Path, mode: str) -> Any:
    """The group of a Zarr store."""
    return importlib.import_module("zarr").open_group(str(path), mode=mode)


def checksum(variables: Mapping[str, Any], rows: int) -> str:
    """SHA-256 of the values of all that is no axis, see `wdno.systems.verify`."""
    axes = {d for array in variables.values() for d in array.metadata.dimension_names}
    digest = hashlib.sha256()
    for name in sorted(set(variables) - axes):
        array = variables[name]
        for start in range(0, array.shape[0], rows):
            digest.update(_little(array[start : start + rows]))
    return f"sha256:{digest.hexdigest()}"


def _of_samples(group: Any) -> list[str]:
    found = dict(group.arrays())
    return sorted(n for n, a in found.items() if "sample" in a.metadata.dimension_names)


def _little(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
