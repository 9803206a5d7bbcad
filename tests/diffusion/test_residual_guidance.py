"""Guidance against a reference, compared with its definition and its recursion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.guidance import classifier_free
from wdno.diffusion.keys import row_keys, row_normal, step_keys
from wdno.diffusion.noise import karras, per_row
from wdno.diffusion.residual_guidance import (
    first_estimate,
    gaussian_share,
    residual_guidance,
)
from wdno.diffusion.samplers import ddim, sample

SHAPE, KEY = (4, 6), jax.random.key(1)
LEVELS = karras(7, 0.05, 8.0)


def conditional(x, sigma):
    """Not linear in x, so that nothing holds by accident."""
    return jnp.tanh(x / (1 + per_row(sigma, x))) + 0.3


def unconditional(x, sigma):
    return 0.5 * x / (1 + per_row(sigma, x)) - 0.2


def reference():
    return jax.random.normal(jax.random.key(2), SHAPE)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_it_is_the_noise_of_the_paper(share):
    """eps = gamma eps_c + (1 - gamma) delta eps', eps' = (x - x_ref)/sigma (5, 6)."""
    weight, sigma = 1.4, jnp.asarray([0.1, 1.0, 3.0, 8.0])
    x = 2 * reference() + 1
    noise = (x - conditional(x, sigma)) / per_row(sigma, x)
    other = (x - reference()) / per_row(sigma, x)
    noise = share * other + weight * (noise - share * other)
    guided = residual_guidance(reference(), weight, share)(conditional)
    expected = x - per_row(sigma, x) * noise
    np.testing.assert_allclose(guided(x, sigma), expected, atol=1e-12)


def test_weight_one_is_the_conditional_denoiser():
    guided = residual_guidance(reference(), 1.0)(conditional)
    x, sigma = reference(), jnp.ones(4)
    np.testing.assert_array_equal(guided(x, sigma), conditional(x, sigma))


def test_it_is_classifier_free_where_the_other_denoiser_does_not_change():
    always = lambda x, sigma: reference()  # noqa: E731
    x, sigma = reference() + 1, jnp.ones(4)
    full = classifier_free(always, 1.7)(conditional)(x, sigma)
    once = residual_guidance(reference(), 1.7)(conditional)(x, sigma)
    np.testing.assert_allclose(once, full, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_the_recursion_of_the_residual_noise_is_its_definition(eta):
    """The paper keeps r = (x - x_ref)/sigma and never x_ref.

    From ``x' = D + s_down e + s_up n`` with ``e = (x - D)/sigma`` follows
    ``r' = (s_down e + s_up n)/sigma' + (sigma/sigma') (r - e)``.
    """
    weight, keys = 1.4, row_keys(KEY, SHAPE[0])
    known = reference()
    sigmas = LEVELS[:-1]
    x = sigmas[0] * row_normal(SHAPE, x_dtype(), step_keys(keys, jnp.zeros(4, int)))
    r = (x - known) / sigmas[0]
    for n in range(len(sigmas) - 1):
        here, there = sigmas[n], sigmas[n + 1]
        own = (x - conditional(x, jnp.full(4, here))) / here
        e = r + weight * (own - r)
        up = min(float(there), eta * float(there * jnp.sqrt(1 - (there / here) ** 2)))
        down = np.sqrt(float(there) ** 2 - up**2)
        noise = row_normal(SHAPE, x_dtype(), step_keys(keys, jnp.full(4, n + 1)))
        x = x - here * e + down * e + up * noise
        r = (down * e + up * noise) / there + here / there * (r - e)
        np.testing.assert_allclose(r, (x - known) / there, atol=1e-6)
    guided = residual_guidance(known, weight)(conditional)
    expected = sample(ddim(eta), guided, SHAPE, sigmas, KEY)
    np.testing.assert_allclose(x, expected, atol=1e-6)


def x_dtype():
    return LEVELS.dtype


def test_the_first_estimate_is_the_unconditional_one_where_sampling_starts():
    """Seen by the sampler's own first step: to level 0, where x' = D."""
    found = first_estimate(unconditional, SHAPE, LEVELS[0], KEY)
    jump = jnp.asarray([LEVELS[0], 0.0])
    expected = sample(ddim(), unconditional, SHAPE, jump, KEY)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_share_that_falls_with_the_level_is_full_guidance_of_gaussian_data():
    def exact(mean, std):
        def denoise(x, sigma):
            variance = per_row(sigma, x) ** 2
            return (std**2 * x + variance * mean) / (std**2 + variance)

        return denoise

    def drawn(guidance):
        return sample(ddim(), guidance(sharp), SHAPE, LEVELS, KEY)

    sharp, broad, mean = exact(1.0, 0.1), exact(0.7, 0.5), jnp.full(SHAPE, 0.7)
    full, share = drawn(classifier_free(broad, 1.3)), gaussian_share(0.5)
    exactly = drawn(residual_guidance(mean, 1.3, share))
    np.testing.assert_allclose(exactly, full, atol=1e-9)
    # By one call the mean is known as well as the first level allows.
    found = first_estimate(broad, SHAPE, LEVELS[0], KEY)
    np.testing.assert_allclose(
        drawn(residual_guidance(found, 1.3, share)), full, atol=2e-2
    )
    # A constant share leads away until the end.
    assert abs(drawn(residual_guidance(mean, 1.3)) - full).mean() > 0.1
