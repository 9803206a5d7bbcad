"""Hard constraints: projections of physical fields onto what is allowed.

A constraint maps fields to the nearest fields that are allowed, so it is idempotent,
``P(P(u)) = P(u)``, and leaves what is allowed already as it is. Where an objective only
asks, a constraint holds to the last bit.
"""

from functools import cache, partial
from math import inf
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, DTypeLike, Float
from scipy.fft import dct

from wdno._functions import ByValue, by_value
from wdno._typing import Constraint, Fields


class Linear(NamedTuple):
    """A constraint that is an orthogonal projection onto a linear subspace.

    ``P(a u + b v) = a P(u) + b P(v)`` and ``P = P^T``, so the gradient of J(P(f)) is
    the projected gradient of J, and a descent under it costs no more than a free one.

    Attributes:
        project: the projection, P.
    """

    project: Constraint

    def __call__(self, fields: Fields) -> Fields:
        """What is allowed and nearest."""
        return self.project(fields)


@cache  # one object for equal bounds: jit compiles once
def bounds(name: str, low: float = -inf, high: float = inf) -> Constraint:
    """Keep a field within bounds: ``f <- min(max(f, low), high)`` everywhere.

    The bounds hold in exact arithmetic: one that the precision of the field cannot
    represent is replaced by the next number inside.

    Args:
        name: the field.
        low: smallest value allowed, in units of the field.
        high: largest value allowed.

    Raises:
        ValueError: unless low < high; when called, if there is no such field.

    Example:
        >>> weak = bounds("f", -1.0, 1.0)
    """
    if not low < high:
        raise ValueError(
            f"The bounds of {name!r} must satisfy low < high, but are {low} and {high};"
            " equal ones allow one control only. Swap them or move them apart."
        )

    def clamp(fields: Fields) -> Fields:
        field = _named(fields, name)
        least = _inside(low, field.dtype, inf)
        most = _inside(high, field.dtype, -inf)
        return {**fields, name: jnp.clip(field, least, most)}

    return clamp


def region(name: str, mask: ArrayLike | Bool[np.ndarray, "..."]) -> Linear:
    """Confine a field to a part of space: ``f <- f`` where `mask` holds, else 0.

    Args:
        name: the field, of shape (batch, frames, *space) or (batch, *space).
        mask: where it may differ from zero, boolean, of shape (*space).

    Raises:
        ValueError: if `mask` is not boolean or is False everywhere; when called, if
            there is no such field or it lies on another grid.

    Example:
        >>> left = region("f", system.coords["x"] < 0.5)
    """
    inside = np.asarray(mask)
    if inside.dtype != bool:
        raise ValueError(
            f"The mask of a region is boolean, but that of {name!r} is {inside.dtype}. "
            "Compare it with something, e.g. `mask > 0`."
        )
    if not inside.any():
        raise ValueError(
            f"A region must hold at least one point, but the mask of {name!r} is False "
            "everywhere and excludes every control. Is it inverted?"
        )

    def confine(fields: Fields) -> Fields:
        field = _named(fields, name)
        if not inside.ndim or field.shape[1:][-inside.ndim :] != inside.shape:
            raise ValueError(
                f"The mask of a region lies on the grid of its field, but {name!r} has "
                f"the shape {field.shape} (batch, …, *space) and the mask "
                f"{inside.shape}. Make it on the coordinates of the field."
            )
        # The last axes of the field are those of the mask; nothing else is broadcast.
        allowed = jnp.broadcast_to(inside, field.shape)
        return {**fields, name: jnp.where(allowed, field, jnp.zeros_like(field))}

    return Linear(confine)


