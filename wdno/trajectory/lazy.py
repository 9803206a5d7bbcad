"""Arrays of which parts are read when their values are asked for."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["Labelled", "Reader", "lazy", "lazy_whole"]


@runtime_checkable
class Reader(Protocol):
    """An array that lies elsewhere, of which parts can be read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, key: tuple) -> np.ndarray:
        """The part that one integer, slice or vector of integers an axis selects."""
        ...


class Labelled:
    """A `Reader` of a lazy variable, with its axes in another order."""

    def __init__(self, variable: xr.Variable, dims: tuple[str, ...]) -> None:
        self._variable, self._dims = variable, dims
        self.shape = tuple(variable.sizes[dim] for dim in dims)
        self.dtype = variable.dtype

    def read(self, key: tuple) -> np.ndarray:
        """The part that one integer, slice or vector of integers an axis selects."""
        part = self._variable.isel(dict(zip(self._dims, key, strict=True)))
        return part.transpose(*(dim for dim in self._dims if dim in part.dims)).values


class _Whole(BackendArray):
    """The array of a reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.shape, self.dtype = reader, reader.shape, reader.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        outer = indexing.IndexingSupport.OUTER
        read = self._reader.read
        return indexing.explicit_indexing_adapter(key, self.shape, outer, read)


class _BySample(BackendArray):
    """An array whose first axis is read one entry at a time."""

    def __init__(
        self, load: Callable[[int], np.ndarray | Reader], samples: int
    ) -> None:
        first = load(0)
        self._load = load
        self.shape, self.dtype = (samples, *first.shape), first.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        which, *inside = key
        if isinstance(which, int | np.integer):
            return np.array(self._part(int(which), inside))
        chosen = np.arange(self.shape[0])[which]
        if not len(chosen):
            empty = np.empty((1, *self.shape[1:]), self.dtype)
            return _indexed(empty, [slice(0, 0), *inside])
        return np.stack([self._part(int(n), inside) for n in chosen])

    def _part(self, n: int, key: list) -> Any:
        sample = self._load(n)
        if sample.shape != self.shape[1:]:
            raise ValueError(
                f"Samples of a variable have one shape, {self.shape[1:]} like the first"
                f", but number {n} has {sample.shape}. Put it into a file of its own."
            )
        if isinstance(sample, np.ndarray):
            return _indexed(sample, key)
        return sample.read(tuple(key))


def _indexed(array: np.ndarray, key: list) -> Any:
    """Index every axis by itself, the last first so that the others stay."""
    for axis in reversed(range(len(key))):
        array = array[(slice(None),) * axis + (key[axis],)]
    return array


def lazy(
    load: Callable[[int], np.ndarray | Reader], samples: int, dims: tuple[str, ...]
) -> xr.Variable:
    """A variable on ("sample", *dims) that `load` gives the samples of.

    Args:
        load: ``load(n)`` is sample n, an array or a `Reader` of one; all are of one
            shape and type. Sample 0 is loaded at once, the others when values are
            asked for.
        samples: their number.
        dims: axes of a sample.
    """
    array = indexing.LazilyIndexedArray(_BySample(load, samples))
    return xr.Variable(("sample", *dims), array)


def lazy_whole(reader: Reader, dims: tuple[str, ...]) -> xr.Variable:
    """A variable on `dims` of which no more is read than is asked for."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(_Whole(reader)))
