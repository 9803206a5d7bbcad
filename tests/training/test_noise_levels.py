"""Errors of calls at each noise level, beside a posterior that is known exactly."""

import jax
import numpy as np
import pytest
from oracles import Oracle, Uncertain, labelled, make_fields, make_operator
from oracles import make_uncertain as uncertain

from wdno.operator import tasks
from wdno.training.held_out import held_windows
from wdno.training.noise_levels import (
    errors_of_levels,
    level_grid,
    transition_errors,
    transition_ratios,
)

SPREAD = 0.1
LEVELS = np.array([0.01, 0.03, 0.1, 0.3, 1.0])
HOW = {"batch_size": 100, "key": jax.random.key(0)}


@pytest.fixture(scope="module")
def posterior():
    """A model that knows its posterior, and windows drawn from it."""
    model = make_operator(Uncertain)
    return model, held_windows(model, uncertain(model, SPREAD, batch=400))


def trust(sigma):
    return SPREAD**2 / (SPREAD**2 + np.square(sigma))


def ratio(high, low):
    """`transition_ratios` of the Gaussian posterior."""
    both, last = trust(high) * trust(low), trust(low)
    own = (1 - both) ** 2 * SPREAD**2 + (both * high) ** 2 + (last * low) ** 2
    return own / (last * low**2)


def test_the_error_of_the_posterior_mean_is_known_and_rises(posterior):
    model, fields = posterior
    found = errors_of_levels(model, fields, LEVELS, **HOW)
    expected = trust(LEVELS) * LEVELS**2
    assert found.channel_error.dims == ("sigma", "channel")
    np.testing.assert_allclose(found.channel_error.mean("channel"), expected, rtol=0.03)
    np.testing.assert_allclose(found.channel_error.T, [expected] * 4, rtol=0.15)
    # Haar wavelets are orthogonal: errors of coefficients add up to those of the field.
    scale = np.square(model.targets.scale).mean()
    error = found.denoising_error.sel(field="u")
    np.testing.assert_allclose(error, scale * expected, rtol=0.05)
    assert (np.diff(error) > 0).all()


def test_the_ratio_of_two_calls_is_that_of_the_posterior(posterior):
    model, fields = posterior
    high, low = np.tril_indices(len(LEVELS), -1)
    errors = transition_errors(model, fields, LEVELS, high, low, **HOW)
    np.testing.assert_allclose(errors.truth, trust(LEVELS) * LEVELS**2, rtol=0.05)
    came = transition_ratios(errors, low)
    np.testing.assert_allclose(came, ratio(LEVELS[high], LEVELS[low]), rtol=0.08)


def test_an_exact_denoiser_is_stable_where_noise_hides_what_is_open(posterior):
    model, fields = posterior
    levels, high, low = np.array([1.0, 3.0]), np.array([1]), np.array([0])
    # What this one believes, the posterior does not: that noise of 1 is information.
    gullible = make_operator(lambda *of: Oracle(*of, spread=1.0))
    exact, biased = (
        transition_ratios(transition_errors(m, fields, levels, high, low, **HOW), low)
        for m in (model, gullible)
    )
    assert 1 < exact < 1.05
    np.testing.assert_allclose(biased, 1.115, atol=0.02)


def test_all_windows_of_a_record_are_cut_with_what_is_given_of_them():
    truth = labelled(make_fields(frames=11))
    for task in (tasks.simulation, tasks.refinement):
        model = make_operator(task=task)
        fields = held_windows(model, truth)
        assert fields["u"].shape == (6, 4, 8)
        np.testing.assert_array_equal(fields["u"][1], truth.u[0, 5:9])
        np.testing.assert_array_equal(fields["u0"][2], truth.u[1, 0])
        np.testing.assert_array_equal(fields["u0"][5], truth.u[2, 4])
        found = errors_of_levels(model, fields, LEVELS, **HOW)
        np.testing.assert_allclose(found.denoising_error, 0, atol=1e-12)


def test_batches_change_nothing(posterior):
    model, fields = posterior
    few = {name: values[:7] for name, values in fields.items()}
    key = jax.random.key(3)
    one, other = (
        errors_of_levels(model, few, LEVELS, batch_size=size, key=key)
        for size in (7, 2)
    )
    np.testing.assert_allclose(one.channel_error, other.channel_error, rtol=1e-10)


def test_levels_go_evenly_in_the_logarithm_from_end_to_end():
    levels = level_grid(make_operator(), 4)
    np.testing.assert_allclose(levels, [0.01, 0.1, 1.0, 10.0])


def test_short_records_are_refused():
    with pytest.raises(ValueError, match="4 frames .* but these have 3"):
        held_windows(make_operator(), labelled(make_fields(frames=3)))
