"""Guidance against exact posteriors: Gaussian prior, quadratic objective."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.guidance import (
    check_objective,
    classifier_free,
    clip,
    compose,
    guide,
)
from wdno.diffusion.noise import karras, per_row
from wdno.diffusion.samplers import ddim, dpmpp_2m, heun, sample
from wdno.planning.objectives import energy, terminal

MEAN, STD, TARGET, TOLERANCE = 0.7, 0.5, -0.4, 0.3


class Identity(NamedTuple):
    """The layout of a field that is its own coefficients."""

    def synthesis(self, z):
        return {"u": z}


IDENTITY = Identity()


def prior(x, sigma):
    """E[x0 | x] for x0 ~ N(MEAN, STD^2)."""
    variance = per_row(sigma, x) ** 2
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def misfit(fields):
    """-log p(TARGET | u) for an observation with standard deviation TOLERANCE."""
    distance = (fields["u"] - TARGET) ** 2
    return distance.reshape(len(distance), -1).sum(axis=1) / (2 * TOLERANCE**2)


def exact(sigma):
    """Strength that makes guidance Bayes' rule."""
    v = STD**2 * sigma**2 / (STD**2 + sigma**2)
    return v * TOLERANCE**2 / (v + TOLERANCE**2)


def levels_and_points(batch=5, size=6):
    sigma = jnp.geomspace(0.01, 50.0, batch)
    x = jax.random.normal(jax.random.key(0), (batch, size))
    return sigma, (1 + per_row(sigma, x)) * x


# --------------------------------------------------------------- exact posteriors


def test_exact_strength_gives_the_posterior_mean():
    sigma, x = levels_and_points()
    ours = guide(misfit, IDENTITY, exact)(prior)(x, sigma)
    noise = per_row(sigma, x) ** 2
    precision = 1 / STD**2 + 1 / TOLERANCE**2 + 1 / noise
    mean = (MEAN / STD**2 + TARGET / TOLERANCE**2 + x / noise) / precision
    np.testing.assert_allclose(ours, mean, rtol=1e-10)


@pytest.mark.parametrize(
    ("sampler", "steps", "rtol"),
    [(ddim(0.0), 400, 1e-2), (heun(), 100, 2e-3), (dpmpp_2m(), 100, 2e-3)],
    ids=["ddim", "heun", "dpmpp_2m"],
)
def test_guided_flow_ends_in_the_posterior(sampler, steps, rtol):
    mean, std = posterior()
    sigmas = karras(steps, 1e-3, 80.0)
    guided = guide(misfit, IDENTITY, exact)(prior)
    draw = lambda denoise, key: sample(sampler, denoise, (4, 3), sigmas, key)  # noqa: E731
    key = jax.random.key(1)
    # the flow of N(0, 1) standardises the same noise, up to the same error
    start = draw(lambda x, sigma: x / (1 + per_row(sigma, x) ** 2), key)
    np.testing.assert_allclose((draw(guided, key) - mean) / std, start, atol=2 * rtol)


def test_guided_ancestral_samples_have_the_posterior_moments():
    guided, sigmas = guide(misfit, IDENTITY, exact)(prior), karras(200, 1e-3, 80.0)
    x = sample(ddim(1.0), guided, (1000, 25), sigmas, jax.random.key(2))
    mean, std = posterior()
    np.testing.assert_allclose([x.mean(), x.std()], [mean, std], rtol=0.04)
    # that tolerance is the bias of finite steps, which is known without sampling
    mean, variance = ancestral_moments(mean, std, np.asarray(sigmas))
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / x.size)
    assert abs(x.var() / variance - 1) < 5 * np.sqrt(2 / x.size)


def ancestral_moments(data_mean, data_std, sigmas):
    """Moments of ancestral samples of a Gaussian, by their exact affine recursion."""
    mean, variance = 0.0, sigmas[0] ** 2
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        keep, shrink = after**2 / sigma**2, data_std**2 / (data_std**2 + sigma**2)
        factor = keep + (1 - keep) * shrink
        mean = factor * mean + (1 - factor) * data_mean
        variance = factor**2 * variance + after**2 * (1 - keep)
    return mean, variance


