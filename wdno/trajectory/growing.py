"""A Zarr store of trajectories that grows along time, block after block."""

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno._files import located, replacing
from wdno.trajectory.opening import open_labelled
from wdno.trajectory.storing import check_output, storable

__all__ = ["GrowingStore", "check_store"]

LARGEST = 2**26
"""Bytes of a chunk, about."""


def check_store(path: str | Path) -> Path:
    """The path of a Zarr store, once it can be written; to be asked before work begins.

    Raises:
        ValueError: it does not end in ".zarr".
        OSError: as `check_output`.
        ModuleNotFoundError: zarr is not installed.
    """
    path = located(path)
    if path.suffix != ".zarr":
        raise ValueError(
            "What is written as it comes goes into a Zarr store, whose path ends in "
            f".zarr, but got {path}. Add it, or save the result as a whole."
        )
    return check_output(path)


class GrowingStore:
    """A Zarr store that is written along time, and taken up again after a break.

    Until `finish` the store is called ``path`` + ".partial", and ``path`` +
    ".progress.json" says how many blocks it has and what made them. Chunks are blocks
    or parts of them, so
    that each is written once.

    Attributes:
        blocks: that are there, also those of an earlier run.
    """

    def __init__(self, path: Path, call: Mapping[str, Any]) -> None:
        """Take up the unfinished store of the same call, or begin one.

        Args:
            path: of the store, see `check_store`.
            call: everything that its values follow from, as JSON can hold it.

        Raises:
            ValueError: the unfinished store is of another call.
        """
        self._path, self._call = path, json.loads(json.dumps(call))
        self._partial = Path(f"{path}.partial")
        self._progress = Path(f"{path}.progress.json")
        self.blocks, self._instants = 0, 0
        if not (self._partial.is_dir() and self._progress.is_file()):
            return
        note = json.loads(self._progress.read_text())
        names = {*note["call"], *self._call}
        differ = [n for n in names if note["call"].get(n) != self._call.get(n)]
        if differ:
            raise ValueError(
                f"A store is completed by the call it was begun with, but that of "
                f"{self._partial} differs in {sorted(differ)}. Choose another path, "
                "or remove the folder."
            )
        self.blocks, self._instants = note["blocks"], note["instants"]

    def begin(self, block: xr.Dataset, instants: xr.DataArray) -> None:
        """Lay out the store, and write the first block.

        Args:
            block: the first instants of every variable, with all other coordinates.
            instants: of the whole record.
        """
        length = block.sizes["time"]
        first = storable(block.drop_vars("time"))
        moving = [n for n, v in first.data_vars.items() if "time" in v.dims]
        chunks = {name: {"chunks": _chunks(first.variables[name])} for name in moving}
        first.to_zarr(self._partial, mode="w", encoding=chunks, consolidated=False)
        group = importlib.import_module("zarr").open_group(
            str(self._partial), mode="r+"
        )
        for name in moving:
            extents = {**first[name].sizes, "time": instants.size}
            group[name].resize(tuple(extents.values()))
        times = storable(xr.Dataset(coords={"time": instants}))
        times.to_zarr(self._partial, mode="a", consolidated=False)
        self._note(length)

    def write(self, block: xr.Dataset) -> None:
        """Write the instants that follow."""
        end = self._instants + block.sizes["time"]
        bare = storable(block.drop_vars(list(block.coords)))
        lies = {"time": slice(self._instants, end)}
        bare.to_zarr(self._partial, mode="r+", region=lies, consolidated=False)
        self._note(end)

    def read(self, names: Sequence[str], instant: int) -> dict[str, np.ndarray]:
        """Variables at one instant that is there already."""
        with open_labelled(self._partial, consolidated=False) as there:
            at = there[list(names)].isel(time=instant).load()
        return {name: at[name].values for name in names}

    def finish(self) -> None:
        """Give the store its name."""
        importlib.import_module("zarr").consolidate_metadata(str(self._partial))
        with replacing(self._path) as temporary:
            self._partial.replace(temporary)
        self._progress.unlink(missing_ok=True)

    def _note(self, instants: int) -> None:
        self.blocks, self._instants = self.blocks + 1, instants
        note = {"call": self._call, "blocks": self.blocks, "instants": instants}
        with replacing(self._progress) as temporary:
            temporary.write_text(json.dumps(note) + "\n")


def _chunks(block: xr.Variable) -> tuple[int, ...]:
    """The extents of a block, with fewer rows where it is large."""
    extents = dict(block.sizes)
    for dim in block.dims[: block.dims.index("time")]:
        size = math.prod(extents.values()) * block.dtype.itemsize
        extents[dim] = -(-extents[dim] // -(-size // LARGEST))
    return tuple(extents.values())
