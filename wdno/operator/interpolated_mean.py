"""The mean of a refiner: interpolated coarse states, and how far these may be off."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.interpolation import (
    SMALLEST,
    Continuation,
    around,
    curvatures,
    interpolation_error,
    odd,
    prolonged,
    repeated,
    straight,
)
from wdno.operator.residual import Coefficients, Estimate, nothing_known
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import Field, Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions


@register
@jax.tree_util.register_static
@dataclass(frozen=True)
class Interpolation:
    """Coarse states, interpolated; the scale is the error of interpolation.

    That falls with the square of the spacing, and what a network gets wrong with it.
    Features are the curvatures of the coarse states, in the same units: in those of the
    states they fade on finer grids, and a network can only be as exact there as it sees
    them. Targets of which no coarse or no initial values are given have mean 0 and
    scale 1.
    """

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """Estimate of the targets of which coarse and initial states are given.

        Walls of the target, otherwise the modes of its layout, say how states go on
        beyond the ends of space.
        """
        unknown = nothing_known(condition, targets)
        found = {
            quantity.name: _interpolated(known, quantity, targets, given)
            for quantity in targets.fields
            if quantity.name in self._interpolated(given)
        }
        if not found:
            return unknown
        mean = targets.analysis(
            targets.synthesis(unknown.mean)
            | {name: states.mean for name, states in found.items()}
        )
        scales = {name: _local(states.error, targets) for name, states in found.items()}
        names = [channel.split(":")[0] for channel in targets.channels]
        one = jnp.ones((1,) * (condition.ndim - 1), condition.dtype)
        scale = jnp.broadcast_arrays(*(scales.get(name, one) for name in names))
        features = [
            targets.means(repeated(states.curvatures[..., axis]))
            for states in found.values()
            for axis in range(len(targets.dims))
        ]
        return Estimate(mean, jnp.stack(scale, -1), jnp.stack(features, -1))

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """A curvature for each axis of each state that is given coarse."""
        estimated = self._interpolated(given) & keys_of(Role.EVOLVING, targets).keys()
        return len(estimated) * len(targets.dims)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Interpolation":
        """Itself."""
        return self

    def described(self) -> "Interpolation":
        """Itself."""
        return self

    def _interpolated(self, given: Conditions) -> set[str]:
        """What is given at the beginning and on the coarse grid."""
        coarse, initial = (keys_of(r, given) for r in (Role.COARSE, Role.INITIAL))
        return coarse.keys() & initial.keys()


class _States(NamedTuple):
    """Interpolated states of one target."""

    mean: Float[Array, "batch frames *space"]
    error: Float[Array, "batch frames *space"]
    curvatures: Float[Array, "batch coarse_frames *coarse_space axis"]
    """In units of the error."""


def _interpolated(
    known: Fields, quantity: Field, targets: WaveletLayout, given: Conditions
) -> _States:
    initial, coarse = (
        known[keys_of(role, given)[quantity.name]]
        for role in (Role.INITIAL, Role.COARSE)
    )
    continued = tuple(
        _continuation(dim, mode, quantity)
        for dim, mode in zip(targets.dims[1:], targets.mode[1:], strict=True)
    )
    coarse = quantity.between_walls(coarse)
    before = quantity.between_walls(initial[:, None])[:, 0]
    differences = curvatures(coarse, before, continued)
    error = interpolation_error(differences)
    place = (slice(None), *(slice(None, None, 2),) * (coarse.ndim - 1), None)
    return _States(
        prolonged(coarse, before, continued), error, differences / error[place]
    )


def _local(
    error: Float[Array, "batch *extent"], targets: WaveletLayout
) -> Float[Array, "batch *grid"]:
    """The scale on the grid of coefficients: local means, which are positive.

    Those of longer wavelets have weights of both signs.
    """
    means = targets.means(error)
    everywhere = means.mean(axis=tuple(range(1, means.ndim)), keepdims=True)
    return jnp.maximum(means, SMALLEST * everywhere)


def _continuation(dim: str, mode: str, quantity: Field) -> Continuation:
    """By the walls of a quantity, otherwise as the wavelets of its axis go on."""
    if dim in quantity.walls:
        return odd
    return around if mode == "periodization" else straight