def posterior():
    variance = 1 / (1 / STD**2 + 1 / TOLERANCE**2)
    mean = variance * (MEAN / STD**2 + TARGET / TOLERANCE**2)
    return mean, np.sqrt(variance)


def test_posterior_through_a_synthesis_that_couples_all_coefficients():
    # orthogonal synthesis of an isotropic prior: the posterior is known on the fields
    rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (6, 6)))[0]
    layout = SimpleNamespace(
        synthesis=lambda z: {"u": (z @ rotation)[:, :4], "f": (z @ rotation)[:, 4:]}
    )
    isotropic = lambda x, s: x * per_row(STD**2 / (STD**2 + s**2), x)  # noqa: E731
    sigma, x = levels_and_points()
    ours = layout.synthesis(guide(misfit, layout, exact)(isotropic)(x, sigma))
    noisy, noise = layout.synthesis(x), per_row(sigma, x) ** 2
    precision = 1 / STD**2 + 1 / TOLERANCE**2 + 1 / noise
    seen = (TARGET / TOLERANCE**2 + noisy["u"] / noise) / precision
    unseen = noisy["f"] / noise / (1 / STD**2 + 1 / noise)
    np.testing.assert_allclose(ours["u"], seen, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours["f"], unseen, rtol=1e-9, atol=1e-12)


def test_step_is_along_the_gradient_with_respect_to_the_coefficients():
    synthesis = jax.random.normal(jax.random.key(4), (6, 9))
    layout = SimpleNamespace(synthesis=lambda z: {"u": z @ synthesis})
    sigma, x = levels_and_points()
    x0 = prior(x, sigma)
    gradient = (x0 @ synthesis - TARGET) @ synthesis.T / TOLERANCE**2
    expected = x0 - 0.3 * per_row(sigma, x) * gradient
    ours = guide(misfit, layout, 0.3)(prior)(x, sigma)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


# -------------------------------------------------------------- forms and strength


def test_number_is_the_strength_of_the_paper():
    """eps + lam grad J in variance-preserving scaling, gradient at the estimate."""
    sigma, x = levels_and_points()
    abar = per_row(1 / (1 + sigma**2), x)
    noisy, lam = jnp.sqrt(abar) * x, 0.2
    epsilon = (noisy - jnp.sqrt(abar) * prior(x, sigma)) / jnp.sqrt(1 - abar)
    gradient = jax.grad(lambda z: misfit({"u": z}).sum())(prior(x, sigma))
    x0 = (noisy - jnp.sqrt(1 - abar) * (epsilon + lam * gradient)) / jnp.sqrt(abar)
    np.testing.assert_allclose(
        guide(misfit, IDENTITY, lam)(prior)(x, sigma), x0, rtol=1e-9
    )


def test_gradient_at_the_noisy_state_has_one_more_factor():
    """With the network frozen, d x0/d x_k = 1/sqrt(abar) = sqrt(1 + sigma^2)."""
    sigma, x = levels_and_points()
    abar = per_row(1 / (1 + sigma**2), x)
    noisy, x0 = jnp.sqrt(abar) * x, prior(x, sigma)
    epsilon = (noisy - jnp.sqrt(abar) * x0) / jnp.sqrt(1 - abar)

    def of_state(noisy):
        clean = (noisy - jnp.sqrt(1 - abar) * epsilon) / jnp.sqrt(abar)
        return misfit({"u": clean}).sum()

    shifted = epsilon + 0.2 * jax.grad(of_state)(noisy)
    expected = (noisy - jnp.sqrt(1 - abar) * shifted) / jnp.sqrt(abar)
    strength = lambda sigma: 0.2 * sigma * jnp.sqrt(1 + sigma**2)  # noqa: E731
    ours = guide(misfit, IDENTITY, strength)(prior)(x, sigma)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.parametrize("strength", [0.0, lambda sigma: 0 * sigma])
