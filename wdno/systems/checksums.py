"""Whether a data set is what was written."""

import hashlib
from pathlib import Path

import netCDF4
import numpy as np

from wdno._files import located
from wdno.systems.regions import checksum, opened
from wdno.trajectory.places import is_zarr

__all__ = ["checksum_of_file", "noted", "verify"]


def verify(path: str | Path) -> str:
    """Recompute the checksum of a generated file and return it.

    The checksum is the SHA-256 of the values of the data variables in alphabetical
    order, as little-endian numbers in C order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no checksum or its data are not those written.
    """
    path = located(path)
    if is_zarr(path):
        return _matching(path, noted(path, "checksum"), _of_store(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"A generated file is verified, but there is none at {path}. "
            "Check the path."
        )
    said = noted(path, "checksum")
    try:
        with netCDF4.Dataset(path) as file:
            found = checksum_of_file(file)
    except (OSError, RuntimeError) as error:  # of HDF5
        raise _damaged(path, error) from error
    return _matching(path, said, found)


def _of_store(path: Path) -> str:
    try:
        return checksum(dict(opened(path, "r").arrays()), 256)
    except Exception as error:  # whatever a library raises on damaged files
        raise _damaged(path, error) from error


def _matching(path: Path, said: str | None, found: str) -> str:
    """The checksum, once it is the one that was noted."""
    if said != found:
        raise ValueError(
            f"The data of {path} must have the checksum {said}, but have {found}. "
            "The file was damaged or changed: generate or copy it again."
        )
    return found


def noted(path: Path, name: str) -> str | None:
    """An attribute of a whole file or store."""
    try:
        if is_zarr(path):
            return opened(path, "r").attrs.get(name)
        with netCDF4.Dataset(path) as file:
            return getattr(file, name, None)
    except (OSError, RuntimeError, UnicodeError) as error:  # of HDF5
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"A data set is a complete NetCDF file, but {path} cannot be read ({error}). "
        "Delete it and generate it anew, or copy it again."
    )


def checksum_of_file(file: netCDF4.Dataset, rows: int = 256) -> str:
    """SHA-256 of the values of all that is no axis, see `verify`."""
    digest = hashlib.sha256()
    for name in sorted(set(file.variables) - set(file.dimensions)):
        variable = file[name]
        variable.set_auto_maskandscale(False)
        for start in range(0, variable.shape[0], rows):
            block = variable[start : start + rows]
            digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")))
    return f"sha256:{digest.hexdigest()}"
