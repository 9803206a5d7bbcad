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
        basic = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, basic, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        which, *inside = key
        if isinstance(which, int | np.integer):
            return np.asarray(self._load(int(which))[tuple(inside)])
        rows = [self._load(n)[tuple(inside)] for n in range(self.shape[0])[which]]
        empty = np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *inside)]
        return np.stack(rows) if rows else empty


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
