"""A mean that a network has learned, and how far it is off, subband by subband.

The network is a backbone without noise: it is given what is known and returns the
expected coefficients, in units of the estimate that it begins with, if there is one.
It is trained by its squared error (`wdno.training.loss.mean_loss`), before the
denoiser, whose noise levels are then relative to what the mean leaves open.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from wdno import networks
from wdno._json import register
from wdno._typing import Fields
from wdno.diffusion.denoiser import Network, freeze
from wdno.operator.residual import (
    Coefficients,
    Estimate,
    OnBase,
    Residual,
    begun,
    scaled,
)
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors, check_scale
from wdno.wavelets.protocols import Conditions


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LearnedMean(OnBase):
    """The mean by a network, a scale per channel.

    ``mean = m + s F(condition)`` and ``scale = s c``, with mean m and scale s of the
    estimate that it begins with (0 and 1 without one) and c the root mean square of
    what F leaves open, channel by channel.

    Attributes:
        network: F, a backbone; in recipes and on cards its configuration, while it is
            trained the module.
        base: the estimate that it begins with.
        scale: c, one number a channel; empty means 1 everywhere.

    Raises:
        ValueError: a scale is not positive and finite.

    Example:
        >>> recipe = replace(recipe, residual=LearnedMean(FourierConfig((8, 16))))
    """

    network: object
    base: Residual | None = None
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what nothing can be divided by."""
        check_divisors(self.scale)

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """What is known of the targets, from the given fields and their coefficients.

        Features are those of the base and what the network says.
        """
        first = begun(self.base, known, condition, targets, given)
        nothing = jnp.zeros(
            (*condition.shape[:-1], len(targets.channels)), condition.dtype
        )
        noiseless = jnp.zeros(len(condition), condition.dtype)
        seen = jnp.concatenate([condition, first.features], axis=-1)
        network: Any = self.network
        change = network(nothing, noiseless, seen)
        mean = first.mean + first.scale * change
        features = jnp.concatenate([first.features, change], axis=-1)
        return scaled(Estimate(mean, first.scale, features), self.scale)

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Those of the base, and one a channel of the targets."""
        return super().channels(targets, given) + len(targets.channels)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "LearnedMean":
        """With a network of fresh parameters.

        Raises:
            ValueError: there is another number of scales than of channels.
        """
        check_scale(self.scale, targets.channels)
        shape = networks.Shape(
            len(targets.dims),
            len(targets.channels),
            len(given.channels) + super().channels(targets, given),
        )
        network = freeze(networks.build(self.network, shape, rngs=rngs))
        based = super().built(targets, given, rngs)
        return dataclasses.replace(based, network=network)

    def described(self) -> "LearnedMean":
        """With the configuration of its network."""
        network = self.network
        config = network.config if isinstance(network, Network) else network
        return dataclasses.replace(super().described(), network=config)