def test_strength_zero_is_the_identity(strength):
    sigma, x = levels_and_points()
    ours = guide(misfit, IDENTITY, strength)(prior)(x, sigma)
    np.testing.assert_array_equal(ours, prior(x, sigma))


def test_strength_may_be_traced_and_dtype_is_kept():
    sigma, x = (a.astype(jnp.float32) for a in levels_and_points())

    @jax.jit
    def run(strength):
        return guide(misfit, IDENTITY, strength)(prior)(x, sigma)

    ours = run(jnp.array(0.2))  # float64 strength, float32 samples
    assert ours.dtype == jnp.float32
    # compiled and interpreted sums differ in the last bits
    np.testing.assert_allclose(
        ours, guide(misfit, IDENTITY, 0.2)(prior)(x, sigma), rtol=1e-5
    )


def test_rows_do_not_influence_each_other():
    sigma, x = levels_and_points()
    guided = guide(misfit, IDENTITY, exact)(prior)
    together = guided(x, sigma)
    for row in range(len(x)):
        alone = guided(x[row : row + 1], sigma[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-14)


@jax.custom_vjp
def opaque(x):
    return jnp.tanh(x)


def _refuse(*_):
    raise AssertionError("the network was differentiated")


opaque.defvjp(_refuse, _refuse)


def test_gradient_does_not_pass_through_the_network():
    sigma, x = levels_and_points()
    guided = guide(misfit, IDENTITY, 0.1)
    x0 = jnp.tanh(x)
    expected = x0 - 0.1 * per_row(sigma, x) * (x0 - TARGET) / TOLERANCE**2
    ours = guided(lambda x, sigma: opaque(x))(x, sigma)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    with pytest.raises(AssertionError, match="was differentiated"):
        jax.grad(lambda x: opaque(x).sum())(x)

    rough = lambda x, sigma: jnp.tanh(x) + jnp.sqrt(0 * x)  # noqa: E731
    assert np.isnan(jax.grad(lambda x: rough(x, sigma).sum())(x)).any()
    np.testing.assert_allclose(guided(rough)(x, sigma), expected, rtol=1e-12)


# -------------------------------------------------------------- other guidances


def test_clip_clamps_the_estimate():
    sigma, x = levels_and_points()
    wild = lambda x, sigma: 10 * x  # noqa: E731
    np.testing.assert_array_equal(
        clip(1.5)(wild)(x, sigma), np.clip(10 * np.asarray(x), -1.5, 1.5)
    )


def test_classifier_free_interpolates_and_extrapolates():
    sigma, x = levels_and_points()
    other = lambda x, sigma: jnp.sin(x)  # noqa: E731
    at = lambda weight: classifier_free(other, weight)(prior)(x, sigma)  # noqa: E731
    np.testing.assert_array_equal(at(1.0), prior(x, sigma))
    np.testing.assert_array_equal(at(0.0), other(x, sigma))
    epsilon = lambda denoised: (x - denoised) / per_row(sigma, x)  # noqa: E731
    # Ho & Salimans 2022, eq. 6 at w = 1.5
    expected = 2.5 * epsilon(prior(x, sigma)) - 1.5 * epsilon(other(x, sigma))
    np.testing.assert_allclose(epsilon(at(2.5)), expected, rtol=1e-9, atol=1e-10)


def test_compose_applies_in_order():
    sigma, x = levels_and_points()
    double = lambda d: lambda x, s: 2 * d(x, s)  # noqa: E731
    shift = lambda d: lambda x, s: d(x, s) + 1  # noqa: E731
    np.testing.assert_array_equal(
        compose(double, shift)(prior)(x, sigma), 2 * prior(x, sigma) + 1
    )
    np.testing.assert_array_equal(
        compose(shift, double)(prior)(x, sigma), 2 * (prior(x, sigma) + 1)
    )
    assert compose()(prior) is prior


def test_guide_then_clip_is_bounded_and_clip_then_guide_is_not():
    sigma, x = levels_and_points()
    strong = guide(misfit, IDENTITY, 5.0)
    assert jnp.abs(compose(strong, clip(1.0))(prior)(x, sigma)).max() <= 1
    assert jnp.abs(compose(clip(1.0), strong)(prior)(x, sigma)).max() > 1


# -------------------------------------------------------------------- objectives


def test_objectives_guide_together():
    layout = SimpleNamespace(
        synthesis=lambda z: {"u": z[..., 0], "f": z[..., 1]},
    )
    objective = lambda s: terminal(s["u"], jnp.ones(4)) + 0.5 * energy(s["f"])  # noqa: E731
    z = jax.random.normal(jax.random.key(7), (2, 3, 4, 2))
    sigma = jnp.array([2.0, 0.5])
    change = guide(objective, layout, 1.0)(lambda x, s: x)(z, sigma) - z
    change = -change / per_row(sigma, z)
    np.testing.assert_allclose(change[:, :-1, :, 0], 0.0)
    np.testing.assert_allclose(change[:, -1, :, 0], (z[:, -1, :, 0] - 1) / 2, rtol=1e-9)
    np.testing.assert_allclose(change[..., 1], z[..., 1], rtol=1e-9)


# ------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda s: s["u"], r"shape \(5,\), but returned float64 of shape \(5, 6\)"),
        (lambda s: s["u"].sum(), r"float64 of shape \(\)"),
        (lambda s: 0.0, r"of shape \(\)"),
        (lambda s: (s["u"] > 0).sum(axis=1), "returned int64"),
        (lambda s: jnp.log(-(s["u"] ** 2)).sum(axis=1), "its value is not"),
        (lambda s: jnp.sqrt(0 * s["u"]).sum(axis=1), "its gradient is not"),
    ],
)
def test_bad_objectives(objective, message):
    sigma, x = levels_and_points()
    with pytest.raises(ValueError, match=message):
        guide(objective, IDENTITY, 0.1)(prior)(x, sigma)


