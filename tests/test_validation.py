"""Errors that are watched in training, against stand-ins that know the answer."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import Oracle, Uncertain, make_fields, make_operator

from wdno import tasks
from wdno.trajectory import to_dataset
from wdno.validation import denoising_error, refinement_error, simulation_error


def labelled(frames=8, points=8):
    """Trajectories of the system that the stand-ins solve, with units of time."""
    fields = make_fields(frames=frames, points=points)
    coords = {
        "time": 0.25 * np.arange(frames + 1),
        "x": np.arange(points) / points,
    }
    return to_dataset(fields, coords, ("u",), ("f",))


def shifted(truth, amount):
    """The same with later states off by one amount a sample."""
    later = xr.where(truth.time > 0, amount, 0.0)
    moved = (truth.u + later).transpose(*truth.u.dims).assign_attrs(truth.u.attrs)
    return truth.assign(u=moved)


def test_an_exact_operator_has_no_error_and_a_shift_counts_squared():
    model, truth = make_operator(), labelled()
    np.testing.assert_allclose(simulation_error(model, truth), 0, atol=1e-10)
    amount = xr.DataArray([0.1, 0.2, 0.4], dims="sample")
    error = simulation_error(model, shifted(truth, amount))
    np.testing.assert_allclose(error, [0.01, 0.04, 0.16], rtol=1e-4)


def test_errors_are_those_of_the_number_of_steps():
    model, truth = make_operator(Uncertain), labelled()
    one, many = (simulation_error(model, truth, steps).mean() for steps in (1, 20))
    assert one < 1e-5  # the mean of the posterior, as nearly as sigma_max is infinite
    assert many > 1e-3  # a draw from it, of variance 0.1²


def test_the_error_of_a_refiner_is_that_of_doubling_exact_coarse_states():
    model, truth = make_operator(task=tasks.refinement), labelled()
    np.testing.assert_allclose(refinement_error(model, truth), 0, atol=1e-10)
    error = refinement_error(model, shifted(truth, 0.3))
    np.testing.assert_allclose(error, 0.09, rtol=1e-4)


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_denoising_error_is_the_loss_of_the_posterior_mean(spread):
    """Zero for a denoiser that knows the answer, less than its spread otherwise."""
    model, truth = make_operator(lambda *of: Oracle(*of, spread=spread)), labelled()
    error = float(denoising_error(model, truth))
    if spread == 0:
        assert error == pytest.approx(0, abs=1e-10)
    else:
        assert 0 < error < 5 * spread**2


def test_the_denoising_error_takes_the_first_window():
    model, truth = make_operator(), labelled()
    later = truth.copy(deep=True)
    later["u"][:, model.window + 1 :] += jnp.inf
    assert np.isfinite(float(denoising_error(model, later)))
    assert float(denoising_error(model, later)) == float(denoising_error(model, truth))
