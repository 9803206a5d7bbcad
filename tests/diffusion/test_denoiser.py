"""Preconditioning against its conditions, the loss against its closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdno.diffusion.denoiser import LARGEST_WEIGHT, Backbone, Denoiser, denoising_loss
from wdno.diffusion.noise import log_uniform, mixture, per_row, point
from wdno.diffusion.preconditioning import (
    EDMPreconditioning,
    Preconditioning,
    VariancePreserving,
)

EACH = pytest.mark.parametrize(
    "preconditioning", [EDMPreconditioning(0.5), VariancePreserving()]
)


class Silent(nnx.Module):
    """F = 0: the preconditioning alone denoises."""

    def __call__(self, x, c_noise, cond):
        return jnp.zeros_like(x)


class Mixing(nnx.Module):
    """A smooth function of all three inputs, with a gain for each channel."""

    def __init__(self, channels):
        self.gain = nnx.Param(jnp.linspace(0.5, 1.5, channels, dtype=jnp.float32))

    def __call__(self, x, c_noise, cond):
        mixed = jnp.tanh(x + per_row(c_noise, x) + cond.sum(-1, keepdims=True))
        return jnp.broadcast_to(self.gain[...], x.shape) * mixed


class Informed(nnx.Module):
    """Knows x0 from the condition and solves x0 = c_skip x + c_out F for F."""

    def __init__(self, preconditioning):
        self.preconditioning = preconditioning

    def __call__(self, x, c_noise, cond):
        c_skip, c_out, c_in, _ = self.preconditioning(jnp.exp(4 * c_noise))
        return (cond - per_row(c_skip / c_in, x) * x) / per_row(c_out, x)


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def case(rows=4, channels=2, condition=3):
    """Samples, noise levels over five decades and conditions."""
    sigma = jnp.geomspace(1e-3, 1e2, rows, dtype=jnp.float32)
    x = random(rows, 3, 5, channels)
    return x, sigma, random(rows, 3, 5, condition, seed=1)


def loss(denoiser, x0, noise, weight=None, cond=None, seed=0):
    cond = jnp.zeros_like(x0) if cond is None else cond
    weight = jnp.ones(x0.shape[-1]) if weight is None else jnp.asarray(weight)
    return denoising_loss(denoiser, x0, cond, noise, weight, jax.random.key(seed))


# --- preconditioning ------------------------------------------------------------------


@pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
def test_karras_conditions(sigma_data):
    """Karras et al. 2022, appendix B.6: eq. 114, 120 and 127."""
    sigma = jnp.geomspace(1e-3, 1e3, 25)
    c_skip, c_out, c_in, c_noise = EDMPreconditioning(sigma_data)(sigma)

    def target_variance(skip):
        """Of x0 - skip (x0 + sigma n), which F has to predict times c_out."""
        return (1 - skip) ** 2 * sigma_data**2 + (skip * sigma) ** 2

    np.testing.assert_allclose(c_in**2 * (sigma**2 + sigma_data**2), 1.0, 1e-12)
    np.testing.assert_allclose(c_out**2, target_variance(c_skip), 1e-9)
    for other in (0.999 * c_skip, 1.001 * c_skip):  # errors of F count least
        assert jnp.all(target_variance(other) > target_variance(c_skip))
    np.testing.assert_allclose(c_noise, np.log(sigma) / 4, 1e-12)


def test_variance_preserving_is_ddpm():
    """Ho et al. 2020, eq. 4 for the input, eq. 15 for the estimate of x0."""
    x, sigma, cond = case(rows=6)
    backbone = Mixing(2)
    came = Denoiser(backbone, VariancePreserving())(x, sigma, cond)
    abar = per_row(1 / (1 + sigma**2), x)
    state = jnp.sqrt(abar) * x
    noise = backbone(state, jnp.log(sigma) / 4, cond)
    wanted = (state - jnp.sqrt(1 - abar) * noise) / jnp.sqrt(abar)
    # 1 - abar cancels at small sigma in single precision
    np.testing.assert_allclose(came, wanted, 1e-4, 1e-4)


def test_variance_preserving_input_has_unit_variance():
    sigma = jnp.geomspace(1e-3, 1e3, 25)
    _, _, c_in, c_noise = VariancePreserving()(sigma)
    np.testing.assert_allclose(c_in**2 * (1 + sigma**2), 1.0, 1e-12)
    np.testing.assert_allclose(c_noise, np.log(sigma) / 4, 1e-12)


@EACH
def test_denoiser_composes_backbone_and_preconditioning(preconditioning):
    x, sigma, cond = case()
    backbone = Mixing(2)
    skip, out, scale, level = preconditioning(sigma)
    came = Denoiser(backbone, preconditioning)(x, sigma, cond)
    output = backbone(per_row(scale, x) * x, level, cond)
    wanted = per_row(skip, x) * x + per_row(out, x) * output
    assert came.dtype == x.dtype
    np.testing.assert_allclose(came, wanted, 1e-6)


@EACH
def test_one_noise_level_per_row_equals_separate_calls(preconditioning):
    x, sigma, cond = case()
    denoiser = Denoiser(Mixing(2), preconditioning)
    together = denoiser(x, sigma, cond)
    for i in range(len(x)):
        row = slice(i, i + 1)
        alone = denoiser(x[row], sigma[row], cond[row])
        np.testing.assert_allclose(together[row], alone, 1e-6)


def test_given_fixes_the_condition():
    x, sigma, cond = case()
    denoiser = Denoiser(Mixing(2), EDMPreconditioning())
    denoise = denoiser.given(cond)
    np.testing.assert_array_equal(denoise(x, sigma), denoiser(x, sigma, cond))
    other = denoiser.given(2 * cond)(x, sigma)
    assert float(abs(denoise(x, sigma) - other).max()) > 1e-2


def test_protocols_name_what_is_injected():
    assert isinstance(EDMPreconditioning(), Preconditioning)
    assert isinstance(VariancePreserving(), Preconditioning)
    assert isinstance(Mixing(1), Backbone)


# --- loss -----------------------------------------------------------------------------

ROWS = (2000, 16, 2)
# Mean of 64,000 squares of normal numbers, five standard deviations.
STATISTICAL = 5 * np.sqrt(2 / np.prod(ROWS))


def balance(sigma):
    return min(1 + 1 / sigma**2, LARGEST_WEIGHT)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 1.0, 20.0])
def test_loss_of_the_exact_denoiser_of_unit_gaussians(sigma):
    """E[x0 | x] = x / (1 + sigma^2) errs by sigma^2 / (1 + sigma^2)."""
    came = loss(Denoiser(Silent(), EDMPreconditioning()), random(*ROWS), point(sigma))
    wanted = balance(sigma) * sigma**2 / (1 + sigma**2)
    np.testing.assert_allclose(came, wanted, STATISTICAL)
    if sigma >= 0.5:
        np.testing.assert_allclose(wanted, 1.0, 1e-12)


@pytest.mark.parametrize("std", [0.3, 4.0])
@pytest.mark.parametrize("sigma", [0.4, 2.0])
def test_loss_of_a_linear_denoiser(sigma, std):
    """D = c x errs by (1 - c)^2 std^2 + c^2 sigma^2."""
    skip = 0.5**2 / (sigma**2 + 0.5**2)
    wanted = balance(sigma) * ((1 - skip) ** 2 * std**2 + (skip * sigma) ** 2)
    came = loss(
        Denoiser(Silent(), EDMPreconditioning(0.5)), std * random(*ROWS), point(sigma)
    )
    np.testing.assert_allclose(came, wanted, STATISTICAL)


def test_noise_levels_are_drawn_row_by_row():
    """D = x errs by sigma^2; an eighth of the rows has the larger level."""
    noise = mixture([point(0.5), point(2.0)], [7.0, 1.0])
    denoiser = Denoiser(Silent(), VariancePreserving())
    came = float(loss(denoiser, random(*ROWS), noise))
    parts = [balance(0.5) * 0.5**2, balance(2.0) * 2.0**2]
    wanted = np.average(parts, weights=[7, 1])
    spread = np.sqrt(7 / 64 / ROWS[0]) * abs(parts[1] - parts[0])
    assert abs(came - wanted) < 5 * spread
    assert abs(came - parts[0]) > 10 * spread


@EACH
def test_a_denoiser_that_is_told_the_answer_has_no_loss(preconditioning):
    x0 = random(8, 4, 4, 2)
    denoiser = Denoiser(Informed(preconditioning), preconditioning)
    noise = log_uniform(0.1, 10.0)
    assert loss(denoiser, x0, noise, cond=x0) < 1e-8
    assert loss(denoiser, x0, noise, cond=x0 + 1) > 1.0


def test_weight_selects_channels():
    """At sigma = 1 the unit channel errs by 1/2, a channel of deviation 3 by 5/2."""
    x0 = random(*ROWS) * jnp.asarray([[[1.0, 3.0]]], jnp.float32)
    denoiser = Denoiser(Silent(), EDMPreconditioning())

    def weighted(*weight):
        return loss(denoiser, x0, point(1.0), weight)

    first, second = weighted(1.0, 0.0), weighted(0.0, 1.0)
    tolerance = np.sqrt(2) * STATISTICAL
    np.testing.assert_allclose(first, balance(1.0) * 0.5 / 2, tolerance)
    np.testing.assert_allclose(second, balance(1.0) * 2.5 / 2, tolerance)
    np.testing.assert_allclose(weighted(0.3, 1.7), 0.3 * first + 1.7 * second, 1e-5)


def test_gradient_reaches_the_backbone_but_not_the_condition():
    x0, _, cond = case()
    denoiser, noise = Denoiser(Mixing(2), EDMPreconditioning()), log_uniform(0.1, 10.0)
    to_condition = jax.grad(lambda c: loss(denoiser, x0, noise, cond=c))(cond)
    np.testing.assert_array_equal(to_condition, 0.0)
    to_backbone = nnx.grad(lambda d: loss(d, x0, noise, (1.0, 0.0), cond))(denoiser)
    gain = to_backbone.backbone.gain[...]
    assert gain[0] != 0 and gain[1] == 0  # the second channel has no weight
    assert loss(denoiser, x0, noise, cond=cond) != loss(denoiser, x0, noise, cond=-cond)


def test_the_key_decides_all_randomness():
    x0, denoiser = random(4, 3, 2), Denoiser(Silent(), EDMPreconditioning())
    noise = log_uniform(0.1, 10.0)
    assert loss(denoiser, x0, noise) == loss(denoiser, x0, noise)
    assert loss(denoiser, x0, noise) != loss(denoiser, x0, noise, seed=1)
    assert loss(denoiser, x0, noise).dtype == x0.dtype
