"""An estimate whose ensembles are calibrated, subband by subband.

The last word after training: what networks and scales were fitted to is one thing, how
far their ensembles are off on trajectories that nothing was fitted to is another. The
first is left as it is, and two numbers a channel take up the difference.
"""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.local_scale import LocalScale
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
class Calibrated(OnBase):
    """The mean of another estimate times a slope, its scale times a factor.

    ``z_c = a_c m_c + k_c s_c r_c`` in place of ``m_c + s_c r_c``, channel by channel

    The residual r is drawn as before: neither what its network is given nor the network
    changes. The numbers are those with which the truth has its least squares on the
    mean, and members scatter by as much as their mean is off
    (`wdno.training.calibration.calibrate`): member-by-member post-processing of Van
    Schaeybroeck and Vannitsem 2015 (doi:10.1002/qj.2397), with the mean known
    beforehand in place of that of the members, so that single samples have it too.

    Attributes:
        base: the estimate; None for a model of whole fields, whose mean is 0 and whose
            scale is 1.
        slope: a, one number a channel.
        factor: k, one number a channel.

    Raises:
        ValueError: a slope is not finite, or a factor not positive and finite.

    Example:
        >>> Calibrated(model.residual, (1.0,) * 4, (1.0, 1.0, 1.1, 1.4))
    """

    base: Residual | None
    slope: tuple[float, ...] = field(metadata={"static": True})
    factor: tuple[float, ...] = field(metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what makes no estimate."""
        check_divisors(self.factor)
        if wrong := [slope for slope in self.slope if not math.isfinite(slope)]:
            raise ValueError(
                f"Slopes of a mean are finite, but there are {wrong[:4]}. Fit them to "
                "data (`wdno.calibrate`)."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The calibrated estimate; features are those of the base."""
        first = begun(self.base, known, condition, targets, given)
        slope = jnp.asarray(self.slope, first.mean.dtype)
        slope = jnp.expand_dims(slope, range(first.mean.ndim - 1))
        return scaled(first._replace(mean=slope * first.mean), self.factor)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Calibrated":
        """With a base of fresh parameters.

        Raises:
            ValueError: there is another number of slopes or factors than of channels.
        """
        check_scale(self.factor, targets.channels)
        if len(self.slope) != len(targets.channels) or not self.factor:
            raise ValueError(
                "An estimate is calibrated by one slope and one factor a channel, "
                f"{len(targets.channels)} here, but got {len(self.slope)} and "
                f"{len(self.factor)}. Was it calibrated for another layout?"
            )
        return super().built(targets, given, rngs)


def uncalibrated(residual: Residual | None) -> Residual | None:
    """The estimate that networks and scales were fitted to."""
    return residual.base if isinstance(residual, Calibrated) else residual


def mean_of(residual: Residual | None) -> Residual | None:
    """The estimate that gives the mean: without what is fitted to that afterwards.

    None where there is no mean, of a model of whole fields.
    """
    residual = uncalibrated(residual)
    return residual.base if isinstance(residual, LocalScale) else residual
