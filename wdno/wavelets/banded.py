"""Products with long matrices of wavelet transforms, whose rows repeat.

But for a few at either end, rows of such a matrix are one filter, moved by the same
number of columns from row to row: M = T + E, of which E is zero but for a few rows and
columns. Blocks of rows of T are all the same small matrix, applied to windows of the
input, ``(T x)[k B : (k+1) B] = W x[k S + o : k S + o + w]`` with B rows, S columns, the
offset o and the width w of a window. Work and memory grow with the length, where those
of the whole matrix grow with its square.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

__all__ = ["Banded", "Dense", "Product", "product_with"]

Product = Callable[[Array, int], Array]
"""``product(x, axis)``: a matrix times an array along one of its axes."""

LONGEST_DENSE = 256
"""Side up to which a matrix is applied as it is: short axes are faster like that."""
SIZE = 16
"""Of the shorter side of a block: rows of an analysis, columns of a synthesis."""
MOST_OTHERS = 0.25
"""Largest share of rows, and of columns, that are none of the filter."""


def product_with(matrix: Float[np.ndarray, "row column"]) -> Product:
    """The product with a matrix, by blocks where it is long and they repeat."""
    banded = Banded.of(matrix) if max(matrix.shape) > LONGEST_DENSE else None
    return Dense(matrix) if banded is None else banded


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix as it is."""

    matrix: Float[np.ndarray, "row column"]

    def __call__(self, x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
        """The product along an axis, in the precision of the array."""
        matrix = self.matrix.astype(x.dtype)
        y = jnp.tensordot(x, matrix, (axis, 1), precision="highest")
        return jnp.moveaxis(y, -1, axis)


@dataclass(frozen=True, eq=False)
class Banded:
    """A matrix as a repeated block and what is left at its ends.

    Attributes:
        length: rows of the matrix.
        step: S.
        offset: o, negative where a window begins before its block.
        block: W.
        rows: of the rest E.
        columns: of the rest.
        rest: E there.
    """

    length: int
    step: int
    offset: int
    block: Float[np.ndarray, "row window"]
    rows: Int[np.ndarray, " other"]
    columns: Int[np.ndarray, " place"]
    rest: Float[np.ndarray, "other place"]

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "row column"]) -> "Banded | None":
        """A matrix in this form, or None if its rows do not repeat like that."""
        length, columns = matrix.shape
        # From row to row an analysis moves by two columns, a synthesis by half of one.
        size, step = (SIZE, 2 * SIZE) if length < columns else (2 * SIZE, SIZE)
        count = -(-length // size)
        middle = count // 2
        part = matrix[middle * size : (middle + 1) * size]
        places = np.flatnonzero(part.any(axis=0))
        begin, end = places[0], places[-1] + 1
        block, offset = part[:, begin:end], int(begin - middle * step)
        if len(part) < size or end - begin > 2 * step:
            return None
        # Columns before the first and after the last are cut off again.
        repeated = np.zeros((count * size, columns + 2 * (columns + end)))
        for k in range(count):
            first = columns + end + k * step + offset
            repeated[k * size : (k + 1) * size, first : first + end - begin] = block
        rest = matrix - repeated[:length, columns + end : 2 * columns + end]
        rows, others = (np.flatnonzero(rest.any(axis=axis)) for axis in (1, 0))
        if len(rows) > MOST_OTHERS * length or len(others) > MOST_OTHERS * columns:
            return None
        rest = rest[np.ix_(rows, others)]
        return cls(length, step, offset, block, rows, others, rest)

    def __call__(self, x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
        """The product along an axis, in the precision of the array."""
        return jnp.moveaxis(self._along_last(jnp.moveaxis(x, axis, -1)), -1, axis)

    def _along_last(
        self, x: Float[Array, "*batch column"]
    ) -> Float[Array, "*batch row"]:
        size = len(self.block)
        count = -(-self.length // size)
        reach = (count + 1) * self.step
        ends = (-self.offset, reach - x.shape[-1] + self.offset, 0)
        none = [(0, 0, 0)] * (x.ndim - 1)
        padded = jax.lax.pad(x, jnp.zeros((), x.dtype), [*none, ends])
        steps = padded.reshape(*x.shape[:-1], count + 1, self.step)
        # A window is a step and the beginning of the next.
        head, tail = np.split(self.block, [self.step], axis=1)
        here, after = steps[..., :-1, : head.shape[1]], steps[..., 1:, : tail.shape[1]]
        y = _times(here, head) + _times(after, tail)
        y = y.reshape(*x.shape[:-1], count * size)[..., : self.length]
        if len(self.rows):
            y = y.at[..., self.rows].add(_times(x[..., self.columns], self.rest))
        return y


def _times(
    x: Float[Array, "*batch column"], matrix: Float[np.ndarray, "row column"]
) -> Float[Array, "*batch row"]:
    return jnp.matmul(x, matrix.T.astype(x.dtype), precision="highest")
