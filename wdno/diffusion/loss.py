"""The loss that denoisers are trained by."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno.diffusion.denoiser import Coefficients, Condition, Denoiser, Sigma
from wdno.diffusion.noise import NoiseDistribution, per_row


class Source(NamedTuple):
    """What sampling begins from, ``p + sigma_0 n``; from noise alone at infinity."""

    origin: Coefficients
    """p: something that is nearly right already."""
    sigma: Sigma
    """σ_0: how far back in noise each row is taken; infinite where p is not used."""


LARGEST_WEIGHT = 5.0
"""Bound on the weight of low noise levels in `denoising_loss`."""


def denoising_loss(
    denoiser: Denoiser,
    x0: Coefficients,
    cond: Condition,
    noise: NoiseDistribution,
    weight: Float[Array, "*where channel"],
    key: PRNGKeyArray,
    source: Source | None = None,
) -> Float[Array, ""]:
    """Weighted squared error of the denoiser at random noise levels.

    E_σ,n [ mean w λ(σ) ‖D(x0 + σ n; σ) − x0‖² ] with λ(σ) = min(1 + 1/σ², 5) for data
    of unit variance. 1 + 1/σ² gives every σ the same loss as long as D is no better
    than the best linear estimate (Karras et al. 2022, eq. 8); once the condition says
    more than x does, low σ would drown the rest, hence the bound (Hang et al. 2023,
    arXiv 2303.09556, section 3.4).

    From a source ``p + σ_0 n`` the deterministic sampler walks along a straight line to
    x0, on which ``x = x0 + σ (n + (p − x0)/σ_0)`` at σ <= σ_0: the error of p is a part
    of the noise there, and is learned to be removed with it. Levels above σ_0 count as
    σ_0, where sampling begins.

    Args:
        denoiser: the model under training.
        x0: clean coefficients of unit variance.
        cond: conditions on the same grid; no gradient reaches them.
        noise: distribution of training noise levels, ``noise(key, shape)``.
        weight: share of each channel, e.g. `WaveletLayout.energy_share`, or of each
            coefficient of each row.
        key: randomness of noise levels and noise.
        source: what sampling begins from, instead of noise alone.
    """
    key_sigma, key_noise = jax.random.split(key)
    sigma = noise(key_sigma, (len(x0),)).astype(x0.dtype)
    off = jax.random.normal(key_noise, x0.shape, x0.dtype)
    if source is not None:
        sigma = jnp.minimum(sigma, source.sigma)
        off = off + (source.origin - x0) / per_row(source.sigma, x0)
    x = x0 + per_row(sigma, x0) * off
    error = denoiser(x, sigma, jax.lax.stop_gradient(cond)) - x0
    weighted = jnp.square(error) * jnp.broadcast_to(weight.astype(x0.dtype), x0.shape)
    mean = weighted.mean(axis=tuple(range(1, x0.ndim)))
    balance = jnp.minimum(1 + 1 / jnp.square(sigma), LARGEST_WEIGHT)
    return jnp.mean(balance * mean)
