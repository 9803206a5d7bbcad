"""Regression of reduced rank from moments: what all fits of linear means share."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

PENALTIES = (1e-6, 1e-4, 1e-2)
"""Penalties that are tried, in units of the mean variance of an input."""
JUDGED = 8
"""One record of so many judges the penalties; the others are fitted."""

SURPLUS, ITERATIONS = 16, 4
"""Vectors beyond the rank, and rounds, of the search for singular vectors."""

Matrix = Float[np.ndarray, "_ _"]
Rows = Callable[[], Iterator[tuple[Matrix, Matrix]]]
"""Inputs and outputs, a few rows at a time; as often as it is called."""


class Moments(NamedTuple):
    """Means, and second moments about them."""

    mean_x: Float[np.ndarray, " input"]
    mean_y: Float[np.ndarray, " output"]
    xx: Matrix
    xy: Matrix


def judges(count: int) -> np.ndarray:
    """Which of so many records judge a penalty; each fit has one at least."""
    return np.arange(count) % JUDGED == min(count, JUDGED) - 1


def moments_of(rows: Rows) -> Moments:
    """Of all rows, read twice."""
    count, sums = 0, [np.zeros(()), np.zeros(())]
    for pair in rows():
        count += len(pair[0])
        sums = [s + v.sum(axis=0, dtype=float) for s, v in zip(sums, pair, strict=True)]
    mean_x, mean_y = (total / count for total in sums)
    xx = np.zeros((mean_x.size, mean_x.size))
    xy = np.zeros((mean_x.size, mean_y.size))
    for x, y in rows():
        x, y = x - mean_x.astype(x.dtype), y - mean_y.astype(y.dtype)
        xx += x.T @ x
        xy += x.T @ y
    return Moments(mean_x, mean_y, xx / count, xy / count)


def penalised(xx: Matrix, penalty: float) -> Matrix:
    """Second moments of inputs, and a penalty on their diagonal."""
    inputs = len(xx)
    return xx + penalty * np.trace(xx) / inputs * np.eye(inputs)


def reduced_rank(ridge: Matrix, left: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """The best map of a rank, down and then up.

    With ``C = L Lᵀ`` that is ``L⁻ᵀ U Uᵀ L⁻¹ R``, where U are the first left singular
    vectors of ``L⁻¹ R`` (Izenman, J. Multivariate Anal. 5 (1975), 248).

    Args:
        ridge: penalised moments of inputs, C.
        left: moments of inputs and outputs, R.
        rank: of the map; beyond that of R the rest is zero.
    """
    lower = cholesky(ridge, lower=True)
    whitened = solve_triangular(lower, left, lower=True)
    first = leading(whitened, rank)
    down, up = solve_triangular(lower.T, first), first.T @ whitened
    # Of equal size, so that half precision holds both.
    size = np.sqrt(np.abs(up).max(1, initial=0) / np.abs(down).max(0, initial=1e-300))
    size = np.where(size > 0, size, 1.0)
    return down * size, up / size[:, None]


def leading(matrix: Matrix, rank: int) -> Matrix:
    """First left singular vectors, by iteration of a random subspace.

    Halko, Martinsson and Tropp, SIAM Review 53 (2011), 217, algorithm 4.4.
    """
    width = min(*matrix.shape, rank + SURPLUS)
    draw = np.random.default_rng(0)
    basis = matrix @ draw.standard_normal((matrix.shape[1], width))
    for _ in range(ITERATIONS):
        basis = matrix @ (matrix.T @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    vectors, _, _ = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    leading = (basis @ vectors)[:, :rank]
    return np.pad(leading, ((0, 0), (0, rank - leading.shape[1])))
