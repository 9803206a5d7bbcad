"""Whole trajectories, some at a time, for what is fitted to all of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

AT_ONCE = 32
"""Trajectories that are in work at once, which bounds the memory."""

Arrays = Mapping[str, Float[np.ndarray, "record *axes"]]


@dataclass(frozen=True)
class Records:
    """Trajectories by number, of which those are read that are asked for.

    Attributes:
        count: of trajectories.
        read: fields by name, (record, frame, *space), of the trajectories with these
            numbers.
    """

    count: int
    read: Callable[[Int[np.ndarray, " record"]], Arrays]

    def parts(
        self, chosen: Int[np.ndarray, " record"] | None = None
    ) -> Iterator[Arrays]:
        """A few after the others, of all or of those that are chosen."""
        chosen = np.arange(self.count) if chosen is None else chosen
        for first in range(0, len(chosen), AT_ONCE):
            yield self.read(chosen[first : first + AT_ONCE])
