"""A scale that is large where the mean has details.

What a mean leaves open is not spread evenly: errors are where fronts are, and records
with steep fronts have most of them. The wavelet coefficients of the mean say where that
is, so that their local energies are the natural measure of how far it may be off.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.residual import Coefficients, Estimate, OnBase, Residual
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions

NEIGHBOURS = 3
"""Grid points along each axis over which energies are averaged."""


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LocalScale(OnBase):
    """The mean of another estimate, its variance linear in local energies of that mean.

    ``s_c(p)² = d_0c² + sum_b d_bc² <m_b²>(p)``

    with the channels b of the mean m and averages <> over a point p and its neighbours
    on the grid of coefficients. The deviations d are those of the largest likelihood
    if residuals are normal (`wdno.training.variances`). Nothing depends on the place
    but by the mean, so that they hold on other grids too.

    Attributes:
        base: the estimate whose mean and features are kept, and where it is certain, a
            scale of 0; otherwise its scale is not used.
        deviations: d, energies by channels; None in recipes and on cards. Squares of
            small ones have no place in half precision.

    Example:
        >>> recipe = replace(recipe, residual=LocalScale(recipe.residual))
    """

    base: Residual
    deviations: Any = None

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The estimate of the base with a scale at each place."""
        first = self.base(known, condition, targets, given)
        variance = self.variance(self.energies(first.mean, targets))
        scale = jnp.where(first.scale > 0, jnp.sqrt(variance), jnp.zeros_like(variance))
        return first._replace(scale=scale)

    def energies(
        self, mean: Coefficients, targets: WaveletLayout
    ) -> Float[Array, "batch *grid energy"]:
        """What variances are linear in."""
        return local_energies(mean)

    def variance(
        self, energies: Float[Array, "batch *grid energy"]
    ) -> Float[Array, "batch *grid channel"]:
        """``s²`` of each channel at each place."""
        return energies @ jnp.square(self.deviations.astype(energies.dtype))

    def deviations_shape(self, targets: WaveletLayout) -> tuple[int, ...]:
        """Of the deviations, whose last axes are energies and channels."""
        return self.dependence(targets).shape

    def dependence(self, targets: WaveletLayout) -> Bool[np.ndarray, "energy channel"]:
        """Which energies the variance of a channel may depend on.

        All where the field has all axes, otherwise the first alone, the constant: what
        is not spread over an axis has no place on it.
        """
        count = len(targets.channels)
        may = np.tile(np.asarray(targets.repeats) == 1, (1 + count, 1))
        may[0] = True
        return may

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "LocalScale":
        """With a base of fresh parameters, and the variance 1 everywhere."""
        deviations = jnp.zeros(self.deviations_shape(targets)).at[..., 0, :].set(1)
        based = super().built(targets, given, rngs)
        return dataclasses.replace(based, deviations=deviations)

    def described(self) -> "LocalScale":
        """Without deviations."""
        return dataclasses.replace(super().described(), deviations=None)


def local_energies(mean: Coefficients) -> Float[Array, "batch *grid energy"]:
    """1, then the local mean square of each channel of the mean.

    Averages at the edge of the grid are over the neighbours that are there.
    """
    grid = mean.shape[1:-1]
    total = jax.lax.reduce_window(
        jnp.square(mean),
        np.zeros((), mean.dtype),  # a constant, or JAX takes it for no sum: no gradient
        jax.lax.add,
        (1, *(NEIGHBOURS,) * len(grid), 1),
        (1,) * mean.ndim,
        "SAME",
    )
    energies = total / _counts(grid).astype(mean.dtype)
    return jnp.concatenate([jnp.ones_like(energies[..., :1]), energies], axis=-1)


def _counts(grid: tuple[int, ...]) -> Float[np.ndarray, "1 *grid 1"]:
    """Number of neighbours of each point, itself included."""
    counts, reach = np.ones(()), NEIGHBOURS // 2
    for extent in grid:
        place = np.arange(extent)
        last = np.minimum(place + reach, extent - 1)
        first = np.maximum(place - reach, 0)
        counts = np.multiply.outer(counts, last - first + 1.0)
    return counts[None, ..., None]
