"""What every part of the package asks of plain arrays and axes."""

import numpy as np

_TOLERANCE = 1e-3
"""Of a cell, in which points may differ: single precision does, another grid more."""
_POLE = 90 + 1e-4
"""In degrees."""
_COARSEST = 0.1
"""Of a cell, which the rounding of points in half precision may reach."""


def working_type(name: str, dtype: np.dtype) -> np.dtype:
    """The type to compute in with such values: float32 or float64 of this machine.

    It is the smaller one that holds them: half precision and whole numbers of two bytes
    are computed with in single precision, wider ones in double precision.

    Raises:
        ValueError: they are no real numbers, such as text, dates or complex ones.
    """
    try:
        wide = np.promote_types(dtype, np.float32)
    except TypeError:  # dates
        wide = np.dtype(object)
    if wide.kind != "f":
        raise ValueError(
            f"Fields hold real numbers, but {name} is of type {dtype}. Convert it, "
            "e.g. by `.astype(float)`; of complex numbers take `.real` and `.imag` as "
            "two fields."
        )
    return np.dtype(np.float32 if wide.itemsize <= 4 else np.float64)


def real(name: str, values: np.ndarray) -> np.ndarray:
    """The values as float32 or float64 in the byte order of this machine.

    Raises:
        ValueError: see `working_type`.
    """
    return values.astype(working_type(name, values.dtype), copy=False)


def not_finite(values: np.ndarray) -> np.ndarray:
    """Which rows of an array hold NaN or Inf, shape (rows,)."""
    inner = tuple(range(1, np.ndim(values)))
    return np.asarray(~np.isfinite(values).all(axis=inner))


def same_points(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two axes have the same points, to a thousandth of the smallest cell.

    A single point has no cell, and agrees to a thousandth of its size; points may also
    differ by the rounding of their own type. What are no numbers, such as dates, is
    equal or not.
    """
    if ours.shape != theirs.shape:
        return False
    if ours.dtype.kind not in "fiu" or theirs.dtype.kind not in "fiu":
        return np.array_equal(ours, theirs)
    expected = theirs.astype(float)
    cells = abs(np.diff(expected)) if len(expected) > 1 else abs(expected)
    cell = cells.min(initial=np.inf)
    rounding = max(_rounding(ours), _rounding(theirs))
    return bool((abs(ours - expected) <= _allowed(cell, rounding)).all())


def evenly_spaced(points: np.ndarray) -> bool:
    """Whether the steps between points are equal to a thousandth of a cell."""
    steps = np.diff(points.astype(float))
    allowed = _allowed(abs(steps).min(initial=np.inf), 2 * _rounding(points))
    return not steps.size or bool(np.ptp(steps) <= allowed)


def contrast(ours: np.ndarray, theirs: np.ndarray) -> tuple[str, str]:
    """Two axes in words: their ends, and where they differ most if these are alike.

    Numbers have six digits, or as many as it takes to tell them apart.
    """
    pair = ours, theirs
    ends = [f"{_ends(points)} ({len(points)} points)" for points in pair]
    if len(ours) != len(theirs) or ends[0] != ends[1]:
        return ends[0], ends[1]
    if ours.dtype.kind in "fiu" and theirs.dtype.kind in "fiu":
        worst = int(np.argmax(abs(ours.astype(float) - theirs.astype(float))))
        texts = apart(float(ours[worst]), float(theirs[worst]))
    else:
        worst = int(np.argmax(ours != theirs))
        texts = str(ours[worst]), str(theirs[worst])
    at = f"at index {worst}"
    return f"{ends[0]}, {texts[0]} {at}", f"{ends[1]}, {texts[1]} {at}"


def beyond_poles(latitude: np.ndarray) -> str | None:
    """The latitude in degrees that lies beyond a pole, in words; None if none does.

    The poles of a file miss 90 degrees by the rounding of sums in single precision.
    """
    worst = float(latitude[abs(latitude).argmax()])
    return apart(worst, 90.0 if worst > 0 else -90.0)[0] if abs(worst) > _POLE else None


def _ends(points: np.ndarray) -> str:
    """First and last point, numbers with the digits that tell them apart."""
    first, last = points[[0, -1]]
    numbers = points.dtype.kind in "fiu"
    texts = apart(float(first), float(last)) if numbers else (str(first), str(last))
    return " … ".join(texts)


def apart(first: float, second: float) -> tuple[str, str]:
    """Two numbers with six digits, or as many as it takes to tell them apart."""
    digits = 6
    while f"{first:.{digits}g}" == f"{second:.{digits}g}" and digits < 17:
        digits += 1
    if first == second:
        digits = 6
    return f"{first:.{digits}g}", f"{second:.{digits}g}"


def _rounding(points: np.ndarray) -> float:
    """Of the largest point, in its own type."""
    if points.dtype.kind != "f" or not points.size:
        return 0.0
    return float(np.finfo(points.dtype).eps * abs(points).max())


def _allowed(cell: float, rounding: float) -> float:
    return max(_TOLERANCE * cell, min(rounding, _COARSEST * cell))
