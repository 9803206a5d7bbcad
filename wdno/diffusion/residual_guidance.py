"""Guidance against a reference instead of the unconditional denoiser: half the calls.

`guidance.classifier_free` calls two denoisers at every level. What the second one is
for, a place that the condition leads away from, hardly changes from level to level, so
that it may be found once or be known (residual classifier-free guidance of
StreamDiffusion, Kodaira et al. 2023, arXiv 2312.12491, section 3.2). With a reference
x_ref the noise is taken to be what leads there, ``eps' = (x - x_ref) / sigma`` (eq. 5),
and with ``eps = gamma eps_c + (1 - gamma) delta eps'`` (eq. 6) the estimate becomes

``D <- gamma D + (1 - gamma) (x + delta (x_ref - x))``,

which is classifier-free guidance by a denoiser that always answers x_ref, if delta = 1.
A real one comes to agree with x as sigma falls. That of Gaussian data around x_ref with
deviation s is ``x + delta (x_ref - x)`` with ``delta = sigma^2/(sigma^2 + s^2)``, so
that a share that falls with the level is the better stand-in: with the constant one of
the paper the last steps still lead away, by ``(gamma - 1)(D - x_ref)``.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Denoise, Guidance
from wdno.diffusion.guidance import Strength, classifier_free
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import start

Rows = Float[Array, " batch"]
Sample = Float[Array, "batch *grid channel"]


def residual_guidance(
    reference: Sample, weight: float, share: float | Strength = 1.0
) -> Guidance:
    """Lead estimates away from a reference, without another call.

    Args:
        reference: x_ref, one a row, in the coefficients that are sampled. One that is
            known, such as the running plan, costs nothing ("self-negative"); one call
            at the first level finds another, `first_estimate` ("one-time-negative").
        weight: gamma; 1 leaves the conditional denoiser as it is.
        share: delta, a number as in the paper, or a function of sigma, see
            `gaussian_share`.

    Example:
        >>> reference = first_estimate(unconditional, shape, sigmas[0], key)
        >>> denoise = residual_guidance(reference, 1.2)(conditional)
        >>> z = sample(ddim(), denoise, shape, sigmas, key)
    """

    def toward(x: Sample, sigma: Rows) -> Sample:
        delta = share(sigma) if callable(share) else jnp.full_like(sigma, share)
        return x + per_row(delta, x) * (reference.astype(x.dtype) - x)

    return classifier_free(toward, weight)


def gaussian_share(deviation: float) -> Strength:
    """``delta = sigma^2/(sigma^2 + s^2)``: of Gaussian data around the reference.

    Args:
        deviation: s, about 1 for coefficients in their own units.
    """
    return lambda sigma: 1 / (1 + jnp.square(deviation / sigma))


def first_estimate(
    denoise: Denoise,
    shape: tuple[int, ...],
    sigma: Float[Array, ""] | Rows,
    key: PRNGKeyArray | RowKeys,
) -> Sample:
    """What a denoiser answers where `samplers.sample` starts: one call.

    ``x_ref = D(x; sigma_0)`` with the first x of the same keys (eq. 7).

    Args:
        denoise: of the samples that are to be led away from, the unconditional one.
        shape: of these samples, (batch, *grid, channel).
        sigma: first level, of all rows or of each.
        key: those of the sampling.
    """
    keys = row_keys(key, shape[0])
    sigmas = jnp.broadcast_to(sigma, shape[:1])
    return denoise(start(shape, sigmas, keys), sigmas)
