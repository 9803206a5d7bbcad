"""What coarse states say of the fine ones by themselves, and how far that may be off.

A refiner generates departures from the interpolated coarse states, in units of how far
interpolation may be off: ``z = (u - P u_coarse) / r``. The distribution of u is the
same, but departures are of order one wherever fields are smooth or steep, and on every
grid: r falls with the square of the spacing, and what a network gets wrong with it.
What a departure depends on first, the curvatures of the coarse states, it is given in
the same units: in those of the states they fade on finer grids, and a network can only
be as exact there as it sees them.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.field import Field
from wdno.layout import WaveletLayout
from wdno.prolongation import (
    Before,
    Coarse,
    Continuation,
    Curvatures,
    Fine,
    around,
    curvatures,
    odd,
    prolonged,
    repeated,
    spread,
    straight,
)
from wdno.tiled_layout import TiledConditions, TiledTargets

Targets = WaveletLayout | TiledTargets


class Guess(NamedTuple):
    """What coarse states say of fine ones."""

    states: Fine
    """Interpolated states."""
    spread: Fine
    """How far these may be off, in units of the states."""
    curvatures: Curvatures
    """Second differences of the coarse states, in units of the spread."""


def first_guess(known: Fields, layout: Targets) -> dict[str, Guess]:
    """Guesses for the targets of which coarse states are given, by name.

    Args:
        known: what is given, of which coarse states and initial ones are used.
        layout: of the targets; walls of its fields, otherwise its modes, say how states
            go on beyond the ends of space.
    """
    guesses = {}
    if not isinstance(layout, WaveletLayout):  # coarse states are in the array itself
        return guesses
    for quantity in layout.fields:
        name = quantity.name
        if f"{name}_coarse" in known:
            continued = tuple(
                _continuation(dim, mode, quantity)
                for dim, mode in zip(layout.dims[1:], layout.mode[1:], strict=True)
            )
            guesses[name] = _guess(
                quantity.between_walls(known[f"{name}_coarse"]),
                quantity.between_walls(known[f"{name}0"][:, None])[:, 0],
                continued,
            )
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
    squares = {
        name: layout.means(jnp.square(guess.spread))[..., None]
        for name, guess in guesses.items()
    }
    like = next(iter(squares.values()))
    names = [channel.split(":")[0] for channel in layout.channels]
    units = [squares.get(name, jnp.ones_like(like)) for name in names]
    weight = jnp.concatenate(units, axis=-1)
    weight = weight * jnp.broadcast_to(share.astype(weight.dtype), weight.shape)
    return weight / weight.mean()


def evidence(
    layout: Targets, guesses: dict[str, Guess]
) -> list[Float[Array, "batch *grid axis"]]:
    """Curvatures of guessed states on the grid of coefficients, a channel an axis."""
    if not isinstance(layout, WaveletLayout):
        return []
    return [
        jnp.stack(
            [
                layout.means(repeated(guess.curvatures[..., axis]))
                for axis in range(len(layout.dims))
            ],
            axis=-1,
        )
        for guess in guesses.values()
    ]


def evidence_channels(targets: Targets, given: WaveletLayout | TiledConditions) -> int:
    """Number of channels of `evidence` for a model of these layouts."""
    if not isinstance(targets, WaveletLayout):
        return 0
    known = {quantity.name for quantity in given.fields}
    guessed = [q for q in targets.fields if f"{q.name}_coarse" in known]
    return len(guessed) * len(targets.dims)


def _guess(
    coarse: Coarse, before: Before, continued: tuple[Continuation, ...]
) -> Guess:
    differences = curvatures(coarse, before, continued)
    width = spread(differences)
    place = (slice(None), *(slice(None, None, 2),) * (coarse.ndim - 1), None)
    return Guess(
        prolonged(coarse, before, continued), width, differences / width[place]
    )


def _continuation(dim: str, mode: str, quantity: Field) -> Continuation:
    """By the walls of a quantity, otherwise as the wavelets of its axis go on."""
    if dim in quantity.walls:
        return odd
    return around if mode == "periodization" else straight
