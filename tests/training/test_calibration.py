"""Slopes and factors of models whose faults are known, and ensembles with them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Estimated,
    Uncertain,
    labelled,
    make_fields,
    make_operator,
    make_uncertain,
    oracle,
)
from scipy.optimize import brentq
from tiny import make_tiny

import wdno
from wdno import samplers
from wdno.diffusion.denoiser import Denoiser
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.operator.calibrated import Calibrated, uncalibrated
from wdno.training.calibration import Moments, slope_and_factor

SCALE = 0.3
SLOPE = np.array([1.0, 1.2, 0.0, -0.5])
FACTOR = np.array([1.0, 0.5, 2.0, 1.5])
KEY = jax.random.key(0)


@oracle
class Silent:
    """A network that says nothing: residuals are drawn from the standard normal."""

    def __call__(self, x, c_noise, cond):
        return jnp.zeros_like(x)


def normal_model():
    plain = Denoiser(Silent(), EDMPreconditioning())
    return replace(make_operator(), denoiser=plain, residual=Estimated(SCALE))


def off_by_known_numbers(model, batch, seed=0):
    """Truth ``z = a m + k s n`` of the slopes and factors above."""
    fields = make_fields(batch=batch, seed=seed)
    mean = model.targets.analysis(fields)
    noise = np.random.default_rng(5 + seed).normal(size=mean.shape)
    slope, factor = (jnp.expand_dims(v, (0, 1, 2)) for v in (SLOPE, FACTOR))
    truth = model.targets.synthesis(slope * mean + factor * SCALE * noise)
    return labelled({**fields, **truth})


def test_numbers_of_normal_errors_are_found_and_ensembles_then_fit():
    model = normal_model()
    truth = off_by_known_numbers(model, 600)
    how = {"calls": 30, "sampler": samplers.heun(), "key": KEY}
    found = wdno.calibrate(model, truth, **how)
    np.testing.assert_allclose(found.residual.slope, SLOPE, atol=0.04)
    np.testing.assert_allclose(found.residual.factor, FACTOR, rtol=0.05)
    others = off_by_known_numbers(model, 600, seed=1)
    seen = wdno.diagnose(found, others, levels=2, **how)
    np.testing.assert_allclose(seen.spread_skill_by_channel, 1, atol=0.06)
    np.testing.assert_allclose(seen.energy_ratio, 1, atol=0.06)
    again = wdno.calibrate(found, truth, **how)
    assert isinstance(uncalibrated(again.residual), Estimated)
    assert again.residual.factor == found.residual.factor


@pytest.mark.slow
def test_few_calls_that_scatter_less_are_made_up_for():
    """Euler's four steps leave a known share of standard normal noise."""
    model = normal_model()
    truth = off_by_known_numbers(model, 300)
    euler = {"calls": 4, "sampler": samplers.ddim(0.0)}
    angles = np.arctan(np.asarray(model.levels(4)))
    left = np.cos(-np.diff(angles)).prod() * 10 / np.sqrt(101)
    found = wdno.calibrate(model, truth, key=KEY, **euler)
    np.testing.assert_allclose(found.residual.factor, FACTOR / left, rtol=0.06)


def test_a_posterior_without_a_mean_of_its_own_is_refused():
    """A factor would move its mean by more than its spread, so that none fits."""
    model = make_operator(Uncertain)
    truth = make_uncertain(model, 0.2, batch=50)
    with pytest.raises(ValueError, match="at any scale. Take more calls"):
        wdno.calibrate(model, truth, calls=4, key=KEY)


def test_the_equations_hold():
    """Least squares on the mean, and halfway between right spread and right energy."""
    draw = np.random.default_rng(1)
    members, shape = 5, (5, 300)
    mean = draw.normal(size=shape[1])
    left = draw.normal(size=shape) + 0.4 * draw.normal(size=shape[1]) + 0.1 * mean
    truth = 0.7 * mean + draw.normal(size=shape[1]) + 1.5 * left.mean(0)
    b, error, variance = left.mean(0), truth - mean, left.var(0, ddof=1)
    products = (error**2, error * mean, mean**2, error * b, mean * b, b**2, variance)
    moments = Moments(*(np.mean(product, keepdims=True) for product in products))
    (slope,), (factor,) = slope_and_factor(moments, members)

    def ensemble(factor):
        """Made with the best slope for a factor."""
        slope = mean @ (truth - factor * b) / (mean @ mean)
        return slope * mean + factor * left

    def surplus_of_spread(factor):
        cast = ensemble(factor)
        error = np.square(cast.mean(0) - truth)
        return (cast.var(0, ddof=1) * (1 + 1 / members) - error).mean()

    def surplus_of_energy(factor):
        return (np.square(ensemble(factor)) - np.square(truth)).mean()

    spread = brentq(surplus_of_spread, 0.1, 10)
    energy = brentq(surplus_of_energy, 0.1, 10)
    assert abs(spread / energy - 1) > 0.1
    np.testing.assert_allclose(factor, np.sqrt(spread * energy), rtol=1e-9)
    np.testing.assert_allclose(slope * mean + factor * left, ensemble(factor))


def test_what_is_known_but_for_rounding_stays_as_it_is():
    """Cells keep what they hold: not even the slope of their rounding errors is fit."""
    known = np.array([1e-12, 1e-7, 1.0, 0.0, 0.0, 0.0, 0.0])
    left_open = np.array([0.01, 0.05, 1.0, 0.0, 0.0, 0.0, 0.01])
    moments = Moments(*np.stack([known, left_open], axis=-1))
    slope, factor = slope_and_factor(moments, 8)
    assert slope[0] == factor[0] == 1
    assert slope[1] == pytest.approx(1.05) and factor[1] < 1


def test_wrong_input_is_told():
    model, truth = make_operator(Uncertain), labelled(make_fields())
    for wrong in ({"members": 1}, {"calls": 0}):
        with pytest.raises(ValueError, match="two members or more, of one"):
            wdno.calibrate(model, truth, key=KEY, **wrong)
    with pytest.raises(ValueError, match="'f'.* are missing"):
        wdno.calibrate(model, truth.drop_vars("f"), key=KEY)
    with pytest.raises(ValueError, match="at any scale. Take more calls"):
        wdno.calibrate(make_tiny(), truth, calls=1, key=KEY)
    with pytest.raises(ValueError, match="Scales are positive"):
        Calibrated(None, (1.0,), (0.0,))
    with pytest.raises(ValueError, match="Slopes of a mean are finite"):
        Calibrated(None, (np.nan,), (1.0,))
