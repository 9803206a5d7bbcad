"""Where obstacles and exits lie in the box of WDNO's smoke problem (appendix H)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

__all__ = ["EXITS", "LENGTH", "OBSTACLES", "RING", "Rectangle", "covered", "in_ring"]

LENGTH = 128
"""Edge of the box in the units of `Rectangle`; walls are one unit thick."""
RING = 16
"""Thickness of the ring along the box's edge in which a velocity is imposed."""


class Rectangle(NamedTuple):
    """A part of the box: lower left corner, then extents."""

    y: int
    x: int
    height: int
    width: int


OBSTACLES = (
    Rectangle(16, 16, 1, 96),  # floor
    *(Rectangle(y, x, h, 1) for x in (16, 112) for y, h in ((16, 8), (40, 16))),
    *(Rectangle(72, x, 40, 1) for x in (16, 112)),  # upper side walls
    Rectangle(112, 16, 1, 8),  # ceiling, with three gaps
    Rectangle(112, 40, 1, 16),
    Rectangle(112, 72, 1, 16),
    Rectangle(112, 104, 1, 8),
    *(Rectangle(y, x, 16, 1) for x in (48, 80) for y in (64, 96)),  # inner walls
    Rectangle(40, 40, 1, 48),  # lid above the smoke
)
EXITS = (
    *(Rectangle(112, x, 15, 20) for x in (22, 54, 86)),  # top; the middle is the goal
    *(Rectangle(y, 0, 20, 16) for y in (22, 54)),  # left
    *(Rectangle(y, 112, 20, 15) for y in (22, 54)),  # right
)


def covered(
    rectangles: Sequence[Rectangle], cells: int, spacing: float
) -> Bool[np.ndarray, "rectangle cells cells"]:
    """Which cells of a square grid lie in each rectangle; at least one in each."""
    masks = np.zeros((len(rectangles), cells, cells), bool)
    for mask, rectangle in zip(masks, rectangles, strict=True):
        places = []
        for start, extent in zip(rectangle[:2], rectangle[2:], strict=True):
            first = round(start / spacing)
            places.append(slice(first, max(round((start + extent) / spacing), 1)))
        mask[tuple(places)] = True
    return masks


def in_ring(faces: int, spacing: float) -> Bool[np.ndarray, "{faces} {faces}"]:
    """Which faces (or cells), by their lower left corner, lie in the outer ring."""
    corner = np.arange(faces) * spacing
    outer = (corner < RING) | (corner >= LENGTH - RING)
    return outer[:, None] | outer[None]
