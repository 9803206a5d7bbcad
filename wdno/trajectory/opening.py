"""Labelled files opened one way: whole ones only, and values as memory holds them."""

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from xarray.core import indexing

from wdno._files import standing
from wdno.trajectory.lazy import Labelled, lazy_whole
from wdno.trajectory.places import (
    is_address,
    is_zarr,
    lacking,
    need,
    reached,
    zipped_zarr,
)

__all__ = ["open_labelled"]

_CLASSIC = {b"CDF\1": (4, 4), b"CDF\2": (4, 8), b"CDF\5": (8, 8)}
"""NetCDF-3 by its first bytes: widths of a count and of an offset in its header."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a number by its code in the header."""
_ENGINES = {b"GRIB": "cfgrib", b"\x89HDF": "netcdf4", b"PK\3\4": "zarr.zip"}
_ENGINES |= dict.fromkeys(_CLASSIC, "netcdf4")
"""What opens a file, by its first bytes."""


def open_labelled(source: str | Path, **options: Any) -> xr.Dataset:
    """Open data lazily, by their content: NetCDF, GRIB, or Zarr in a folder or a zip.

    What has an address (``https://…``, ``s3://…``: any that fsspec knows) is fetched
    into a temporary file first, unless it is a Zarr store, which is read where it is.

    Instants with a calendar are dates; durations stay numbers in the units that their
    attribute says. Encodings (integers with scale and offset) are forgotten: they are
    those of one file, and a join or a change of values that is written with them is
    another than memory holds. The preferred pieces are kept.

    Args:
        source: file, folder or address; "~" is the home of the user.
        options: of `xarray.open_dataset`.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        ValueError: it is of none of these formats or damaged, which may show only when
            values are read.
        ModuleNotFoundError: a package for it is not installed.
        OSError: the server of an address cannot be reached, or refuses.
    """
    path = reached(str(source)) if is_address(source) else standing(source)
    engine = "zarr" if path is None else _format(path)
    need("netCDF4" if engine == "netcdf4" else engine.removesuffix(".zip"), source)
    options = {"decode_timedelta": False} | options
    place: Any = source if path is None else path
    if engine == "cfgrib":  # no index file is written beside the data
        options["backend_kwargs"] = {"indexpath": ""}
    elif engine == "zarr.zip":
        place, folder = zipped_zarr(place)
        options |= {"group": folder, "consolidated": False}
    try:
        dataset = xr.open_dataset(place, engine=engine.removesuffix(".zip"), **options)
    except ImportError as error:
        raise lacking(source, error) from error
    except Exception as error:  # what libraries raise on damaged bytes has no end
        raise _damaged(source, error) from error
    guarded = {
        name: _guarded(variable, source)
        for name, variable in dataset.variables.items()
        if name not in dataset.indexes
    }
    for name in dataset.indexes:
        dataset[name].encoding = {}
    dataset.encoding = {}
    safe = dataset.drop_vars(guarded).assign(guarded).set_coords(dataset.coords)
    safe.set_close(dataset.close)
    return safe


def _format(path: Path) -> str:
    """The engine for a file or folder, by its content."""
    if not path.exists():
        raise FileNotFoundError(
            f"Data are read from an existing file, but there is none at {path}. Check "
            "the path, or generate the file first."
        )
    if is_zarr(path):
        return "zarr"
    magic = b""
    if not path.is_dir():
        with path.open("rb") as file:
            magic = file.read(4)
            if magic in _CLASSIC:
                _check_length(file, path, *_CLASSIC[magic])
    if magic not in _ENGINES:
        raise ValueError(
            f"Labelled data are GRIB or NetCDF files or Zarr, in folders or zips, but "
            f"{path} begins with {magic!r}. Convert it, or check that it is complete."
        )
    return _ENGINES[magic]


