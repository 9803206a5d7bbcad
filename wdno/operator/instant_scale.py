"""A scale that follows the age of what is known.

The state at the beginning of a window is given, and what is left open grows from there:
by transport, whose errors lie on fronts, first along what is known and later along what
has been drawn. So neither how far a mean may be off nor by which of its details that is
told is the same at all instants.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._json import register
from wdno.operator.local_scale import LocalScale
from wdno.operator.share_scale import ShareScale
from wdno.wavelets.layout import WaveletLayout


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class InstantScale(LocalScale):
    """A `LocalScale` with deviations of their own at each instant of a window.

    ``s_c(t, p)² = d_0c(t)² + sum_b d_bc(t)² <m_b²>(t, p)``

    with the places t of coefficients along the first axis, time. Shorter windows have
    those of their instants; longer ones are refused.

    Attributes:
        deviations: d, instants by energies by channels.

    Example:
        >>> recipe = replace(recipe, residual=InstantScale(recipe.residual))
    """

    def variance(
        self, energies: Float[Array, "batch *grid energy"]
    ) -> Float[Array, "batch *grid channel"]:
        """``s²`` of each channel at each place.

        Raises:
            ValueError: a window has more instants than there are deviations of.
        """
        deviations = self.deviations.astype(energies.dtype)
        instants = energies.shape[1]
        if instants > len(deviations):
            raise ValueError(
                "Scales at each instant belong to windows of at most so many, here "
                f"{len(deviations)} in coefficients, but these have {instants}. Fit a "
                "model to such windows, or use a LocalScale, which holds on all."
            )
        weights = jnp.square(deviations[:instants])
        return jnp.einsum("bt...e,tec->bt...c", energies, weights)

    def deviations_shape(self, targets: WaveletLayout) -> tuple[int, ...]:
        """Of the deviations: instants, energies, channels."""
        return (targets.coefficient_grid[0], *super().deviations_shape(targets))


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class InstantShareScale(InstantScale, ShareScale):
    """An `InstantScale` with the energies of a `ShareScale`.

    Example:
        >>> scale = InstantShareScale(carried, shares=("smoke",))
    """
