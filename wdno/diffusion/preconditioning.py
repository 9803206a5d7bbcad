"""Preconditioning: four functions of σ that put a network into a denoiser."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._json import register
from wdno.diffusion.schedules import CosineSchedule, DiscreteSchedule

Sigma = Float[Array, " batch"]


@runtime_checkable
class Preconditioning(Protocol):
    """Four functions of σ around a backbone F: D = c_skip x + c_out F(c_in x)."""

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        ...


@register
@dataclass(frozen=True)
class EDMPreconditioning:
    """Unit-variance inputs and targets at every σ.

    c_skip = σ_d²/(σ²+σ_d²), c_out = σ σ_d/√(σ²+σ_d²), c_in = 1/√(σ²+σ_d²),
    c_noise = ln(σ)/4, with σ_d the standard deviation of the data
    (Karras et al. 2022, arXiv 2206.00364, table 1 and eq. 7).

    Raises:
        ValueError: σ_d is not positive and finite.
    """

    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no standard deviation of data."""
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(
                "The standard deviation of the data is positive and finite, but "
                f"`sigma_data` is {self.sigma_data}. Correct it, or take 1 for data "
                "that a layout scales."
            )

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        total = jnp.square(sigma) + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = sigma * self.sigma_data * jax.lax.rsqrt(total)
        return c_skip, c_out, jax.lax.rsqrt(total), jnp.log(sigma) / 4


@register
@dataclass(frozen=True)
class VariancePreserving:
    """The paper's ε-prediction in σ-space: D = x − σ F(x/√(1+σ²)).

    With ᾱ = 1/(1+σ²), x/√(1+σ²) = √ᾱ x0 + √(1−ᾱ) n is the noisy state of DDPM and F
    estimates the noise n (Ho et al. 2020, arXiv 2006.11239, eq. 9 and 11).
    """

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        c_in = jax.lax.rsqrt(1 + jnp.square(sigma))
        return jnp.ones_like(sigma), -sigma, c_in, jnp.log(sigma) / 4


@register
@dataclass(frozen=True)
class DiscreteVariancePreserving:
    """`VariancePreserving` for a network that is told the step of a discrete schedule.

    Attributes:
        schedule: whose step, counted from 0, is c_noise.
    """

    schedule: DiscreteSchedule = CosineSchedule()

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        c_skip, c_out, c_in, _ = VariancePreserving()(sigma)
        return c_skip, c_out, c_in, self.schedule.step(sigma)
