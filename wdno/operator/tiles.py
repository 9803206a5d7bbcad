"""Space in tiles: which act on which, and fields cut along their edges."""

import itertools
import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from wdno._json import register
from wdno._ranges import check_counts


@register
@dataclass(frozen=True)
class Tiles:
    """Equal boxes that fill space, numbered row by row; in some of them something acts.

    Attributes:
        shape: points of a tile along each axis of space.
        acting: numbers of the tiles that something acts in, ascending; empty for all.

    Raises:
        ValueError: tiles have no points, or numbers are not ascending from 0.

    Example:
        >>> Tiles((8,), acting=(0, 1, 3)).pairs((32,))
        ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2))
    """

    shape: tuple[int, ...]
    acting: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no set of tiles."""
        check_counts(shape=self.shape)
        first = self.acting[:1] and self.acting[0] < 0
        if first or sorted(set(self.acting)) != list(self.acting):
            raise ValueError(
                "Tiles are named by numbers that ascend from 0, but got "
                f"{self.acting[:8]}. Sort them, each once."
            )

    @property
    def size(self) -> int:
        """Points of a tile."""
        return math.prod(self.shape)

    def counts(self, space: tuple[int, ...]) -> tuple[int, ...]:
        """Tiles along each axis of a grid.

        Raises:
            ValueError: tiles do not fill it.
        """
        pairs = list(zip(space, self.shape, strict=False))
        if len(space) != len(self.shape) or any(n % tile for n, tile in pairs):
            raise ValueError(
                f"Tiles fill space, but those of {self.shape} points do not fill a "
                f"grid of {space}. Choose divisors of its extents, one an axis."
            )
        return tuple(n // tile for n, tile in pairs)

    def acting_on(self, space: tuple[int, ...]) -> tuple[int, ...]:
        """Numbers of the tiles of a grid that something acts in.

        Raises:
            ValueError: tiles do not fill the grid, or it has not as many.
        """
        count = math.prod(self.counts(space))
        if self.acting and self.acting[-1] >= count:
            raise ValueError(
                f"A grid of {space} has {count} tiles, but there is a tile number "
                f"{self.acting[-1]}. Correct it."
            )
        return self.acting or tuple(range(count))

    def pairs(self, space: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Pairs of acting tiles that touch, by their places among the acting ones.

        The first is the one that is acted on; each is paired with itself.
        """
        counts, acting = self.counts(space), self.acting_on(space)
        place = {number: n for n, number in enumerate(acting)}
        found = []
        for number in acting:
            at = np.unravel_index(number, counts)
            for step in itertools.product((-1, 0, 1), repeat=len(counts)):
                to = [int(a) + b for a, b in zip(at, step, strict=True)]
                if all(0 <= a < n for a, n in zip(to, counts, strict=True)):
                    other = int(np.ravel_multi_index(to, counts))
                    if other in place:
                        found.append((place[number], place[other]))
        return tuple(found)

    def split(
        self, x: Shaped[Array, "row *space value"], numbers: tuple[int, ...]
    ) -> Shaped[Array, "row tile within"]:
        """Values within some of the tiles, points before fields."""
        counts, axes = self.counts(x.shape[1:-1]), len(self.shape)
        sides = itertools.chain.from_iterable(zip(counts, self.shape, strict=True))
        cut = x.reshape(len(x), *sides, x.shape[-1])
        order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
        return cut.transpose(order).reshape(len(x), math.prod(counts), -1)[
            :, list(numbers)
        ]

    def joined(
        self,
        parts: Shaped[Array, "row tile within"],
        numbers: tuple[int, ...],
        space: tuple[int, ...],
    ) -> Shaped[Array, "row *space value"]:
        """Undo `split`; other tiles are zero."""
        counts, axes = self.counts(space), len(self.shape)
        rows, _, within = parts.shape
        whole = jnp.zeros((rows, math.prod(counts), within), parts.dtype)
        whole = whole.at[:, list(numbers)].set(parts)
        cut = whole.reshape(rows, *counts, *self.shape, -1)
        pairs = itertools.chain.from_iterable(
            (1 + a, 1 + axes + a) for a in range(axes)
        )
        return cut.transpose([0, *pairs, 2 * axes + 1]).reshape(rows, *space, -1)