def test_bad_objective_is_named_inside_the_sampling_loop():
    guided = guide(lambda s: s["u"].sum(), IDENTITY, 0.1)(prior)
    with pytest.raises(ValueError, match="one floating-point number a row"):
        sample(ddim(), guided, (2, 3), karras(3, 0.1, 1.0), jax.random.key(0))


def test_non_finite_objective_stays_visible_under_jit():
    sigma, x = levels_and_points()
    guided = guide(lambda s: jnp.sqrt(0 * s["u"]).sum(axis=1), IDENTITY, 0.1)(prior)
    assert np.isnan(jax.jit(guided)(x, sigma)).all()


@pytest.mark.parametrize(
    "objective",
    [
        lambda s: energy(s["u"]),
        lambda s: jnp.sqrt(energy(s["u"])),
        lambda s: energy(jax.nn.relu(jnp.abs(s["u"]) - 1)),
        lambda s: -jnp.log(1 - jnp.abs(s["u"])).sum(axis=1),
    ],
    ids=["square", "norm", "bound", "barrier"],
)
def test_objectives_may_be_singular_or_flat_somewhere(objective):
    check_objective(objective, IDENTITY, jax.random.normal(jax.random.key(4), (2, 6)))


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda s: s["u"].sum(), r"float64 of shape \(\)"),
        (lambda s: 1 / jnp.round(s["u"]).sum(axis=1), "its value is not"),
        (lambda s: jnp.sqrt(0 * energy(s["u"])), "its gradient is not"),
        (lambda s: jnp.round(s["u"]).sum(axis=1), r"\['u'\], but its gradient is zero"),
    ],
    ids=["number", "infinite", "root", "rounded"],
)
def test_objectives_are_tried_out(objective, message):
    with pytest.raises(ValueError, match=message):
        check_objective(
            objective, IDENTITY, jax.random.normal(jax.random.key(4), (2, 6))
        )


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_bound(bound):
    with pytest.raises(ValueError, match="`bound` must be positive and finite"):
        clip(bound)
