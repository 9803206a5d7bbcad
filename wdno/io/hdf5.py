"""HDF5 files of others: opened for a moment, read in parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from xarray.core import indexing

from wdno._files import located

__all__ = ["Stored", "attributes", "opened", "vector"]


def _h5py() -> Any:
    try:
        import h5py  # pyright: ignore
    except ImportError as error:
        raise ModuleNotFoundError(
            "HDF5 files of others are read by h5py, which is not installed. Install "
            "it: pip install 'wdno[hdf5]'."
        ) from error
    return h5py


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """An ``h5py.File`` for reading.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no HDF5 file, or is truncated.
        ModuleNotFoundError: h5py is not installed.
    """
    h5py, path = _h5py(), located(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Data are read from an existing HDF5 file, but there is none at {path}. "
            "Check the path."
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except Exception as error:  # what the library raises on damaged bytes has no end
        said = isinstance(error, FileNotFoundError | ImportError | ValueError)
        if said and not isinstance(error, UnicodeError):
            raise
        raise ValueError(
            f"This layout is a complete HDF5 file, but {path} cannot be opened "
            f"({type(error).__name__}: {error}). Is it of this layout? If so, copy it "
            "again."
        ) from error


class Stored:
    """A `Reader` of a dataset in an HDF5 file, which is open while it reads.

    Args:
        path: the file.
        name: the dataset, such as "t0_fields/density".

    Raises:
        ValueError: the file has no such dataset.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self._path, self._name = Path(path), name
        with opened(path) as file:
            found = _dataset(file, name)
            self.shape: tuple[int, ...] = found.shape
            self.dtype: np.dtype = found.dtype

    def read(self, key: tuple) -> np.ndarray:
        """The part that one integer, slice or vector of integers an axis selects."""
        one_vector = indexing.IndexingSupport.OUTER_1VECTOR
        outer = indexing.OuterIndexer(key)
        return np.asarray(
            indexing.explicit_indexing_adapter(
                outer, self.shape, one_vector, self._part
            )
        )

    def _part(self, key: tuple) -> np.ndarray:
        with opened(self._path) as file:
            return np.asarray(_values(_dataset(file, self._name), key))


def vector(file: Any, name: str) -> np.ndarray:
    """All values of a small dataset, such as a coordinate.

    Raises:
        ValueError: the file has no such dataset, or it is damaged.
    """
    return np.asarray(_values(_dataset(file, name), ()))


def attributes(owner: Any) -> dict[str, Any]:
    """Attributes of a file, group or dataset as numbers, text and lists of these."""
    return {name: _plain(value) for name, value in owner.attrs.items()}


def _dataset(file: Any, name: str) -> Any:
    found = file.get(name)
    if not isinstance(found, _h5py().Dataset):
        held: list[str] = []
        file.visit(lambda key: held.append(key) if len(held) < 9 else True)
        raise ValueError(
            f"This layout has a dataset {name!r}, but {file.filename} has {held[:8]}"
            f"{' …' * (len(held) > 8)}. Is it of this layout, and complete?"
        )
    return found


def _values(stored: Any, key: tuple) -> Any:
    try:
        return stored[key]
    except Exception as error:  # as above
        raise ValueError(
            f"Values are read from a complete file, but {stored.name} of "
            f"{stored.file.filename} cannot be read at {key} ({error}). Copy it again."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
