"""Chunks of a data set as tasks that any process can do, any number of times."""

import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from typing import Any

import jax

from wdno.systems.base import PhysicalSystem, trajectories
from wdno.systems.regions import Regions

__all__ = ["ChunkTask", "in_threads", "package_version"]

_WRITING = threading.Lock()


@dataclass(frozen=True)
class ChunkTask:
    """Solves a chunk and keeps it; called again it does nothing, or the same.

    Attributes:
        system: that is solved.
        recipe: of the data set, JSON.
        regions: where chunks go.
        double: whether numbers are of double precision by default.
    """

    system: PhysicalSystem
    recipe: str
    regions: Regions
    double: bool = field(default_factory=lambda: in_double())

    def __call__(self, index: int) -> int:
        """The number of the chunk, once it is there.

        Raises:
            ValueError: this process has another version of the package or another
                precision, or a solution diverges.
        """
        recipe = json.loads(self.recipe)
        if recipe["wdno"] != package_version():
            raise ValueError(
                f"A data set is made by one version of wdno, here {recipe['wdno']}, "
                f"but this process has {package_version()}. Install one everywhere."
            )
        if self.double != in_double():
            raise ValueError(
                "A data set is made in one precision, but this process has another. "
                f"Set JAX_ENABLE_X64={int(self.double)} where workers start."
            )
        if not self.regions.kept(index):
            data = chunk_of(self.system, recipe, index)
            with _WRITING:
                self.regions.keep(index, data)
        return index


def chunk_of(system: PhysicalSystem, recipe: dict[str, Any], index: int) -> Any:
    """The trajectories of a chunk: from the seed and its number alone."""
    count = min(recipe["chunk"], recipe["samples"] - index * recipe["chunk"])
    key = jax.random.key(recipe["seed"], impl="threefry2x32")
    return trajectories(system, jax.random.fold_in(key, index), count)


def in_threads(task: Any, indices: Sequence[int], workers: int) -> Iterator[Any]:
    """Results in their order, as many tasks at once as there are workers."""
    if workers == 1:  # in this thread, which an interrupt stops at once
        yield from map(task, indices)
        return
    with ThreadPoolExecutor(workers) as pool:
        begun = deque(pool.submit(task, index) for index in indices[:workers])
        for _, next_one in zip_longest(indices, indices[workers:]):
            result = begun.popleft().result()
            if next_one is not None:
                begun.append(pool.submit(task, next_one))
            yield result


def in_double() -> bool:
    """Whether numbers of this process are of double precision by default."""
    return jax.dtypes.canonicalize_dtype(float).itemsize == 8


def package_version() -> str:
    """Of this package, as recipes note it."""
    try:
        return version("wdno")
    except PackageNotFoundError:
        return "not installed"
