"""What is known of the targets beforehand: a mean, and a scale for what it leaves open.

A model with a residual generates ``z = (u - mean) / scale`` in place of u. The
distribution of u is the same, but what is left to the network is of order one wherever
fields are smooth or steep, and on every grid. A refiner's mean are the interpolated
coarse states, its scale is how far interpolation may be off: that falls with the square
of the spacing, and what a network gets wrong with it. What the residual depends on
first, the curvatures of the coarse states, the network is given in the same units: in
those of the states they fade on finer grids, and a network can only be as exact there
as it sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.interpolation import (
    Before,
    Coarse,
    Continuation,
    Curvatures,
    Fine,
    around,
    curvatures,
    interpolation_error,
    odd,
    prolonged,
    repeated,
    straight,
)
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import Field, Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions


class Estimate(NamedTuple):
    """What is known of one target beforehand, batch first."""

    mean: Fine
    """Expected values."""
    scale: Fine
    """How far these may be off, in units of the values."""
    features: Curvatures | None = None
    """What the residual depends on first, in units of the scale, if anything: values
    on every second sample along every axis, some a place."""


Estimates = Mapping[str, Estimate]
"""Estimates by the names of the targets that have one."""


@runtime_checkable
class Residual(Protocol):
    """How a model estimates its targets before it generates what is left."""

    def __call__(
        self, known: Fields, targets: WaveletLayout, given: Conditions
    ) -> dict[str, Estimate]:
        """Estimates of some targets from what is known, by name."""
        ...

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Number of channels of `curvature_features`."""
        ...


@register
@dataclass(frozen=True)
class Interpolation:
    """Coarse states, interpolated; the scale is the error of interpolation."""

    def __call__(
        self, known: Fields, targets: WaveletLayout, given: Conditions
    ) -> dict[str, Estimate]:
        """Estimates of the targets of which coarse and initial states are given.

        Walls of the target, otherwise the modes of its layout, say how states go on
        beyond the ends of space.
        """
        initial, coarse = keys_of(Role.INITIAL, given), keys_of(Role.COARSE, given)
        estimates = {}
        for quantity in targets.fields:
            if quantity.name not in coarse:
                continue
            continued = tuple(
                _continuation(dim, mode, quantity)
                for dim, mode in zip(targets.dims[1:], targets.mode[1:], strict=True)
            )
            estimates[quantity.name] = _interpolated(
                quantity.between_walls(known[coarse[quantity.name]]),
                quantity.between_walls(known[initial[quantity.name]][:, None])[:, 0],
                continued,
            )
        return estimates

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """A curvature for each axis of each state that is given coarse."""
        estimated = keys_of(Role.COARSE, given).keys() & keys_of(Role.EVOLVING, targets)
        return len(estimated) * len(targets.dims)


def residuals(fields: Fields, estimates: Estimates) -> Fields:
    """Fields with ``(u - mean) / scale`` in place of what has an estimate."""
    return fields | {
        name: (fields[name] - estimate.mean) / estimate.scale
        for name, estimate in estimates.items()
    }


def restored(fields: Fields, estimates: Estimates) -> Fields:
    """Undo `residuals`."""
    return fields | {
        name: estimate.mean + estimate.scale * fields[name]
        for name, estimate in estimates.items()
    }


def energy_share(
    layout: WaveletLayout, estimates: Estimates
) -> Float[Array, "*where channel"]:
    """What an error of each coefficient counts in physical space, 1 on average.

    That of `WaveletLayout.energy_share`, times the square of the local scale where
    coefficients are those of a residual.
    """
    share = jnp.asarray(layout.energy_share)
    if not estimates:
        return share
    squares = {
        name: layout.means(jnp.square(estimate.scale))[..., None]
        for name, estimate in estimates.items()
    }
    like = next(iter(squares.values()))
    names = [channel.split(":")[0] for channel in layout.channels]
    units = [squares.get(name, jnp.ones_like(like)) for name in names]
    weight = jnp.concatenate(units, axis=-1)
    weight = weight * jnp.broadcast_to(share.astype(weight.dtype), weight.shape)
    return weight / weight.mean()


def curvature_features(
    layout: WaveletLayout, estimates: Estimates
) -> list[Float[Array, "batch *grid axis"]]:
    """Features of the estimates on the grid of coefficients, a channel an axis."""
    return [
        jnp.stack(
            [
                layout.means(repeated(estimate.features[..., axis]))
                for axis in range(len(layout.dims))
            ],
            axis=-1,
        )
        for estimate in estimates.values()
        if estimate.features is not None
    ]


def _interpolated(
    coarse: Coarse, before: Before, continued: tuple[Continuation, ...]
) -> Estimate:
    differences = curvatures(coarse, before, continued)
    scale = interpolation_error(differences)
    place = (slice(None), *(slice(None, None, 2),) * (coarse.ndim - 1), None)
    return Estimate(
        prolonged(coarse, before, continued), scale, differences / scale[place]
    )


def _continuation(dim: str, mode: str, quantity: Field) -> Continuation:
    """By the walls of a quantity, otherwise as the wavelets of its axis go on."""
    if dim in quantity.walls:
        return odd
    return around if mode == "periodization" else straight
