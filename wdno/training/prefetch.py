"""Batches that are loaded while others are in use."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

T = TypeVar("T")

AHEAD = 4
"""Batches that wait for their turn: enough for a disk that is slow now and then."""


def prefetch(batches: Callable[[int], T], step: int) -> Iterator[T]:
    """Batches of step, step + 1, …, of which up to `AHEAD` are loaded in advance.

    One thread loads them: NetCDF and HDF5 let one in at a time, and `batches` need not
    mind others.

    Args:
        batches: the batch of a step.
        step: the first.
    """
    loader = ThreadPoolExecutor(max_workers=1)
    try:
        waiting = deque(loader.submit(batches, n) for n in range(step, step + AHEAD))
        for n in count(step + AHEAD):
            waiting.append(loader.submit(batches, n))
            yield waiting.popleft().result()
    finally:
        loader.shutdown(cancel_futures=True)
