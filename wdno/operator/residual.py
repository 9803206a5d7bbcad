"""What is known of the targets beforehand: a mean, and a scale for what it leaves open.

A model with a residual generates ``r = (z - mean) / scale`` in place of the
coefficients z of its targets. The distribution of z is the same, but what is left to
the diffusion is of order one in every subband, however much of it the condition
decides: noise of level σ then hides the same share of each. What the residual depends
on first, the network is given beside the condition.

Kinds: the interpolated coarse states of a refiner (`Interpolation`), a linear map of
what is given (`wdno.operator.linear_mean`), what estimated velocities carry
(`wdno.operator.transport`), and a network that was trained to give the mean
(`wdno.operator.learned_mean`). All but the first may begin with another one.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

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
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import Field, Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions, Layout

Coefficients = Float[Array, "batch *grid channel"]


class Estimate(NamedTuple):
    """What is known of the targets beforehand, on the grid of their coefficients."""

    mean: Coefficients
    """Expected coefficients."""
    scale: Float[Array, "*where channel"]
    """How far these may be off, in their own units; axes of extent 1 are constant."""
    features: Float[Array, "batch *grid feature"]
    """What the residual depends on first, possibly no channel."""


@runtime_checkable
class Residual(Protocol):
    """How a model estimates its targets before it generates what is left.

    A frozen dataclass and a pytree: its leaves are parameters, if it has some. In
    recipes and on cards it is described, without parameters.
    """

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """What the given fields and their coefficients say of the targets."""
        ...

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Number of features."""
        ...

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Residual":
        """With fresh parameters, where it has some and is only described."""
        ...

    def described(self) -> "Residual":
        """Without parameters."""
        ...


def residuals(z: Coefficients, estimate: Estimate) -> Coefficients:
    """``(z - mean) / scale``."""
    return (z - estimate.mean) / estimate.scale


def restored(r: Coefficients, estimate: Estimate) -> Coefficients:
    """Undo `residuals`."""
    return estimate.mean + estimate.scale * r


def nothing_known(condition: Coefficients, targets: WaveletLayout) -> Estimate:
    """The estimate of a model of whole fields: mean 0, scale 1, no features."""
    around_channels = condition.shape[:-1]
    zeros = jnp.zeros((*around_channels, len(targets.channels)), condition.dtype)
    ones = jnp.ones((1,) * condition.ndim, condition.dtype)
    return Estimate(zeros, ones, zeros[..., :0])


def begun(
    base: Residual | None,
    known: Fields,
    condition: Coefficients,
    targets: WaveletLayout,
    given: Conditions,
) -> Estimate:
    """What an estimate that builds on another one begins with."""
    if base is None:
        return nothing_known(condition, targets)
    return base(known, condition, targets, given)


def scaled(estimate: Estimate, scale: tuple[float, ...]) -> Estimate:
    """The estimate with its scale times a number for each channel; empty means 1."""
    if not scale:
        return estimate
    ndim = estimate.mean.ndim
    factor = jnp.expand_dims(jnp.asarray(scale, estimate.mean.dtype), range(ndim - 1))
    return estimate._replace(scale=estimate.scale * factor)


def energy_share(
    layout: Layout, estimate: Estimate | None
) -> Float[Array, "*where channel"]:
    """What an error of each coefficient counts in physical space, 1 on average.

    `energy_weight`, so that losses of all models have one size.
    """
    weight = energy_weight(layout, estimate)
    return weight if estimate is None else weight / weight.mean()


def energy_weight(
    layout: Layout, estimate: Estimate | None
) -> Float[Array, "*where channel"]:
    """What an error of each coefficient counts in physical space, in one unit for all.

    That of `Layout.energy_share`, times the square of the scale where coefficients are
    those of a residual.
    """
    share = jnp.asarray(layout.energy_share)
    if estimate is None:
        return share
    square = jnp.square(estimate.scale)
    return square * jnp.expand_dims(share.astype(square.dtype), range(square.ndim - 1))


@register
@jax.tree_util.register_static
@dataclass(frozen=True)
class Interpolation:
    """Coarse states, interpolated; the scale is the error of interpolation.

    That falls with the square of the spacing, and what a network gets wrong with it.
    Features are the curvatures of the coarse states, in the same units: in those of the
    states they fade on finer grids, and a network can only be as exact there as it sees
    them. Targets of which no coarse values are given have mean 0 and scale 1.
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
            if quantity.name in keys_of(Role.COARSE, given)
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
        estimated = keys_of(Role.COARSE, given).keys() & keys_of(Role.EVOLVING, targets)
        return len(estimated) * len(targets.dims)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Interpolation":
        """Itself."""
        return self

    def described(self) -> "Interpolation":
        """Itself."""
        return self


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
