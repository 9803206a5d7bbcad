"""A scale of shares, which are surest near 0 and 1."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from wdno._json import register
from wdno.operator.local_scale import LocalScale
from wdno.operator.residual import Coefficients
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ShareScale(LocalScale):
    """A `LocalScale` with targets that are shares, between 0 and 1.

    The variance of their channels is ``d_0c² + d_qc² <(q (1 - q))²>`` with the mean
    share q: to first order that of a share whose log odds are off by d_q everywhere,
    since ``dq = q (1 - q) d log(q / (1 - q))``. Averages <> are over the samples that
    a coefficient is of.

    Attributes:
        shares: names of these targets.
        deviations: of `LocalScale`, with an energy more for each share.

    Example:
        >>> scale = ShareScale(carried, shares=("smoke",))
    """

    shares: tuple[str, ...] = field(default=(), metadata={"static": True})

    def energies(
        self, mean: Coefficients, targets: WaveletLayout
    ) -> Float[Array, "batch *grid energy"]:
        """Those of a `LocalScale`, then one a share."""
        parts = [share_energy(mean, targets, name)[..., None] for name in self.shares]
        return jnp.concatenate([super().energies(mean, targets), *parts], axis=-1)

    def dependence(self, targets: WaveletLayout) -> Bool[np.ndarray, "energy channel"]:
        """Channels of a share depend on its own energy, and no others do."""
        owner = np.asarray([name.split(":")[0] for name in targets.channels])
        own = np.asarray(self.shares)[:, None] == owner
        others = super().dependence(targets) & ~own.any(axis=0)
        others[0] = True
        return np.concatenate([others, own])

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> LocalScale:
        """With a base of fresh parameters, and the variance 1 everywhere.

        Raises:
            ValueError: a share is none of the targets, or none is named.
        """
        there = [quantity.name for quantity in targets.fields]
        lost = [name for name in self.shares if name not in there]
        if lost or not self.shares:
            raise ValueError(
                f"Shares are targets, but {lost or None} are not among {there}. Name "
                "others, or use a LocalScale."
            )
        return super().built(targets, given, rngs)


def share_energy(
    mean: Coefficients, targets: WaveletLayout, name: str
) -> Float[Array, "batch *grid"]:
    """Local mean of ``(q (1 - q))²`` of a share q, on the grid of coefficients."""
    (quantity,) = (q for q in targets.fields if q.name == name)
    share = jnp.clip(targets.synthesis(mean)[name], 0, 1)
    local = targets.packing(quantity.dims).means(jnp.square(share * (1 - share)))
    local = jnp.maximum(local, 0)  # smooth wavelets have negative weights
    local = jnp.expand_dims(local, targets.missing(quantity))
    return jnp.broadcast_to(local, mean.shape[:-1])
