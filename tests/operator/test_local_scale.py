"""A scale that follows the details of a mean: its energies, weights and likelihood."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import make_fields
from tiny import make_tiny

from wdno.operator import InstantScale, InstantShareScale, LocalScale, ShareScale
from wdno.operator.calibrated import mean_of
from wdno.operator.generation import left_open, prepare
from wdno.operator.local_scale import local_energies
from wdno.operator.residual import Estimate
from wdno.training.batches import WindowBatches
from wdno.training.recipes import RECIPES
from wdno.training.variances import variance_weights, with_local_scale
from wdno.wavelets.field import Field
from wdno.wavelets.layout import WaveletLayout


@jax.tree_util.register_static
class Given:
    """An estimate with a mean that varies from place to place."""

    def __call__(self, known, condition, targets, given):
        shape = (*condition.shape[:-1], len(targets.channels))
        mean = jnp.sin(jnp.arange(np.prod(shape), dtype=float).reshape(shape))
        return Estimate(mean, jnp.full((1,) * mean.ndim, 7.0), mean[..., :0])

    def channels(self, targets, given):
        return 0

    def built(self, targets, given, rngs):
        return self

    def described(self):
        return self


def test_energies_are_means_over_neighbours():
    mean = jax.random.normal(jax.random.key(0), (2, 4, 5, 3))
    found = np.asarray(local_energies(mean))
    np.testing.assert_array_equal(found[..., 0], 1)
    square = np.square(mean)
    np.testing.assert_allclose(
        found[:, 2, 3, 1:], square[:, 1:4, 2:5].mean((1, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        found[:, 0, 4, 1:], square[:, :2, 3:].mean((1, 2)), rtol=1e-5
    )


def test_energies_have_gradients_where_they_are_compiled():
    mean = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    slope = jax.jit(jax.grad(lambda z: local_energies(z).sum()))(mean)
    # The nine means that the centre is part of count it a ninth each.
    np.testing.assert_allclose(slope[:, 2, 2], 2 * mean[:, 2, 2], rtol=1e-5)


def test_scale_is_the_root_of_weighted_energies_and_the_mean_stays():
    model = make_tiny()
    count = len(model.targets.channels)
    deviations = jax.random.normal(jax.random.key(1), (1 + count, count))
    local = LocalScale(Given(), deviations)
    model = replace(model, residual=local)
    fields = make_fields()
    context = prepare(model, fields)
    plain = Given()(fields, context.condition, model.targets, model.given)
    np.testing.assert_array_equal(context.estimate.mean, plain.mean)
    np.testing.assert_allclose(
        jnp.square(context.estimate.scale),
        local_energies(plain.mean) @ jnp.square(deviations),
        rtol=1e-6,
    )
    z = model.targets.analysis(fields)
    r = left_open(model, context, fields)
    np.testing.assert_allclose(plain.mean + context.estimate.scale * r, z, atol=1e-9)
    assert isinstance(mean_of(local), Given)


def shares_of_time():
    """A field and a share of it, one number a frame, in pairs of frames."""
    return WaveletLayout(
        (Field("u", ("time", "x")), Field("share", ("time",))),
        ("time", "x"),
        (4, 8),
        "haar",
        ("periodization",) * 2,
    )


def test_a_share_is_surest_near_both_ends():
    layout, odds = shares_of_time(), 0.2
    share = jnp.asarray([[0.0, 0.0, 0.5, 0.5], [1.0, 1.0, 0.9, 0.9]])
    u = jax.random.normal(jax.random.key(0), (2, 4, 8))
    mean = layout.analysis({"u": u, "share": share})
    local = ShareScale(Given(), shares=("share",))
    energies = local.energies(mean, layout)
    # A small error of the log odds changes a share by its own slope.
    logit = jax.scipy.special.logit(jnp.clip(share, 1e-7, 1 - 1e-7))
    changed = jax.nn.sigmoid(logit + 1e-3) - share
    np.testing.assert_allclose(
        1e-6 * energies[:, :, 3, -1],
        jnp.square(changed).reshape(2, 2, 2).mean(-1),
        rtol=2e-3,
        atol=1e-10,
    )
    # Coefficients of a share have a scale by it alone, those of the field by the rest.
    count = len(layout.channels)
    may = local.dependence(layout)
    assert may.shape == (count + 2, count)
    of_share = [name.startswith("share") for name in layout.channels]
    np.testing.assert_array_equal(may[-1], of_share)
    np.testing.assert_array_equal(may[1:-1], ~np.asarray([of_share] * count))
    weights = np.where(may, odds**2, 0.0)
    variance = np.asarray(energies @ weights)[..., of_share]
    expected = odds**2 * (1 + np.asarray([[0.0, 0.25], [0.0, 0.09]]) ** 2)
    np.testing.assert_allclose(variance[:, :, 3, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("names", [(), ("smoke",)])
def test_shares_are_named_and_there(names):
    model = make_tiny()
    with pytest.raises(ValueError, match="Shares are targets, but .* are not among"):
        ShareScale(Given(), shares=names).built(model.targets, model.given, nnx.Rngs(0))


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_of_the_largest_likelihood_are_those_of_the_data(seed):
    draw = np.random.default_rng(seed)
    energies = np.concatenate(
        [np.ones((40_000, 1)), draw.lognormal(0, 1.5, (40_000, 3))], axis=1
    )
    true = np.array([0.3, 2.0, 0.0, 0.7]) * 1e-5
    variance = energies @ true
    squares = variance * np.square(draw.standard_normal(len(variance)))
    found = variance_weights(energies, squares)
    np.testing.assert_allclose(found, true, atol=0.12 * true.max(), rtol=0.12)

    np.testing.assert_allclose((energies @ found).mean(), squares.mean(), rtol=1e-6)

    def loss(weights):
        variance = energies @ weights
        return np.mean(np.log(variance) + squares / variance)

    constant = np.array([squares.mean(), 0.0, 0.0, 0.0])
    assert loss(found) < loss(true) + 1e-3
    assert loss(found) < loss(constant) - 0.2
    assert not variance_weights(energies, 0 * squares).any()


class Drawn(WindowBatches):
    """Windows whose coefficients are off from the mean by normal errors."""

    recipe = RECIPES["burgers-simulation"]

    def __init__(self, model, deviations):
        self.model, self.deviations = model, deviations

    def __call__(self, number):
        key = jax.random.fold_in(jax.random.key(3), number)
        fields = make_fields(batch=64)
        condition = self.model.given.analysis(fields)
        mean = Given()(fields, condition, self.model.targets, self.model.given).mean
        error = self.deviations[None] * jax.random.normal(key, mean.shape)
        return {**fields, **self.model.targets.synthesis(mean + error)}


def test_each_instant_has_the_scale_of_what_is_left_open_there():
    model = make_tiny()
    count = len(model.targets.channels)
    true = jnp.asarray(np.multiply.outer([[0.2], [3.0]], np.arange(1.0, 1 + count)))
    model = replace(model, residual=Given())
    fitted = with_local_scale(model, Drawn(model, true), InstantScale(Given()), 8)
    fields = make_fields(batch=2)
    scale = prepare(fitted, fields).estimate.scale
    np.testing.assert_allclose(scale, np.broadcast_to(true, scale.shape), rtol=0.1)


def test_scales_at_each_instant_are_those_of_a_local_scale_where_these_are_alike():
    layout = shares_of_time()
    mean = jax.random.normal(jax.random.key(0), (2, 2, 4, len(layout.channels)))
    local = ShareScale(Given(), shares=("share",))
    each = InstantShareScale(Given(), shares=("share",))
    energies = local.energies(mean, layout)
    deviations = jax.random.normal(jax.random.key(1), local.deviations_shape(layout))
    alike = jnp.broadcast_to(deviations, each.deviations_shape(layout))
    np.testing.assert_allclose(
        replace(each, deviations=alike).variance(energies),
        replace(local, deviations=deviations).variance(energies),
        rtol=1e-5,
    )
    each = replace(each, deviations=alike.at[1].set(0))
    first = replace(local, deviations=deviations).variance(energies[:, :1])
    np.testing.assert_allclose(each.variance(energies[:, :1]), first, rtol=1e-5)
    with pytest.raises(ValueError, match="here 2 in coefficients, but these have 4"):
        each.variance(jnp.concatenate([energies, energies], axis=1))