def smooth(name: str, *waves: int) -> Linear:
    """Keep the slowest cosines of a field: ``f <- B^T B f`` along time and each axis.

    The rows of B are the first of the orthonormal cosines of the points n = 0 … N - 1,
    ``cos(pi k (n + 1/2) / N)`` with k below the number of waves: a constant, half a
    period, a whole one, and so on. Models react to fields rougher than those of their
    training in directions of their own, which a descent through one would find.

    Args:
        name: the field, of shape (batch, frames, *space) or (batch, *space).
        waves: how many cosines to keep, one number an axis.

    Raises:
        ValueError: if an axis keeps none; when called, if there is no such field or it
            has another number of axes, or fewer points along one than waves.

    Example:
        >>> slow = smooth("f", 3, 8)  # of time and of x
    """
    if not waves or min(waves) < 1:
        raise ValueError(
            f"A smooth field has one cosine an axis or more, but {name!r} is to keep "
            f"{waves}. Ask for more; 1 is a constant."
        )

    def soften(fields: Fields) -> Fields:
        field = _named(fields, name)
        shape = field.shape[1:]
        if len(shape) != len(waves) or any(np.less(shape, waves)):
            raise ValueError(
                f"A smooth field keeps a number of cosines of each axis, but {name!r} "
                f"has the axes {shape} and is to keep {waves}. Give a number for each, "
                "not above that of the points."
            )
        for axis, (points, count) in enumerate(zip(shape, waves, strict=True), 1):
            cosines = np.asarray(dct(np.eye(points), norm="ortho", axis=0))[:count]
            onto = jnp.asarray(cosines.T @ cosines, field.dtype)
            apply = partial(jnp.tensordot, precision=jax.lax.Precision.HIGHEST)
            field = jnp.moveaxis(apply(field, onto, (axis, 0)), -1, axis)
        return {**fields, name: field}

    return Linear(soften)


def all_of(*constraints: Constraint) -> Constraint:
    """Apply constraints in order: ``all_of(first, then)(u) == then(first(u))``.

    For constraints that commute, such as bounds that contain 0 and regions, this is the
    projection onto what all of them allow. For others it need not be: the last one
    holds, the ones before it perhaps no longer.
    """

    def apply(fields: Fields) -> Fields:
        for constraint in constraints:
            fields = constraint(fields)
        return fields

    return apply


def check_constraint(
    constraint: Constraint, fields: Fields, controls: tuple[str, ...]
) -> None:
    """Try a constraint once, so that mistakes show before a long run.

    Args:
        constraint: the projection to try.
        fields: random fields of the size of data, two rows at least, each of which is
            another draw.
        controls: names of the fields that a planner is free to choose.

    Raises:
        ValueError: if the constraint adds, drops or reshapes a field, is not finite or
            not idempotent, or allows one control only.
    """
    apply = partial(_apply, by_value(constraint))
    once = apply(fields)
    came, left = (_signature(f) for f in (fields, once))
    if came != left:
        raise ValueError(
            "A constraint keeps the names, shapes and types of the fields, but it took "
            f"{came} and returned {left}. Return {{**fields, name: changed}}."
        )
    twice = apply(once)
    for name, field in once.items():
        if not np.isfinite(field).all():
            raise ValueError(
                f"A constraint must be finite, but its {name!r} is not. Check it for "
                "division by zero, and for roots and logarithms."
            )
        size = float(np.abs(fields[name]).max())
        if not np.allclose(field, twice[name], rtol=1e-3, atol=1e-3 * size):
            raise ValueError(
                "A constraint is a projection, which changes nothing when applied "
                f"again, but {name!r} changed. Do its parts contradict each other, or "
                "does it scale or shift what is allowed already?"
            )
    # Data may lie on one side of what is allowed altogether; much larger fields do not.
    large = apply({name: 1e3 * np.asarray(field) for name, field in fields.items()})
    if not any(_differ(f[name]) for f in (once, large) for name in controls):
        raise ValueError(
            f"A constraint must leave a choice, but this one excludes every control "
            f"{list(controls)} but one. Loosen it."
        )


@partial(jax.jit, static_argnums=0)
def _apply(constraint: ByValue[Constraint], fields: Fields) -> Fields:
    return constraint.value(fields)


def _named(fields: Fields, name: str) -> Array:
    if name not in fields:
        raise ValueError(
            f"This constraint acts on {name!r}, but the fields to project are "
            f"{sorted(fields)}. Name one of them; where a solver gives the states, "
            "only controls can be constrained."
        )
    return fields[name]


def _inside(bound: float, dtype: DTypeLike, inward: float) -> np.generic:
    """The number of this precision that is next to `bound` on its allowed side."""
    rounded = np.dtype(dtype).type(bound)
    exact = float(rounded)
    outside = exact < bound if inward > 0 else exact > bound
    return np.nextafter(rounded, type(rounded)(inward)) if outside else rounded


def _signature(fields: Fields) -> dict[str, str]:
    return {name: f"{f.dtype}{list(f.shape)}" for name, f in sorted(fields.items())}


def _differ(rows: Float[Array, "batch ..."]) -> bool:
    held = np.asarray(rows)  # on the host nothing is compiled
    return bool((held[1:] != held[:-1]).any())
