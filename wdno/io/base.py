"""Arrays that are read sample by sample, when their values are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["lazy"]


class _BySample(BackendArray):
    """An array whose first axis is read one entry at a time."""

    def __init__(self, load: Callable[[int], np.ndarray], samples: int) -> None:
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
        return _indexed(sample, key)


def _indexed(array: np.ndarray, key: list) -> Any:
    """Index every axis by itself, the last first so that the others stay."""
    for axis in reversed(range(len(key))):
        array = array[(slice(None),) * axis + (key[axis],)]
    return array


def lazy(
    load: Callable[[int], np.ndarray], samples: int, dims: tuple[str, ...]
) -> xr.Variable:
    """A variable on ("sample", *dims) that `load` gives the samples of.

    Args:
        load: ``load(n)`` is sample n; all are of one shape and type. Sample 0 is read
            at once, the others when values are.
        samples: their number.
        dims: axes of a sample.
    """
    array = indexing.LazilyIndexedArray(_BySample(load, samples))
    return xr.Variable(("sample", *dims), array)
