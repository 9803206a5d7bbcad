"""What is known of the targets beforehand: a mean, and a scale for what it leaves open.

A model with a residual generates ``r = (z - mean) / scale`` in place of the
coefficients z of its targets. The distribution of z is the same, but what is left to
the diffusion is of order one in every subband, however much of it the condition
decides: noise of level σ then hides the same share of each. What the residual depends
on first, the network is given beside the condition.

Kinds: the interpolated coarse states of a refiner (`wdno.operator.interpolated_mean`,
`held_flow`), a linear map of what is given (`linear_mean`) or of how it begins
(`record_mean`), a smooth function of both ends (`kernel_mean`), what estimated
velocities carry (`transport`, and between coarse states
`assimilation`), what a solver gives (`solved_mean`), and a network that was trained to
give the mean (`learned_mean`). All but the first may begin with another one. Around any
of them may lie a scale at each place (`local_scale`), and around all two numbers for
each channel that make ensembles fit (`calibrated`).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.wavelets.field import Field
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions, Layout

Coefficients = Float[Array, "batch *grid channel"]


class Estimate(NamedTuple):
    """What is known of the targets beforehand, on the grid of their coefficients."""

    mean: Coefficients
    """Expected coefficients."""
    scale: Float[Array, "*where channel"]
    """How far these may be off, in their own units; axes of extent 1 are constant.

    0 where they are certain: nothing that is generated changes them.
    """
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
    """``(z - mean) / scale``, and 0 where the mean is certain."""
    certain = estimate.scale == 0
    scale = jnp.where(certain, jnp.ones_like(estimate.scale), estimate.scale)
    departures = (z - estimate.mean) / scale
    return jnp.where(certain, jnp.zeros_like(departures), departures)


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


Kind = TypeVar("Kind", bound="OnBase")


class OnBase:
    """An estimate that builds on another one: what it takes from there.

    Kinds derive from it, all of them dataclasses, and add what is their own.

    Attributes:
        base: what it begins with; None for a mean of 0 and a scale of 1 (`begun`).
    """

    base: Residual | None

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Number of features: those of the base."""
        return 0 if self.base is None else self.base.channels(targets, given)

    def built(
        self: Kind, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> Kind:
        """With a base of fresh parameters."""
        base = None if self.base is None else self.base.built(targets, given, rngs)
        return self._on(base)

    def described(self: Kind) -> Kind:
        """With the description of its base."""
        return self._on(None if self.base is None else self.base.described())

    def _on(self: Kind, base: Residual | None) -> Kind:
        own: Any = self
        return dataclasses.replace(own, base=base)


def check_there(
    rule: str, names: Sequence[str], fields: Iterable[Field], dims: tuple[str, ...]
) -> None:
    """Refuse names of fields that a model does not have on these axes.

    Raises:
        ValueError: one is missing, or lies on other axes; the sentence begins with the
            rule.
    """
    there = [quantity.name for quantity in fields if quantity.dims == dims]
    if lost := [name for name in names if name not in there]:
        raise ValueError(
            f"{rule}, but {lost} are not among {there}. Name others, or add them to "
            "the recipe."
        )


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
