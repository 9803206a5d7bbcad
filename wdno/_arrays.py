"""What every part of the package asks of plain arrays."""

import numpy as np

_TOLERANCE = 1e-3
"""Of a cell, in which points may differ: single precision does, another grid more."""


def not_finite(values: np.ndarray) -> np.ndarray:
    """Which rows of an array hold NaN or Inf, shape (rows,)."""
    inner = tuple(range(1, np.ndim(values)))
    return np.asarray(~np.isfinite(values).all(axis=inner))


def same_points(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two axes have the same points, to a thousandth of the smallest cell.

    A single point has no cell, and agrees to a thousandth of its size; points that are
    no numbers, such as dates, are equal or not.
    """
    if ours.shape != theirs.shape:
        return False
    if ours.dtype.kind not in "fiu" or theirs.dtype.kind not in "fiu":
        return np.array_equal(ours, theirs)
    expected = theirs.astype(float)
    cells = abs(np.diff(expected)) if len(expected) > 1 else abs(expected)
    return bool((abs(ours - expected) <= _TOLERANCE * cells.min(initial=np.inf)).all())


def evenly_spaced(points: np.ndarray) -> bool:
    """Whether the steps between points are equal to a thousandth of a cell."""
    steps = np.diff(points.astype(float))
    return not steps.size or bool(np.ptp(steps) <= _TOLERANCE * abs(steps).min())
