"""A data set in the making: chunks that are each whole, or not there.

HDF5 keeps no journal: a process that is killed while it writes may leave a file that
cannot be opened, with all that was in it. So no file is written twice.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import xarray as xr

from wdno._files import replacing

__all__ = ["Pieces", "check_recipe", "create", "write"]

COMPRESSION_LEVEL = 1
"""Lossless and quick: a higher one takes longer than solving and saves little."""


class Pieces:
    """Chunks of a data set in a folder, by number.

    Each is a file beside a note with the recipe and a checksum of both, which is
    written last.

    Args:
        folder: made when the first chunk is kept.
        recipe: of the whole data set.
    """

    def __init__(self, folder: Path, recipe: str) -> None:
        self._folder, self._recipe = folder, recipe

    def missing(self, count: int) -> list[int]:
        """Which of the chunks up to this number are absent or not as they were kept.

        Raises:
            ValueError: some were begun by another recipe, or the folder is a file.
        """
        if self._folder.is_file():
            raise ValueError(
                f"Chunks are kept in a folder until all are there, but {self._folder} "
                "is a file, such as earlier versions left. Delete it, or choose "
                "another path."
            )
        return [index for index in range(count) if not self._kept(index)]

    @contextmanager
    def keeping(self, index: int) -> Iterator[Path]:
        """Yield a path to write a chunk to, which is kept on success."""
        self._folder.mkdir(exist_ok=True)
        self._note(index).unlink(missing_ok=True)
        with replacing(self._file(index)) as temporary:
            yield temporary
            digest = _digest(temporary, self._recipe)
        with replacing(self._note(index)) as temporary:
            temporary.write_text(json.dumps({"recipe": self._recipe, "sha256": digest}))

    def load(self, index: int) -> xr.Dataset:
        """The trajectories of a chunk."""
        return xr.load_dataset(
            self._file(index),
            engine="netcdf4",
            decode_times=False,
            mask_and_scale=False,
        )

    def remove(self) -> None:
        """Forget the chunks."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)

    def _file(self, index: int) -> Path:
        return self._folder / f"{index:06d}.nc"

    def _note(self, index: int) -> Path:
        return self._folder / f"{index:06d}.json"

    def _kept(self, index: int) -> bool:
        try:
            note = json.loads(self._note(index).read_bytes())
            recipe = note["recipe"]
            kept = note["sha256"] == _digest(self._file(index), recipe)
        except (AttributeError, FileNotFoundError, LookupError, TypeError, ValueError):
            return False
        if kept:
            check_recipe(recipe, self._recipe, self._folder)
        return kept


def check_recipe(found: str | None, recipe: str, path: Path) -> None:
    """Refuse to go on with what is at ``path`` if it has another recipe."""
    if found != recipe:
        raise ValueError(
            f"A data set is completed by the recipe it was begun with, but {path} has\n"
            f"  {found}\nand the recipe now is\n  {recipe}\n"
            f"Choose another path, or delete {path}."
        )


def create(path: Path, data: xr.Dataset, samples: int, recipe: str) -> None:
    """Lay out the file for all samples, each of them a compressed chunk.

    Every variable has checksums of HDF5, by which damage is told when it is read.
    """
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
                fletcher32=bool(dims),
            )
            new.setncatts(variable.attrs)
            if once:
                new[:] = variable.values


def write(path: Path, data: xr.Dataset, start: int) -> None:
    """Put trajectories into the file, from this one on."""
    with netCDF4.Dataset(path, "a") as file:
        for name, variable in data.variables.items():
            if "sample" in variable.dims:
                file[name][start : start + data.sizes["sample"]] = variable.values


def _digest(path: Path, recipe: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(recipe.encode())
    return digest.hexdigest()
