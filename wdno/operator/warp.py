"""A scalar on a grid, carried along by a flow: semi-Lagrangian, differentiable."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Scalars = Float[Array, "batch *space scalar"]
Steps = Float[Array, "batch *space axis"]


def carried(scalars: Scalars, displacement: Steps) -> Scalars:
    """Each scalar where the flow came from, ``s(x) <- s(x - d(x))``.

    Linear interpolation between grid points: stable for every step, no new extremes
    arise, and gradients with respect to both arguments are those of the interpolation.
    The sum over points is kept by uniform flow alone. What flows in from beyond the
    grid is zero; the last points fade to it within one spacing.

    Args:
        scalars: several that are carried alike.
        displacement: d, in spacings along each axis.
    """
    extents = scalars.shape[1:-1]
    # One point of zeros around: what comes from farther out is zero as well.
    corners = _corners(jnp.pad(scalars, [(0, 0), *((1, 1) for _ in extents), (0, 0)]))
    place, shares = jnp.zeros(scalars.shape[:-1], jnp.int32), []
    for axis, extent in enumerate(extents):
        points = jax.lax.broadcasted_iota(scalars.dtype, place.shape, 1 + axis) + 1
        came_from = jnp.clip(points - displacement[..., axis], 0, extent + 1)
        below = jnp.minimum(came_from, extent).astype(jnp.int32)
        shares.append((came_from - below.astype(scalars.dtype))[..., None])
        place = place * (extent + 1) + below
    flat = corners.reshape(len(scalars), -1, corners.shape[-1])
    found = jax.vmap(_rows)(flat, place.reshape(len(scalars), -1))
    found = found.reshape(*place.shape, -1)
    # Axis by axis: one product of weights for all corners takes XLA five times as long.
    for share in shares:
        lower, upper = jnp.split(found, 2, axis=-1)
        found = lower + share * (upper - lower)
    return found


def upsampled(
    x: Float[Array, "batch *space"], factor: int, axis: int, ahead: float
) -> Float[Array, "batch *fine"]:
    """Linear interpolation onto `factor` points a spacing, along one axis.

    Point i of the result lies at ``i / factor + ahead`` spacings, up to the last point
    of x; beyond the ends x stays as it is there.

    Returns:
        x with ``factor (n - 1) + 1`` points along that axis.
    """
    count = x.shape[axis]
    places = np.arange(factor * (count - 1) + 1) / factor + ahead
    places = np.clip(places, 0, count - 1)
    below = np.minimum(places.astype(int), max(count - 2, 0))
    above = np.minimum(below + 1, count - 1)
    others = [n for n in range(x.ndim) if n != axis]
    share = jnp.expand_dims(jnp.asarray(places - below, x.dtype), others)
    lower, upper = (jnp.take(x, at, axis=axis) for at in (below, above))
    return lower + share * (upper - lower)


def repeated(
    x: Float[Array, "batch *space"], factor: int
) -> Float[Array, "batch *fine"]:
    """Each value on the `factor` points from its own on, along every axis of space.

    Returns:
        x with ``factor (n - 1) + 1`` points along each: the last one stands for itself.
    """
    for axis in range(1, x.ndim):
        count = factor * (x.shape[axis] - 1) + 1
        whole = jnp.repeat(x, factor, axis=axis)
        x = jax.lax.slice_in_dim(whole, 0, count, axis=axis)
    return x


def _corners(padded: Scalars) -> Float[Array, "batch *cells value"]:
    """Values at the corners of each cell, one gather for all of them.

    Those at the lower end of the first axis come first, and so on.
    """
    axes = range(1, padded.ndim - 1)
    parts = []
    for ends in itertools.product((0, 1), repeat=len(axes)):
        part = padded
        for axis, end in zip(axes, ends, strict=True):
            stop = padded.shape[axis] - 1 + end
            part = jax.lax.slice_in_dim(part, end, stop, axis=axis)
        parts.append(part)
    return jnp.stack(parts, -2).reshape(*parts[0].shape[:-1], -1)


def _rows(
    table: Float[Array, "row value"], places: Int[Array, " point"]
) -> Float[Array, "point value"]:
    """Rows of a table; places are in it."""
    return table.at[places].get(mode="promise_in_bounds")
