"""What coarse states say of the fine ones by themselves, and how far that may be off.

A refiner generates departures from the interpolated coarse states, in units of how far
interpolation may be off: ``z = (u - P u_coarse) / r``. The distribution of u is the
same, but departures are of order one wherever fields are smooth or steep, and on every
grid: r falls with the square of the spacing, and what a network gets wrong with it.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.layout import WaveletLayout
from wdno.packing import Packing
from wdno.tiled_layout import TiledTargets

Coarse = Float[Array, "batch coarse_frames *coarse_space"]
Before = Float[Array, "batch *space"]
Fine = Float[Array, "batch frames *space"]

Targets = WaveletLayout | TiledTargets

SMALLEST = 0.05
"""Least spread, as a share of its root mean square over a window."""


class Guess(NamedTuple):
    """Interpolated states, and how far they may be off, in units of the states."""

    states: Fine
    spread: Fine


def first_guess(known: Fields, layout: Targets) -> dict[str, Guess]:
    """Guesses for the targets of which coarse states are given, by name.

    Args:
        known: what is given, of which coarse states and initial ones are used.
        layout: of the targets; its modes say how fields go on beyond the ends of space.
    """
    guesses = {}
    if not isinstance(layout, WaveletLayout):  # coarse states are in the array itself
        return guesses
    for quantity in layout.fields:
        name = quantity.name
        if f"{name}_coarse" in known:
            given = known[f"{name}_coarse"], known[f"{name}0"], layout.mode
            guesses[name] = Guess(prolonged(*given), spread(*given))
    return guesses


def departures(fields: Fields, guesses: dict[str, Guess]) -> Fields:
    """Fields with departures ``(u - guess) / spread`` in place of guessed states."""
    return fields | {
        name: (fields[name] - guess.states) / guess.spread
        for name, guess in guesses.items()
    }


def restored(fields: Fields, guesses: dict[str, Guess]) -> Fields:
    """Undo `departures`."""
    return fields | {
        name: guess.states + guess.spread * fields[name]
        for name, guess in guesses.items()
    }


def energy_share(
    layout: Targets, guesses: dict[str, Guess]
) -> Float[Array, "*where channel"]:
    """What an error of each coefficient counts in physical space, 1 on average.

    That of `WaveletLayout.energy_share`, times the square of the local spread where
    coefficients are those of a departure.
    """
    share = jnp.asarray(layout.energy_share)
    if not guesses or not isinstance(layout, WaveletLayout):
        return share
    packing = Packing(layout.grid, layout.wavelet, layout.mode, layout.levels)
    squares = {
        name: packing.means(jnp.square(guess.spread))[..., None]
        for name, guess in guesses.items()
    }
    like = next(iter(squares.values()))
    names = [channel.split(":")[0] for channel in layout.channels]
    units = [squares.get(name, jnp.ones_like(like)) for name in names]
    weight = jnp.concatenate(units, axis=-1)
    weight = weight * jnp.broadcast_to(share.astype(weight.dtype), weight.shape)
    return weight / weight.mean()


def prolonged(coarse: Coarse, before: Before, mode: tuple[str, ...]) -> Fine:
    """Coarse states on the grid of twice the samples, interpolated linearly.

    Exact for states that are linear along every axis; samples of the coarse grid keep
    their values. Beyond the last position comes the first again along an axis of mode
    "periodization", as for its wavelets, and a linear continuation along others.

    Args:
        coarse: states at t_2, t_4, … and x_0, x_2, … (see `tasks.with_conditions`).
        before: fine states at t_0.
        mode: of each axis, time first.
    """
    fine = coarse
    for axis in range(2, coarse.ndim):
        ends = _continued(fine, axis, mode[axis - 1])
        midpoints = (_cut(ends, axis, 1, -1) + _cut(ends, axis, 2, None)) / 2
        fine = _interleaved(fine, midpoints, axis)
    record = jnp.concatenate([before[:, None], fine], axis=1)
    midpoints = (record[:, 1:] + record[:, :-1]) / 2
    return _interleaved(midpoints, fine, 1)


def spread(coarse: Coarse, before: Before, mode: tuple[str, ...]) -> Fine:
    """How far `prolonged` may be off: root of the local sum of squared curvatures.

    Halfway between samples linear interpolation is off by an eighth of the second
    difference. Squares of these are averaged over three coarse samples along each axis;
    a share `SMALLEST` of their mean is added, so that nothing is divided by zero.

    Args:
        coarse: as in `prolonged`.
        before: as in `prolonged`.
        mode: of each axis, time first.
    """
    subsampled = (slice(None), *(slice(None, None, 2),) * (before.ndim - 1))
    record = jnp.concatenate([before[subsampled][:, None], coarse], axis=1)
    power = jnp.square(_curvature(_extrapolated(record, 1), 1))[:, 1:]
    for axis in range(2, coarse.ndim):
        ends = _continued(coarse, axis, mode[axis - 1])
        power += jnp.square(_curvature(ends, axis))
    for axis in range(1, coarse.ndim):
        ends = jnp.concatenate(
            [_cut(power, axis, 0, 1), power, _cut(power, axis, -1, None)], axis=axis
        )
        sides = _cut(ends, axis, 0, -2) + _cut(ends, axis, 2, None)
        power = (power + sides) / 3
    everywhere = power.mean(axis=tuple(range(1, power.ndim)), keepdims=True)
    root = jnp.sqrt(power + SMALLEST**2 * everywhere + 1e-10)
    for axis in range(1, root.ndim):
        root = jnp.repeat(root, 2, axis=axis)
    return root


def _curvature(ends: Array, axis: int) -> Array:
    """Second differences of samples with one more at either end."""
    sides = _cut(ends, axis, 0, -2) + _cut(ends, axis, 2, None)
    return sides - 2 * _cut(ends, axis, 1, -1)


def _continued(u: Array, axis: int, mode: str) -> Array:
    """Samples with one more at either end of an axis, as its wavelets continue them."""
    if mode != "periodization":
        return _extrapolated(u, axis)
    last, first = _cut(u, axis, -1, None), _cut(u, axis, 0, 1)
    return jnp.concatenate([last, u, first], axis=axis)


def _extrapolated(u: Array, axis: int) -> Array:
    """Samples with one more at either end of an axis, on the line through two of them.

    A single sample is continued by itself.
    """
    last = u.shape[axis] - 1
    place = partial(lax.index_in_dim, u, axis=axis)
    below = 2 * place(0) - place(min(1, last))
    beyond = 2 * place(last) - place(max(last - 1, 0))
    return jnp.concatenate([below, u, beyond], axis=axis)


def _cut(u: Array, axis: int, start: int, stop: int | None) -> Array:
    return u[(slice(None),) * axis + (slice(start, stop),)]


def _interleaved(first: Array, second: Array, axis: int) -> Array:
    """Samples of the two in turn along an axis."""
    extents = list(first.shape)
    extents[axis] *= 2
    return jnp.stack([first, second], axis=axis + 1).reshape(extents)
