"""What of a field that is carried leaves through which exit."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from wdno._json import register

Region = tuple[tuple[float, float], ...]
"""A box: from where to where along each axis of space, in points of the grid."""


@register
@dataclass(frozen=True)
class Outflow:
    """How much of what is carried came into one of several exits.

    It is counted once, where it is first found in an exit, and taken out. With what
    exit e had absorbed by then, a_e(t), and what remained outside all exits, r(t), the
    share of the goal g is ``a_g / (Σ_e a_e + r)``.

    Attributes:
        share: the target that is that share, on the axis of time.
        exits: boxes; a point lies in one from its first up to below its second bound.
        goal: number of the exit that counts.

    Raises:
        ValueError: there is no such exit, or one has no extent.
    """

    share: str
    exits: tuple[Region, ...]
    goal: int = 0

    def __post_init__(self) -> None:
        """Refuse exits that nothing can come into."""
        sides = [side for exit_ in self.exits for side in exit_]
        if not all(-math.inf < start < stop < math.inf for start, stop in sides):
            raise ValueError(
                "An exit reaches from a lower to a higher bound along each axis, but "
                f"got {self.exits}. Correct it."
            )
        if not 0 <= self.goal < len(self.exits):
            raise ValueError(
                f"Exits are numbered from 0 to {len(self.exits) - 1}, but the goal is "
                f"{self.goal}. Choose one of them."
            )

    def masks(
        self, points: tuple[int, ...], refinement: int
    ) -> Bool[np.ndarray, "exit *space"]:
        """Which points of a grid refined by a factor lie in each exit."""
        found = []
        for exit_ in self.exits:
            inside = np.ones(points, bool)
            for axis, ((start, stop), count) in enumerate(
                zip(exit_, points, strict=True)
            ):
                place = np.arange(count) / refinement
                others = [n for n in range(len(points)) if n != axis]
                within = (place >= start) & (place < stop)
                inside &= np.expand_dims(within, others)
            found.append(inside)
        return np.stack(found)
