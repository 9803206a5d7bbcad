"""The denoiser: a preconditioned backbone that estimates E[x0 | x] at noise level σ.

Everything is in σ-space: x = x0 + σ n with n ~ N(0, I), one σ per batch row.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Denoise
from wdno.noise import NoiseDistribution, per_row
from wdno.schedules import CosineSchedule, DiscreteSchedule

Coefficients = Float[Array, "batch *grid channel"]
Condition = Float[Array, "batch *grid given"]
Sigma = Float[Array, " batch"]


@runtime_checkable
class Backbone(Protocol):
    """A network on any even grid; the condition enters as extra channels."""

    def __call__(
        self, x: Coefficients, c_noise: Sigma, cond: Condition
    ) -> Coefficients:
        """Map scaled noisy coefficients to an array of the same shape."""
        ...


@runtime_checkable
class Preconditioning(Protocol):
    """Four functions of σ around a backbone F: D = c_skip x + c_out F(c_in x)."""

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        ...


@dataclass(frozen=True)
class Karras:
    """Unit-variance inputs and targets at every σ.

    c_skip = σ_d²/(σ²+σ_d²), c_out = σ σ_d/√(σ²+σ_d²), c_in = 1/√(σ²+σ_d²),
    c_noise = ln(σ)/4, with σ_d the standard deviation of the data
    (Karras et al. 2022, arXiv 2206.00364, table 1 and eq. 7).
    """

    sigma_data: float = 1.0

    def __call__(self, sigma: Sigma) -> tuple[Sigma, Sigma, Sigma, Sigma]:
        """Return c_skip, c_out, c_in and c_noise."""
        total = jnp.square(sigma) + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = sigma * self.sigma_data * jax.lax.rsqrt(total)
        return c_skip, c_out, jax.lax.rsqrt(total), jnp.log(sigma) / 4


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


class Denoiser(nnx.Module):
    """A backbone with preconditioning: ``denoiser(x, sigma, cond)`` ≈ E[x0 | x, cond].

    Args:
        backbone: network with the signature of `Backbone`; any will do.
        preconditioning: c_skip, c_out, c_in, c_noise as functions of σ.
        bound: largest magnitude of coefficients, to which estimates are clipped. An
            estimate of the noise needs one: at high σ its error counts σ-fold.
    """

    def __init__(
        self,
        backbone: nnx.Module,
        preconditioning: Preconditioning,
        bound: float = math.inf,
    ) -> None:
        """Keep the three; only the backbone has parameters."""
        self.backbone = backbone
        self.preconditioning = preconditioning
        self.bound = bound

    def __call__(self, x: Coefficients, sigma: Sigma, cond: Condition) -> Coefficients:
        """D(x; σ) = c_skip x + c_out F(c_in x; c_noise) (Karras et al., eq. 7)."""
        c_skip, c_out, c_in, c_noise = self.preconditioning(sigma)
        output = self.backbone(per_row(c_in, x) * x, c_noise, cond)
        x0 = per_row(c_skip, x) * x + per_row(c_out, x) * output
        return jnp.clip(x0, -self.bound, self.bound) if self.bound < math.inf else x0

    def given(self, cond: Condition) -> Denoise:
        """The denoiser under a condition, as a function of x and σ alone.

        Call it inside the jitted function, with the module as that function's
        argument: parameters closed over outside become compiled constants.
        """
        return lambda x, sigma: self(x, sigma, cond)


LARGEST_WEIGHT = 5.0
"""Bound on the weight of low noise levels in `denoising_loss`."""


def denoising_loss(
    denoiser: Denoiser,
    x0: Coefficients,
    cond: Condition,
    noise: NoiseDistribution,
    weight: Float[Array, "*where channel"],
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Weighted squared error of the denoiser at random noise levels.

    E_σ,n [ mean w λ(σ) ‖D(x0 + σ n; σ) − x0‖² ] with λ(σ) = min(1 + 1/σ², 5) for data
    of unit variance. 1 + 1/σ² gives every σ the same loss as long as D is no better
    than the best linear estimate (Karras et al. 2022, eq. 8); once the condition says
    more than x does, low σ would drown the rest, hence the bound (Hang et al. 2023,
    arXiv 2303.09556, section 3.4).

    Args:
        denoiser: the model under training.
        x0: clean coefficients of unit variance.
        cond: conditions on the same grid; no gradient reaches them.
        noise: distribution of training noise levels, ``noise(key, shape)``.
        weight: share of each channel, e.g. `WaveletLayout.energy_share`, or of each
            coefficient of each row.
        key: randomness of noise levels and noise.
    """
    key_sigma, key_noise = jax.random.split(key)
    sigma = noise(key_sigma, (len(x0),)).astype(x0.dtype)
    x = x0 + per_row(sigma, x0) * jax.random.normal(key_noise, x0.shape, x0.dtype)
    error = denoiser(x, sigma, jax.lax.stop_gradient(cond)) - x0
    weighted = jnp.square(error) * jnp.broadcast_to(weight.astype(x0.dtype), x0.shape)
    mean = weighted.mean(axis=tuple(range(1, x0.ndim)))
    balance = jnp.minimum(1 + 1 / jnp.square(sigma), LARGEST_WEIGHT)
    return jnp.mean(balance * mean)
