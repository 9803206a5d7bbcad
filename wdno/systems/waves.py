"""Random periodic states: sums of a few sines, some cut off or folded."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno.systems.base import check_positive

__all__ = ["Waves"]


@dataclass(frozen=True)
class Waves:
    """Distribution of u(x) = Σ_i A_i sin(2π k_i x + φ_i) on a ring of length 1.

    Wavenumbers k_i are whole numbers from 1 to ``largest``, amplitudes uniform between
    0 and 1, phases uniform. With a probability of ``share_folded`` a state is replaced
    by its absolute value with a random sign, and with one of ``share_cut`` it is
    multiplied by a window: 1 in a random interval and 0 outside, with steep ends
    (1 + tanh(x / edge)) / 2, which a grid of 128 points resolves.

    Attributes:
        count: number of sines.
        largest: largest wavenumber.
        share_folded: probability of the absolute value.
        share_cut: probability of a window.
        edge: width of its ends.

    Raises:
        ValueError: If a number is not positive, or a probability above 1.

    References:
        Takamoto et al., PDEBench, arXiv 2210.07182, appendix D (advection), where the
        number of waves is 2, the largest wavenumber 8 and both probabilities 10 %.
    """

    count: int = 2
    largest: int = 8
    share_folded: float = 0.1
    share_cut: float = 0.1
    edge: float = 0.02

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        check_positive(count=self.count, largest=self.largest, edge=self.edge)
        for name in ("share_folded", "share_cut"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(
                    f"A probability lies between 0 and 1, but {name} is {share}."
                    " Choose one in between."
                )

    def draw(
        self, key: PRNGKeyArray, samples: int, points: int
    ) -> Float[Array, "{samples} {points}"]:
        """States at x = 0, 1/points, …, in float32 on every configuration."""
        keys = jax.random.split(key, 6)

        def uniform(number: int, *shape: int) -> Array:
            return jax.random.uniform(keys[number], (samples, *shape), jnp.float32)

        wavenumber = 1 + jnp.floor(self.largest * uniform(0, self.count, 1))
        amplitude, phase = uniform(1, self.count, 1), uniform(2, self.count, 1)
        x = jnp.arange(points, dtype=jnp.float32) / points
        waves = jnp.sin(2 * jnp.pi * (wavenumber * x[None, None] + phase))
        u = (amplitude * waves).sum(axis=1)
        fold, sign = jnp.split(uniform(3, 2), 2, axis=1)
        folded = jnp.where(sign < 0.5, -jnp.abs(u), jnp.abs(u))
        u = jnp.where(fold < self.share_folded, folded, u)
        ends = jnp.sort(uniform(4, 2), axis=1)[..., None, None]
        # the interval and its images on either side: the window is periodic as well
        images = x[None] + jnp.arange(-1, 2, dtype=jnp.float32)[:, None]
        steps = jnp.tanh((images[None, None] - ends) / self.edge).sum(axis=2)
        window = (steps[:, 0] - steps[:, 1]) / 2
        return jnp.where(uniform(5, 1) < self.share_cut, window * u, u)
