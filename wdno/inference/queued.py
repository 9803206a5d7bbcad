"""Records in parts, of which several windows are made at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler
from wdno.operator.model import WDNO


@runtime_checkable
class WindowQueue(Protocol):
    """Windows that are made several at a time, as `wdno.accelerate` does."""

    def stride(self, model: WDNO) -> int:
        """Frames by which each window begins after the one before."""
        ...

    def run(
        self,
        model: WDNO,
        initial: Fields,
        given: Iterable[Fields],
        *,
        sampler: Sampler,
        sigmas: Float[Array, " levels"],
        keys: RowKeys,
    ) -> Iterator[Fields]:
        """Fields of each window as far as the next one begins, of the last of all.

        Args:
            model: of the simulation task.
            initial: states before the first window, and what never changes.
            given: what else is given over each window.
            sampler: rule of one step in noise level.
            sigmas: decreasing noise levels that end in 0.
            keys: one a row.
        """
        ...


def windows_of(frames: int, window: int, stride: int) -> int:
    """How many windows a record has, of which the last may stick out."""
    return 1 + max(0, -(-(frames - window) // stride))


def queued(
    model: WDNO,
    queue: WindowQueue,
    initial: Fields,
    read: Callable[[int, int], Fields],
    frames: int,
    *,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    keys: RowKeys,
) -> Iterator[Fields]:
    """A record part after part, as windows leave a queue.

    Args:
        model: of the simulation task.
        queue: how windows follow each other.
        initial: states at the beginning, and what never changes.
        read: ``read(begin, end)`` gives what is given over these frames of the record;
            in a window that sticks out the last row is repeated.
        frames: of the record.
        sampler: rule of one step in noise level.
        sigmas: decreasing noise levels that end in 0.
        keys: one a row.

    Raises:
        ValueError: the model is a refiner, or the queue does not fit the model.
    """
    if model.coarse:
        raise ValueError(
            "Windows of simulations follow each other in a queue, but this model "
            f"refines {sorted(model.coarse)}. Chain its windows, without `blocks`."
        )
    stride, window = queue.stride(model), model.window
    count = windows_of(frames, window, stride)

    def given() -> Iterator[Fields]:
        for begin in range(0, count * stride, stride):
            end = min(begin + window, frames)
            held = np.minimum(np.arange(window), end - begin - 1)
            yield {
                name: jnp.asarray(f)[:, held] for name, f in read(begin, end).items()
            }

    how = {"sampler": sampler, "sigmas": sigmas, "keys": keys}
    parts = queue.run(model, initial, given(), **how)
    return _cut(parts, (*model.state, *model.auxiliary), frames)


def _cut(
    parts: Iterator[Fields], names: tuple[str, ...], frames: int
) -> Iterator[Fields]:
    """Parts that are no longer than a record together."""
    for part in parts:
        record = {name: part[name][:, :frames] for name in names}
        frames -= len(next(iter(record.values()))[0])
        yield record
