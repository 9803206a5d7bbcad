"""Which cells of a grid are refined, as many in every row."""

import math

import jax
from jaxtyping import Array, Float

from wdno.networks.patches import Places, dilate

Scores = Float[Array, "batch *cell"]


def cone_reach(speed: float, spacing: tuple[float, ...]) -> tuple[int, ...]:
    """Cells by which a choice is widened so that what moves stays inside.

    One everywhere, since wavelets overlap, and along axes of space as many more as a
    wave of the largest speed crosses during a cell of time (Courant's cone).

    Args:
        speed: the largest.
        spacing: size of a cell in time, then along each axis of space.
    """
    time, *space = spacing
    return (1, *(1 + math.ceil(speed * time / width) for width in space))


def most(scores: Scores, kept: int, reach: tuple[int, ...]) -> Places:
    """Places of the cells with the largest mean of their own and their surroundings'.

    Args:
        scores: of each cell, on their grid.
        kept: how many.
        reach: cells along each axis that count as surroundings, of which the largest
            score is taken.

    Raises:
        ValueError: there are fewer cells.
    """
    count = math.prod(scores.shape[1:])
    if kept > count:
        raise ValueError(
            f"As many cells are refined as there are at most, but `kept` is {kept} on "
            f"a grid of {scores.shape[1:]} cells. Take {count} for all of them."
        )
    wide = (scores + dilate(scores, reach)).reshape(len(scores), -1)
    return jax.lax.top_k(wide, kept)[1]
