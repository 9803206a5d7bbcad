"""Networks as values, the denoiser around one, the loss against its closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdno.diffusion.denoiser import Backbone, Denoiser, freeze
from wdno.diffusion.loss import LARGEST_WEIGHT, Source, denoising_loss
from wdno.diffusion.noise import log_uniform, mixture, per_row, point
from wdno.diffusion.preconditioning import EDMPreconditioning, VariancePreserving

EACH = pytest.mark.parametrize(
    "preconditioning", [EDMPreconditioning(0.5), VariancePreserving()]
)


def silent(x, c_noise, cond):
    """F = 0: the preconditioning alone denoises."""
    return jnp.zeros_like(x)


class Mixing(nnx.Module):
    """A smooth function of all three inputs, with a gain for each channel."""

    def __init__(self, channels):
        self.gain = nnx.Param(jnp.linspace(0.5, 1.5, channels, dtype=jnp.float32))

    def __call__(self, x, c_noise, cond):
        mixed = jnp.tanh(x + per_row(c_noise, x) + cond.sum(-1, keepdims=True))
        return jnp.broadcast_to(self.gain[...], x.shape) * mixed


def informed(preconditioning):
    """Knows x0 from the condition and solves x0 = c_skip x + c_out F for F."""

    def backbone(x, c_noise, cond):
        c_skip, c_out, c_in, _ = preconditioning(jnp.exp(4 * c_noise))
        return (cond - per_row(c_skip / c_in, x) * x) / per_row(c_out, x)

    return backbone


def random(*shape, seed=0):
    drawn = np.random.default_rng(seed).normal(size=shape)
    return jax.device_put(drawn.astype(np.float32))


def case(rows=4, channels=2, condition=3):
    """Samples, noise levels over five decades and conditions."""
    sigma = jnp.geomspace(1e-3, 1e2, rows, dtype=jnp.float32)
    x = random(rows, 3, 5, channels)
    return x, sigma, random(rows, 3, 5, condition, seed=1)


def loss(denoiser, x0, noise, weight=None, cond=None, seed=0):
    cond = jnp.zeros_like(x0) if cond is None else cond
    weight = jnp.ones(x0.shape[-1]) if weight is None else jnp.asarray(weight)
    return denoising_loss(denoiser, x0, cond, noise, weight, jax.random.key(seed))


# --- networks -------------------------------------------------------------------------


class Nested(nnx.Module):
    """Layers in a list and in a part of a part, and a config."""

    config = "of two layers"

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.blocks = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(2)])
        self.head = nnx.Sequential(nnx.Linear(2, 2, use_bias=False, rngs=rngs))

    def __call__(self, x, c_noise, cond):
        for block in self.blocks:
            x = jnp.tanh(block(x))
        return self.head(x)


def test_a_network_is_what_its_module_is():
    module, (x, sigma, cond) = Nested(), case()
    network = freeze(module)
    assert isinstance(network, Backbone) and isinstance(module, Backbone)
    assert sorted(network.parameters) == [
        "blocks.0.bias",
        "blocks.0.kernel",
        "blocks.1.bias",
        "blocks.1.kernel",
        "head.layers.0.kernel",
    ]
    assert network.config == "of two layers"
    expected = module(x, sigma, cond)
    for found in (network, network.thaw(), jax.tree.map(lambda p: p, network)):
        np.testing.assert_array_equal(found(x, sigma, cond), expected)
    same = freeze(Nested())
    assert jax.tree.structure(same) == jax.tree.structure(network)  # compiled once


def test_training_a_module_leaves_the_network_that_was_frozen():
    module = Nested()
    network = freeze(module)
    before = np.array(network.parameters["blocks.0.kernel"])
    for trained in (module, network.thaw()):
        trained.blocks[0].kernel[...] = trained.blocks[0].kernel[...] + 1
        np.testing.assert_array_equal(network.parameters["blocks.0.kernel"], before)
        found = freeze(trained).parameters["blocks.0.kernel"]
        np.testing.assert_array_equal(found, before + 1)


# --- denoiser -------------------------------------------------------------------------


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


@EACH
def test_estimates_are_clipped_to_the_bound(preconditioning):
    x, sigma, cond = case()
    free = Denoiser(Mixing(2), preconditioning)(x, sigma, cond)
    found = Denoiser(Mixing(2), preconditioning, bound=0.5)(x, sigma, cond)
    np.testing.assert_array_equal(found, np.clip(free, -0.5, 0.5))
    assert float(abs(free).max()) > 0.5


def test_given_fixes_the_condition():
    x, sigma, cond = case()
    denoiser = Denoiser(Mixing(2), EDMPreconditioning())
    denoise = denoiser.given(cond)
    np.testing.assert_array_equal(denoise(x, sigma), denoiser(x, sigma, cond))
    other = denoiser.given(2 * cond)(x, sigma)
    assert float(abs(denoise(x, sigma) - other).max()) > 1e-2


# --- loss -----------------------------------------------------------------------------

ROWS = (2000, 16, 2)
# Mean of 64,000 squares of normal numbers, five standard deviations.
STATISTICAL = 5 * np.sqrt(2 / np.prod(ROWS))


def balance(sigma):
    return min(1 + 1 / sigma**2, LARGEST_WEIGHT)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 1.0, 20.0])
def test_loss_of_the_exact_denoiser_of_unit_gaussians(sigma):
    """E[x0 | x] = x / (1 + sigma^2) errs by sigma^2 / (1 + sigma^2)."""
    came = loss(Denoiser(silent, EDMPreconditioning()), random(*ROWS), point(sigma))
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
        Denoiser(silent, EDMPreconditioning(0.5)), std * random(*ROWS), point(sigma)
    )
    np.testing.assert_allclose(came, wanted, STATISTICAL)


def test_noise_levels_are_drawn_row_by_row():
    """D = x errs by sigma^2; an eighth of the rows has the larger level."""
    noise = mixture([point(0.5), point(2.0)], [7.0, 1.0])
    denoiser = Denoiser(silent, VariancePreserving())
    came = float(loss(denoiser, random(*ROWS), noise))
    parts = [balance(0.5) * 0.5**2, balance(2.0) * 2.0**2]
    wanted = np.average(parts, weights=[7, 1])
    spread = np.sqrt(7 / 64 / ROWS[0]) * abs(parts[1] - parts[0])
    assert abs(came - wanted) < 5 * spread
    assert abs(came - parts[0]) > 10 * spread


@EACH
def test_a_denoiser_that_is_told_the_answer_has_no_loss(preconditioning):
    x0 = random(8, 4, 4, 2)
    denoiser = Denoiser(informed(preconditioning), preconditioning)
    noise = log_uniform(0.1, 10.0)
    assert loss(denoiser, x0, noise, cond=x0) < 1e-8
    assert loss(denoiser, x0, noise, cond=x0 + 1) > 1.0


def test_weight_selects_channels():
    """At sigma = 1 the unit channel errs by 1/2, a channel of deviation 3 by 5/2."""
    x0 = random(*ROWS) * jnp.asarray([[[1.0, 3.0]]], jnp.float32)
    denoiser = Denoiser(silent, EDMPreconditioning())

    def weighted(*weight):
        return loss(denoiser, x0, point(1.0), weight)

    first, second = weighted(1.0, 0.0), weighted(0.0, 1.0)
    tolerance = np.sqrt(2) * STATISTICAL
    np.testing.assert_allclose(first, balance(1.0) * 0.5 / 2, tolerance)
    np.testing.assert_allclose(second, balance(1.0) * 2.5 / 2, tolerance)
    np.testing.assert_allclose(weighted(0.3, 1.7), 0.3 * first + 1.7 * second, 1e-5)


def test_gradient_reaches_the_backbone_but_not_the_condition():
    x0, _, cond = case()
    denoiser = Denoiser(freeze(Mixing(2)), EDMPreconditioning())
    noise = log_uniform(0.1, 10.0)
    to_condition = jax.grad(lambda c: loss(denoiser, x0, noise, cond=c))(cond)
    np.testing.assert_array_equal(to_condition, 0.0)
    to_backbone = jax.grad(lambda d: loss(d, x0, noise, (1.0, 0.0), cond))(denoiser)
    gain = to_backbone.backbone.parameters["gain"]
    assert gain[0] != 0 and gain[1] == 0  # the second channel has no weight
    assert loss(denoiser, x0, noise, cond=cond) != loss(denoiser, x0, noise, cond=-cond)


def test_the_key_decides_all_randomness():
    x0, denoiser = random(4, 3, 2), Denoiser(silent, EDMPreconditioning())
    noise = log_uniform(0.1, 10.0)
    assert loss(denoiser, x0, noise) == loss(denoiser, x0, noise)
    assert loss(denoiser, x0, noise) != loss(denoiser, x0, noise, seed=1)
    assert loss(denoiser, x0, noise).dtype == x0.dtype


def test_from_a_source_the_loss_meets_what_the_sampler_meets():
    """x on the straight line from p + σ_0 n to x0, of which DDIM walks."""
    x0, _, cond = case(condition=2)
    p, start = random(*x0.shape, seed=2), 0.5
    seen = []

    def backbone(x, c_noise, cond):
        sigma = jnp.exp(4 * c_noise)
        seen.append((x * jnp.sqrt(1 + per_row(sigma, x) ** 2), sigma))
        return x

    denoiser = Denoiser(backbone, EDMPreconditioning())
    source = Source(p, jnp.full(len(x0), start, jnp.float32))
    weight, key = jnp.ones(x0.shape[-1]), jax.random.key(0)
    for sigma in (2.0, 0.2):
        denoising_loss(denoiser, x0, cond, point(sigma), weight, key, source)
    (first, at), (second, below) = seen
    np.testing.assert_allclose(at, 0.5, rtol=1e-5)  # 2 lies above the start
    np.testing.assert_allclose(below, 0.2, rtol=1e-5)
    ratio = per_row(below / at, x0)
    np.testing.assert_allclose(second, x0 + ratio * (first - x0), atol=1e-5)
    noise = jax.random.normal(jax.random.split(key)[1], x0.shape, x0.dtype)
    np.testing.assert_allclose(first, p + start * noise, atol=1e-5)
