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
    parted,
    prolonged,
    repeated,
    space_curvatures,
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

    Values at points are interpolated linearly in time and space. Means over cells are
    parted in space by parabolas that keep them, and with wavelets whose approximations
    are such means (haar) the scale of these is 0: whatever is generated keeps them.
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
        one = jnp.ones((1,) * (condition.ndim - 1), condition.dtype)
        scale = []
        for quantity in targets.fields:
            decided = _decided(quantity, targets)
            if quantity.name in found:
                local = _local(found[quantity.name].error, targets)
                scale += [0 * local if certain else local for certain in decided]
            else:
                scale += [one] * len(decided)
        packing, along = targets.packing(targets.dims), _refined(targets)
        seen = [
            repeated(states.curvatures[..., n], 1 + along[0])
            for states in found.values()
            for n in range(len(along))
        ]
        features = [packing.means_along(curvature, along) for curvature in seen]
        return Estimate(
            mean,
            jnp.stack(jnp.broadcast_arrays(*scale), -1),
            jnp.concatenate(features, -1),
        )

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """A curvature for each refined axis of each state that is given coarse.

        On axes that are not refined all their subbands count.
        """
        estimated = self._interpolated(given) & keys_of(Role.EVOLVING, targets).keys()
        refined = len(_refined(targets))
        return len(estimated) * refined * 2 ** (len(targets.dims) - refined)

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
    if quantity.cells:
        mean = coarse
        for axis, beyond in enumerate(continued, start=2):
            mean = parted(mean, axis, beyond)
        differences = space_curvatures(coarse, continued)
    else:
        before = quantity.between_walls(initial[:, None])[:, 0]
        mean = prolonged(coarse, before, continued)
        differences = curvatures(coarse, before, continued)
    error = interpolation_error(differences)
    place = (slice(None), *(slice(None, None, r) for r in targets.refinement), None)
    return _States(mean, error, differences / error[place])


def _refined(targets: WaveletLayout) -> tuple[int, ...]:
    """Numbers of the axes on which coarse states have fewer samples."""
    return tuple(n for n, ratio in enumerate(targets.refinement) if ratio > 1)


def _decided(quantity: Field, targets: WaveletLayout) -> tuple[bool, ...]:
    """Which channels of a target its coarse values decide.

    Means over cells decide what wavelets make of them alone, values at points nothing.
    """
    packing = targets.packing(quantity.dims)
    if not quantity.cells:
        return (False,) * len(packing.names)
    return packing.of_means(tuple(map(quantity.dims.index, quantity.cells)))


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