def _damaged(source: str | Path, error: Exception) -> ValueError:
    return ValueError(
        f"Data come in complete NetCDF files or Zarr stores, but {source} cannot be "
        f"read ({type(error).__name__}: {error}). Generate or copy it again."
    )


class _Guarded(Labelled):
    """A lazy variable whose damage is told as such when it is read."""

    def __init__(self, variable: xr.Variable, source: str | Path) -> None:
        super().__init__(variable, tuple(map(str, variable.dims)))
        self._source = source

    def read(self, key: tuple) -> np.ndarray:
        """The part that one integer, slice or vector of integers an axis selects."""
        try:
            return super().read(key)
        except IndexError:
            raise
        except Exception as error:  # as above
            raise _damaged(self._source, error) from error


def _guarded(variable: xr.Variable, source: str | Path) -> xr.Variable:
    """The variable with what reads it guarded, and without its encoding."""
    reader = _Guarded(variable, source)
    whole = lazy_whole(reader, tuple(map(str, variable.dims)))
    # As of xarray itself: read once, and never written to.
    array = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(whole._data))
    pieces = {k: v for k, v in variable.encoding.items() if k == "preferred_chunks"}
    return xr.Variable(variable.dims, array, variable.attrs, pieces)


def _check_length(file: BinaryIO, path: Path, count: int, offset: int) -> None:
    """Refuse a NetCDF-3 file shorter than its header says; the library fills it up."""
    try:
        needed = _Header(file, count, offset).length()
    except (struct.error, LookupError) as error:
        raise _damaged(path, EOFError("its header is cut or damaged")) from error
    found = path.stat().st_size
    if found < needed:
        raise ValueError(
            f"A NetCDF file has the length that its header says, but {path} has "
            f"{found} bytes of {needed}. Copy it again."
        )


class _Header:
    """The header of a NetCDF-3 file, behind its first four bytes.

    The grammar is that of the NetCDF User's Guide, "File Format Specifications".
    """

    def __init__(self, file: BinaryIO, count: int, offset: int) -> None:
        self._file, self._count, self._offset = file, count, offset

    def length(self) -> int:
        """Least bytes of a whole file."""
        records = self._number(self._count)
        streaming = records == 256**self._count - 1  # as many as there are
        extents = [self._dimension() for _ in range(self._entries())]
        self._attributes()
        fixed, moving = [], []
        for _ in range(self._entries()):
            shape, width, begin = self._variable(extents)
            record = bool(shape) and shape[0] == 0
            size = width * math.prod(shape[1:] if record else shape)
            (moving if record else fixed).append((begin, size))
        ends = [begin + size for begin, size in fixed]
        # A single variable of records is not filled up to four bytes.
        record = sum(size if len(moving) == 1 else _up(size) for _, size in moving)
        if records and not streaming:
            ends += [begin + (records - 1) * record + size for begin, size in moving]
        return max(ends, default=0)

    def _number(self, width: int) -> int:
        return struct.unpack(">Q" if width == 8 else ">I", self._file.read(width))[0]

    def _entries(self) -> int:
        self._number(4)  # which list it is
        return self._number(self._count)

    def _skip(self, size: int) -> None:
        self._file.seek(_up(size), 1)

    def _dimension(self) -> int:
        self._skip(self._number(self._count))
        return self._number(self._count)

    def _attributes(self) -> None:
        for _ in range(self._entries()):
            self._skip(self._number(self._count))
            width = _SIZES[self._number(4)]
            self._skip(width * self._number(self._count))

    def _variable(self, extents: list[int]) -> tuple[list[int], int, int]:
        """Extents (0 where records are counted), bytes of a number, and its place."""
        self._skip(self._number(self._count))
        axes = range(self._number(self._count))
        shape = [extents[self._number(self._count)] for _ in axes]
        self._attributes()
        width = _SIZES[self._number(4)]
        self._number(self._count)
        return shape, width, self._number(self._offset)


def _up(size: int) -> int:
    """The next multiple of four."""
    return -(-size // 4) * 4
