"""A scale that follows the details of a mean: its energies, weights and likelihood."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import make_fields
from tiny import make_tiny

from wdno.operator import LocalScale
from wdno.operator.calibrated import mean_of
from wdno.operator.generation import left_open, prepare
from wdno.operator.local_scale import local_energies
from wdno.operator.residual import Estimate
from wdno.training.variances import variance_weights


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
