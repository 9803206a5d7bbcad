"""Errors that are watched in training, against stand-ins that know the answer."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import (
    BESIDE,
    Gated,
    Oracle,
    Uncertain,
    make_fields,
    make_gated_fields,
    make_operator,
    oracle,
    pass_gate,
    with_beside,
)

from wdno import Field
from wdno.operator import tasks
from wdno.training.validation import denoising_error, refinement_error, simulation_error
from wdno.trajectory import to_dataset
from wdno.wavelets.field import Role


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


# What comes beside states and controls


def labelled_beside():
    """Solutions behind gates, which are coordinates, with their shares."""
    fields = make_gated_fields(frames=8)
    coords = {"time": 0.25 * np.arange(9), "x": np.arange(8) / 8}
    beside = {quantity.name: quantity.dims for quantity in BESIDE.targets}
    truth = to_dataset(fields, coords, ("u",), ("f",), auxiliary=beside)
    return truth.assign_coords(gate=(("sample", "x"), np.asarray(fields["gate"])))


def test_the_gate_of_each_sample_is_simulated_with():
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    truth = labelled_beside()
    np.testing.assert_allclose(simulation_error(model, truth), 0, atol=1e-10)
    others = truth.assign_coords(gate=truth.gate[::-1])
    assert (simulation_error(model, others) > 0.01).any()


def test_the_denoising_error_is_that_of_all_generated_fields_behind_the_gate():
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    truth = labelled_beside()
    assert float(denoising_error(model, truth)) == pytest.approx(0, abs=1e-10)
    for name in ("share", "gate"):
        wrong = truth.assign({name: truth[name] + 1.0})
        assert float(denoising_error(model, wrong)) > 0.01
    common = truth.isel(sample=[0] * 3).assign_coords(gate=truth.gate[0])
    assert float(denoising_error(model, common)) == pytest.approx(0, abs=1e-10)
    with pytest.raises(ValueError, match="'gate' is missing"):
        denoising_error(model, truth.drop_vars("gate"))


@oracle
class Steady(Gated):
    """Knows that the control is the same everywhere and always: of the share wished."""

    @staticmethod
    def answer(fields):
        gate, missing = fields["gate"], fields["shareT"] - fields["u0"].mean(axis=1)
        push = missing / gate.mean(axis=1) / 4
        f = jnp.broadcast_to(push[:, None, None], (len(gate), 4, gate.shape[1]))
        return {"f": f, **pass_gate(fields["u0"], f, gate)}


def wishing(state, control, dims):
    task = with_beside(tasks.control)(state, control, dims)
    return task._replace(
        given=(*task.given, Field("shareT", (), Role.FINAL, of="share"))
    )


def test_the_denoising_error_of_a_planner_takes_the_share_at_the_end_of_the_window():
    fields = make_gated_fields(frames=8)
    f = jnp.broadcast_to(fields["f"][:, :1, :1], fields["f"].shape)
    fields |= {"f": f, **pass_gate(fields["u0"], f, fields["gate"])}
    truth = labelled_beside()
    for name in ("u", "share"):
        truth[name][:, 1:] = np.asarray(fields[name])
    truth["f"][:, :-1] = np.asarray(f)
    model = make_operator(Steady, task=wishing)
    assert float(denoising_error(model, truth)) == pytest.approx(0, abs=1e-10)
    truth["share"][:, 4] += 0.5
    assert float(denoising_error(model, truth)) > 0.01
