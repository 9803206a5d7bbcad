"""Random initial states of a gas: jumps and waves.

They are in the spirit of PDEBench (Takamoto et al., NeurIPS 2022, arXiv 2210.07182,
appendix on compressible flow in one dimension), of which only the description was used.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields

__all__ = ["Jumps"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Jumps:
    """Constant gas between jumps at random places; one jump is a shock tube.

    Between any two jumps density, velocity and pressure are uniform in their ranges,
    independently. By default no jump opens a vacuum: velocities differ by less than
    2 (c + c') / (γ - 1) at γ = 5/3 (Toro, section 4.3.1).

    Attributes:
        jumps: Their number.
        density: Range of the density.
        velocity: Range of the velocity.
        pressure: Range of the pressure.
        places: Where jumps may be, as a share of the domain. A jump moves to the
            nearest border of two cells.

    Raises:
        ValueError: If there is no jump or a range makes no sense.

    Example:
        >>> Jumps(jumps=4).draw(jax.random.key(0), samples=2, points=128)
    """

    jumps: int = 1
    density: Range = (0.2, 2.0)
    velocity: Range = (-1.0, 1.0)
    pressure: Range = (0.2, 2.0)
    places: Range = (0.25, 0.75)

    def draw(self, key: PRNGKeyArray, samples: int, points: int) -> Fields:
        """Draw states on so many equal cells.

        Returns:
            ``density0``, ``velocity0`` and ``pressure0``, (samples, points), float32.
        """
        keys = jax.random.split(key, 4)
        draw = partial(jax.random.uniform, dtype=jnp.float32)
        low, high = self.places
        place = draw(keys[0], (samples, self.jumps), minval=low, maxval=high)
        passed = (_centres(points)[None, :, None] > place[:, None, :]).sum(axis=-1)
        fields = {}
        for name, one in zip(
            ("density", "velocity", "pressure"), keys[1:], strict=True
        ):
            low, high = getattr(self, name)
            value = draw(one, (samples, self.jumps + 1), minval=low, maxval=high)
            fields[f"{name}0"] = jnp.take_along_axis(value, passed, axis=1)
        return fields


def _centres(points: int) -> Float[Array, " x"]:
    """Centres of equal cells between 0 and 1."""
    return (jnp.arange(points, dtype=jnp.float32) + 0.5) / points
