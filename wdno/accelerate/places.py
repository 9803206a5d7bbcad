"""Which windows are in flight, and how far each is."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wdno.accelerate.flight import Flight


class Places(NamedTuple):
    """Where windows are: the state of a stream, replaced as a whole."""

    flight: Flight | None
    """Arrays of all places; None while no window is in flight."""
    done: tuple[int | None, ...]
    """Steps done in each; None where there is no window."""
    elapsed: tuple[int, ...]
    """Frames of each that are over."""
    rolls: int
    """How often windows were shifted: a number for each draw of noise."""

    def with_window(self, flight: Flight, place: int) -> "Places":
        """With a window that has done nothing yet."""
        done, elapsed = list(self.done), list(self.elapsed)
        done[place], elapsed[place] = 0, 0
        return self._replace(flight=flight, done=tuple(done), elapsed=tuple(elapsed))

    @property
    def latest(self) -> int:
        """Most frames that are over of a window in flight."""
        pairs = zip(self.elapsed, self.done, strict=True)
        return max((at for at, done in pairs if done is not None), default=0)

    def by_row(self, values: Sequence[int] | np.ndarray) -> Array:
        """One number a place, as one a row; levels in the type of the samples.

        Raises:
            ValueError: no window is in flight.
        """
        if self.flight is None:
            raise ValueError("There are rows while windows are in flight. Begin one.")
        x = self.flight.x
        repeated = np.repeat(np.asarray(values), len(x) // len(self.done))
        floating = np.issubdtype(repeated.dtype, np.floating)
        return jnp.asarray(repeated, x.dtype if floating else int)
