"""Twice the samples from coarse states: interpolation, and how far it may be off."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Coarse = Float[Array, "batch coarse_frames *coarse_space"]
Before = Float[Array, "batch *space"]
Fine = Float[Array, "batch frames *space"]
Curvatures = Float[Array, "batch coarse_frames *coarse_space axis"]

Continuation = Callable[[Array, int], Array]
"""Adds a sample at either end of an axis: `odd`, `around`, `straight` or `level`."""

SMALLEST = 0.05
"""Least error, as a share of its root mean square over a window."""


def prolonged(
    coarse: Coarse, before: Before, continued: tuple[Continuation, ...]
) -> Fine:
    """Coarse states on the grid of twice the samples, interpolated linearly.

    Exact for states that are linear along every axis; samples of the coarse grid keep
    their values.

    Args:
        coarse: states at t_2, t_4, … and x_0, x_2, … (see `tasks.with_conditions`).
        before: fine states at t_0.
        continued: how states go on beyond the ends of each axis of space.
    """
    fine = coarse
    for axis, beyond in enumerate(continued, start=2):
        fine = doubled(fine, axis, beyond)
    record = jnp.concatenate([before[:, None], fine], axis=1)
    midpoints = (record[:, 1:] + record[:, :-1]) / 2
    return _interleaved(midpoints, fine, 1)


def doubled(u: Array, axis: int, continued: Continuation) -> Array:
    """Samples and, behind each, the mean of it and the next: twice as many on an axis.

    Args:
        u: samples.
        axis: of interpolation.
        continued: how samples go on beyond the last.
    """
    ends = continued(u, axis)
    midpoints = (_cut(ends, axis, 1, -1) + _cut(ends, axis, 2, None)) / 2
    return _interleaved(u, midpoints, axis)


def parted(means: Array, axis: int, continued: Continuation) -> Array:
    """Means over the halves of cells, of parabolas with the means over three cells.

    ``ū_i ∓ (ū_(i+1) - ū_(i-1)) / 8``: exact for parabolas, and the mean over a cell is
    that over its halves (Harten 1995, Comm. Pure Appl. Math. 48, 1305).

    Args:
        means: over cells.
        axis: of the cells.
        continued: how means go on beyond the ends.
    """
    ends = continued(means, axis)
    change = (_cut(ends, axis, 2, None) - _cut(ends, axis, 0, -2)) / 8
    return _interleaved(means - change, means + change, axis)


def curvatures(
    coarse: Coarse, before: Before, continued: tuple[Continuation, ...]
) -> Curvatures:
    """Second differences of coarse states along each axis, the last one of the result.

    Arguments as in `prolonged`.
    """
    subsampled = (slice(None), *(slice(None, None, 2),) * (before.ndim - 1))
    record = jnp.concatenate([before[subsampled][:, None], coarse], axis=1)
    in_time = _curvature(straight(record, 1), 1)[:, 1:, ..., None]
    return jnp.concatenate([in_time, space_curvatures(coarse, continued)], axis=-1)


def space_curvatures(coarse: Coarse, continued: tuple[Continuation, ...]) -> Curvatures:
    """Those along the axes of space alone."""
    along = [
        _curvature(beyond(coarse, axis), axis)
        for axis, beyond in enumerate(continued, start=2)
    ]
    return jnp.stack(along, axis=-1)


def interpolation_error(second_differences: Curvatures) -> Fine:
    """How far `prolonged` may be off: root of the local sum of squared curvatures.

    Halfway between samples linear interpolation is off by an eighth of the second
    difference. Squares of these are averaged over three coarse samples along each of
    their axes; a share `SMALLEST` of their mean is added, so that nothing is divided by
    zero.

    Args:
        second_differences: along all axes (see `curvatures`) or those of space.
    """
    power = jnp.square(second_differences).sum(axis=-1)
    first = power.ndim - second_differences.shape[-1]
    for axis in range(first, power.ndim):
        ends = jnp.concatenate(
            [_cut(power, axis, 0, 1), power, _cut(power, axis, -1, None)], axis=axis
        )
        sides = _cut(ends, axis, 0, -2) + _cut(ends, axis, 2, None)
        power = (power + sides) / 3
    everywhere = power.mean(axis=tuple(range(1, power.ndim)), keepdims=True)
    return repeated(jnp.sqrt(power + SMALLEST**2 * everywhere + 1e-10), first)


def odd(u: Array, axis: int) -> Array:
    """Samples with one more at either end of an axis between two walls.

    The first sample and the one beyond the last lie on a wall, where states vanish and
    change their sign.
    """
    mirrored = -lax.index_in_dim(u, min(1, u.shape[axis] - 1), axis)
    wall = jnp.zeros_like(mirrored)
    return jnp.concatenate([mirrored, u, wall], axis=axis)


def around(u: Array, axis: int) -> Array:
    """Samples with one more at either end of a closed axis: the last and the first."""
    last, first = _cut(u, axis, -1, None), _cut(u, axis, 0, 1)
    return jnp.concatenate([last, u, first], axis=axis)


def straight(u: Array, axis: int) -> Array:
    """Samples with one more at either end of an axis, on the line through two of them.

    A single sample is continued by itself.
    """
    last = u.shape[axis] - 1
    place = partial(lax.index_in_dim, u, axis=axis)
    below = 2 * place(0) - place(min(1, last))
    beyond = 2 * place(last) - place(max(last - 1, 0))
    return jnp.concatenate([below, u, beyond], axis=axis)


def level(u: Array, axis: int) -> Array:
    """Samples with one more at either end of an axis, as it is there."""
    return jnp.concatenate([_cut(u, axis, 0, 1), u, _cut(u, axis, -1, None)], axis)


def repeated(u: Array, first: int = 1) -> Array:
    """Values of the coarse grid at the samples of the fine one.

    Args:
        u: values of the coarse grid.
        first: axis on which it is coarser, as on all behind it.
    """
    for axis in range(first, u.ndim):
        u = jnp.repeat(u, 2, axis=axis)
    return u


def _curvature(ends: Array, axis: int) -> Array:
    """Second differences of samples with one more at either end."""
    sides = _cut(ends, axis, 0, -2) + _cut(ends, axis, 2, None)
    return sides - 2 * _cut(ends, axis, 1, -1)


def _cut(u: Array, axis: int, start: int, stop: int | None) -> Array:
    return u[(slice(None),) * axis + (slice(start, stop),)]


def _interleaved(first: Array, second: Array, axis: int) -> Array:
    """Samples of the two in turn along an axis."""
    extents = list(first.shape)
    extents[axis] *= 2
    return jnp.stack([first, second], axis=axis + 1).reshape(extents)
