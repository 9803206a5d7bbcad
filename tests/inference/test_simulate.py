"""Labelled simulation, with a denoiser that knows the exact answer."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import (
    BESIDE,
    NAMES,
    Decaying,
    Gated,
    Uncertain,
    make_fields,
    make_gated_fields,
    make_operator,
    make_uncontrolled,
    with_beside,
)
from tiny import make_tiny

from wdno import rollout, simulate
from wdno.diffusion.samplers import ddim
from wdno.operator import tasks
from wdno.trajectory import to_dataset

KEY = jax.random.key(0)
ATTRIBUTES = {
    "time": {"units": "s"},
    "x": {"long_name": "distance", "units": "m"},
    "u": {"long_name": "velocity", "units": "m s-1"},
    "f": {"units": "m s-2"},
}


def make_truth(batch=3, frames=8, start=0.0, seed=0):
    """Labelled solutions of the system that the oracle knows."""
    coords = {
        "time": start + 0.25 * np.arange(frames + 1),
        "x": np.arange(8) / 8,
    }
    fields = make_fields(batch, frames, seed=seed)
    return to_dataset(fields, coords, *NAMES, ATTRIBUTES)


def initial(dataset):
    return dataset.u.isel(time=0)


def test_simulation_gives_labelled_trajectories():
    truth = make_truth()
    forecast = simulate(make_operator(), initial(truth), truth.f, key=KEY)
    xr.testing.assert_allclose(forecast, truth, atol=1e-10)
    assert forecast.u.dims == ("sample", "time", "x")
    for name in ("u", "f", "time", "x"):
        assert forecast[name].attrs == truth[name].attrs


def test_inputs_come_as_datasets_or_arrays_in_any_order_of_dimensions():
    truth = make_truth()
    expected = simulate(make_operator(), initial(truth), truth.f, key=KEY)
    found = simulate(
        make_operator(),
        truth[["u"]].isel(time=0).transpose("x", "sample"),
        truth[["f"]].transpose("x", "time", "sample"),
        key=KEY,
    )
    xr.testing.assert_identical(found, expected)


def test_one_control_serves_all_samples():
    truth = make_truth()
    found = simulate(
        make_operator(), initial(truth), truth.f.isel(sample=1, drop=True), key=KEY
    )
    assert found.sizes == truth.sizes
    np.testing.assert_allclose(found.u[1], truth.u[1], atol=1e-10)
    np.testing.assert_array_equal(found.f[0], truth.f[1])


def test_a_control_needs_no_closing_row():
    truth = make_truth()
    control = truth.f.isel(time=slice(-1))
    found = simulate(make_operator(), initial(truth), control, frames=8, key=KEY)
    xr.testing.assert_allclose(found, truth, atol=1e-10)


def test_a_record_can_be_shorter_than_its_control():
    truth = make_truth()
    found = simulate(make_operator(), initial(truth), truth.f, frames=5, key=KEY)
    expected = truth.u.isel(time=slice(6))
    xr.testing.assert_allclose(found.u, expected, atol=1e-10)


@pytest.mark.parametrize(("learned", "given"), [(0.0, 3.0), (5.0, 5.0), (5.0, 0.0)])
def test_time_begins_where_the_control_begins(learned, given):
    truth = make_truth(start=given)
    model = make_operator(start=(learned, 0.0))
    found = simulate(model, initial(truth), truth.f, key=KEY)
    xr.testing.assert_allclose(found, truth, atol=1e-10)


def test_without_a_time_coordinate_time_begins_where_the_model_was_trained():
    truth = make_truth(start=5.0)
    model, control = make_operator(start=(5.0, 0.0)), truth.f.drop_vars("time")
    found = simulate(model, initial(truth).drop_vars("time"), control, key=KEY)
    np.testing.assert_array_equal(found.time, truth.time)


def test_single_precision_stays_single_precision():
    truth = make_truth().astype(np.float32)
    found = simulate(make_operator(), initial(truth), truth.f, key=KEY)
    assert found.u.dtype == found.f.dtype == np.float32
    xr.testing.assert_allclose(found, truth, atol=1e-5)


def test_members_differ_and_follow_the_key():
    truth, model = make_truth(), make_operator(Uncertain)

    def draw(key):
        inputs = initial(truth), truth.f
        how = {"members": 16, "sampler": ddim(1.0), "steps": 4}
        return simulate(model, *inputs, **how, key=key)

    ensemble = draw(KEY)
    assert ensemble.u.dims == ensemble.f.dims == ("sample", "member", "time", "x")
    xr.testing.assert_identical(draw(KEY), ensemble)
    assert not ensemble.u.equals(draw(jax.random.key(1)).u)
    assert (ensemble.u.isel(time=0) == initial(truth)).all()
    assert (ensemble.u.isel(time=slice(1, None)).std("member") > 0.01).all()
    assert abs(ensemble.u.mean("member") - truth.u).max() < 0.5
    np.testing.assert_array_equal(ensemble.f[:, 3], truth.f)


NOISY = {"sampler": ddim(1.0), "steps": 2, "key": KEY}


def test_an_ensemble_grows_without_changing_its_members():
    """Nor does another sample change those of the first ones."""
    truth, model = make_truth(), make_operator(Uncertain)
    few, many = (
        simulate(model, initial(truth), truth.f, members=members, **NOISY)
        for members in (4, 6)
    )
    xr.testing.assert_allclose(many.isel(member=slice(4)), few, rtol=1e-12)
    first = truth.isel(sample=slice(2))
    fewer = simulate(model, initial(first), first.f, members=4, **NOISY)
    xr.testing.assert_allclose(fewer, few.isel(sample=slice(2)), rtol=1e-12)
    draws = few.u.isel(time=1).values.reshape(12, -1)
    assert len(np.unique(draws, axis=0)) == 12


def test_the_draws_of_a_trajectory_follow_the_key_and_its_number():
    """``fold_in(key, n)``, and for its member m ``fold_in(fold_in(key, n), m)``."""
    truth, model = make_truth(), make_operator(Uncertain)
    fields = {"u0": initial(truth).values, "f": truth.f.values[:, :-1]}
    forecast = simulate(model, initial(truth), truth.f, **NOISY)
    ensemble = simulate(model, initial(truth), truth.f, members=2, **NOISY)
    how = {name: value for name, value in NOISY.items() if name != "key"}
    for n in range(3):
        own = jax.random.fold_in(KEY, n)
        keys = jnp.stack([own, *(jax.random.fold_in(own, m) for m in range(2))])
        u0, f = (jnp.stack([values[n]] * 3) for values in fields.values())
        alone = rollout(model, {"u0": u0}, {"f": f}, key=keys, **how)["u"]
        np.testing.assert_allclose(forecast.u[n, 1:], alone[0], rtol=1e-12)
        np.testing.assert_allclose(ensemble.u[n, :, 1:], alone[1:], rtol=1e-12)


def test_equal_calls_compile_once(compilations):
    """Also with another model of the same structure, other data and another key."""
    truth, other = make_truth(batch=5), make_truth(batch=5, seed=1)
    model, trained, key = make_tiny(), make_tiny(seed=1), jax.random.key(1)

    def run(model, dataset, key, **how):
        simulate(model, initial(dataset), dataset.f, batch_size=2, key=key, **how)

    for how in ({}, {"members": 2}):
        assert compilations(lambda: run(model, truth, KEY, **how)) > 0  # noqa: B023
        assert compilations(lambda: run(trained, other, key, **how)) == 0  # noqa: B023


@pytest.mark.slow
def test_threads_may_share_a_model():
    truth, model = make_truth(batch=2), make_tiny()

    def run(_):
        return simulate(model, initial(truth), truth.f, steps=2, key=KEY).u.values

    expected = run(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, range(60)):
            np.testing.assert_array_equal(found, expected)


def test_a_forecast_is_a_constant_within_a_transform():
    """Labelled data are not traced, whoever calls."""
    truth, model = make_truth(batch=1), make_tiny()

    def scaled(x):
        return x * simulate(model, initial(truth), truth.f, key=KEY).u.values.mean()

    expected = scaled(2.0)
    np.testing.assert_allclose(jax.jit(scaled)(2.0), expected)
    np.testing.assert_allclose(jax.grad(scaled)(2.0), expected / 2)


# What comes beside states and controls ------------------------------------------------


def make_gated_truth(batch=3, frames=8):
    """Labelled solutions behind a gate of each sample's own, which is a coordinate."""
    coords = {"time": 0.25 * np.arange(frames + 1), "x": np.arange(8) / 8}
    fields = make_gated_fields(batch=batch, frames=frames)
    beside = {quantity.name: quantity.dims for quantity in BESIDE.targets}
    truth = to_dataset(fields, coords, *NAMES, ATTRIBUTES, auxiliary=beside)
    gate = (("sample", "x"), np.asarray(fields["gate"]), {"long_name": "openness"})
    return truth.assign_coords(gate=gate)


def make_gated_operator(denoiser=Gated):
    return make_operator(denoiser, task=with_beside(tasks.simulation))


def test_simulation_keeps_what_never_changes_and_gives_what_comes_beside():
    truth = make_gated_truth()
    start = initial(truth).drop_vars("time")
    forecast = simulate(make_gated_operator(), start, truth.f, key=KEY)
    xr.testing.assert_allclose(forecast, truth, atol=1e-10)
    assert set(forecast.coords) == {"time", "x", "gate"}
    assert forecast.gate.attrs == {"long_name": "openness"}
    assert forecast.share.attrs == {"cell_methods": "time: point"}
    assert forecast.share[:, 0].isnull().all()
    assert forecast.share[:, 1:].notnull().all()


def test_initial_states_of_a_record_keep_their_time():
    """As of `truth.u.isel(time=0)`, beside what never changes."""
    truth = make_gated_truth()
    forecast = simulate(make_gated_operator(), initial(truth), truth.f, key=KEY)
    xr.testing.assert_allclose(forecast, truth, atol=1e-10)


def test_what_never_changes_is_a_coordinate_or_a_variable():
    truth = make_gated_truth()
    start = truth[["u"]].isel(time=0, drop=True)
    of_coordinate, of_variable = (
        simulate(make_gated_operator(), given, truth.f, key=KEY)
        for given in (start, start.reset_coords("gate"))
    )
    xr.testing.assert_identical(of_variable, of_coordinate)


def test_one_gate_serves_all_samples():
    truth = make_gated_truth()
    start = initial(truth).drop_vars(["time", "gate"])
    gate = truth.gate.isel(sample=1, drop=True)
    found = simulate(
        make_gated_operator(), start.assign_coords(gate=gate), truth.f, key=KEY
    )
    assert found.gate.dims == ("x",)
    np.testing.assert_allclose(found.u[1], truth.u[1], atol=1e-10)
    assert abs(found.u[0] - truth.u[0]).max() > 0.1


def test_members_share_what_never_changes():
    truth = make_gated_truth()
    start = initial(truth).drop_vars("time")
    found = simulate(make_gated_operator(), start, truth.f, members=2, key=KEY)
    assert found.share.dims == ("sample", "member", "time")
    assert found.gate.dims == ("sample", "x")
    for member in range(2):
        one = found.isel(member=member)
        xr.testing.assert_allclose(one, truth, atol=1e-10)


def test_every_row_of_a_batch_keeps_its_gate():
    truth = make_gated_truth()
    start = initial(truth).drop_vars("time")
    found = simulate(make_gated_operator(), start, truth.f, batch_size=2, key=KEY)
    xr.testing.assert_allclose(found, truth, atol=1e-10)


BAD_GATES = {
    "missing": (
        lambda start: start.drop_vars("gate"),
        r"'gate' is missing from \['x'\].*assign_coords\(gate=",
    ),
    "not finite": (
        lambda start: start.assign_coords(gate=start.gate.where(start.x < 0.5)),
        "gate has NaN or Inf in sample 0",
    ),
    "over time": (
        lambda start: start.reset_coords("gate").assign(
            gate=start.gate.expand_dims(time=9)
        ),
        "'gate' has axes",
    ),
    "a number": (lambda start: start.assign_coords(gate=1.0), r"dimensions \['x'\]"),
}


@pytest.mark.parametrize(("change", "message"), BAD_GATES.values(), ids=BAD_GATES)
def test_bad_static_fields_are_refused(change, message):
    truth = make_gated_truth()
    start = change(initial(truth).drop_vars("time"))
    with pytest.raises(ValueError, match=message):
        simulate(make_gated_operator(), start, truth.f, key=KEY)


# Bad inputs ---------------------------------------------------------------------------


BAD = {
    "missing": (
        lambda truth: (initial(truth), truth[["u"]]),
        r"must hold \['f'\].*missing from \['u'\]",
    ),
    "not finite": (
        lambda truth: (initial(truth), truth.f.where(truth.f.sample != 1)),
        "f has NaN or Inf in sample 1",
    ),
    "shifted": (
        lambda truth: (initial(truth.assign_coords(x=truth.x + 0.05)), truth.f),
        "must be given at x = 0 … 0.875",
    ),
    "longer domain": (
        lambda truth: (initial(truth), truth.f.assign_coords(x=2 * truth.x)),
        r"came at 0 … 1.75 \(8 points\)",
    ),
    "finer": (
        lambda truth: (initial(truth).interp(x=np.arange(15) / 16), truth.f),
        r"\(8 points\), but came at 0 … 0.875 \(15 points\)",
    ),
    "other time step": (
        lambda truth: (initial(truth), truth.f.assign_coords(time=truth.time / 2)),
        "must be given at time",
    ),
    "no time": (
        lambda truth: (initial(truth), truth.f.isel(time=0)),
        "Name its time axis 'time'",
    ),
    "initial record": (
        lambda truth: (truth.u, truth.f),
        "no dimension 'time', but u has 9 instants",
    ),
    "other samples": (
        lambda truth: (initial(truth).isel(sample=[0, 1]), truth.f),
        "must agree on",
    ),
}


@pytest.mark.parametrize(("inputs", "message"), BAD.values(), ids=BAD)
def test_bad_inputs_are_refused(inputs, message):
    truth = make_truth().assign_coords(sample=np.arange(3))
    with pytest.raises(ValueError, match=message):
        simulate(make_operator(), *inputs(truth), key=KEY)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"frames": 0}, "at least one frame.*but 0 were asked"),
        ({"frames": 10}, "9 here, but 10 were asked"),
        ({"members": 0}, "members=0"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_impossible_numbers_are_refused(how, message):
    truth = make_truth()
    with pytest.raises(ValueError, match=message):
        simulate(make_operator(), initial(truth), truth.f, **how, key=KEY)


# models without controls


def decayed(frames, batch=3):
    """Labelled states that shrink by a rate of each sample's own."""
    draw = np.random.default_rng(3)
    u0, rate = draw.normal(size=(batch, 8)), draw.uniform(0.5, 1, batch)
    fields = {"u0": u0, "u": Decaying.states(u0, rate, frames)}
    coords = {"time": 0.25 * np.arange(frames + 1), "x": np.arange(8) / 8}
    dataset = to_dataset(fields, coords, ("u",), (), ATTRIBUTES)
    return dataset.assign_coords(rate=("sample", rate))


@pytest.mark.parametrize("frames", [3, 4, 10])
def test_a_system_without_controls_is_simulated_for_any_time(frames):
    truth = decayed(frames)
    found = simulate(make_uncontrolled(), initial(truth), frames=frames, key=KEY)
    xr.testing.assert_allclose(found, truth, atol=1e-10)
    assert found.rate.dims == ("sample",)


def test_without_controls_and_length_a_record_is_one_window():
    truth = decayed(4)
    found = simulate(make_uncontrolled(), initial(truth), key=KEY, members=2)
    assert found.u.dims == ("sample", "member", "time", "x")
    np.testing.assert_allclose(found.u.isel(member=1), truth.u, atol=1e-10)


def test_a_record_without_controls_has_a_frame():
    with pytest.raises(ValueError, match="at least one frame.*but 0"):
        simulate(make_uncontrolled(), initial(decayed(4)), frames=0, key=KEY)


def test_a_missing_control_or_number_is_named():
    truth = decayed(4)
    with pytest.raises(ValueError, match=r"driven by \['f'\], but no control is given"):
        simulate(make_operator(), initial(truth), key=KEY)
    bare = initial(truth).drop_vars("rate")
    with pytest.raises(ValueError, match="'rate' is missing"):
        simulate(make_uncontrolled(), bare, key=KEY)


def test_windows_are_not_chained_by_a_model_that_looks_further_back():
    """What lay before the first window does not lie before the second."""
    model = make_uncontrolled(past=("u_1h_before",))
    assert model.past == ("u_1h_before",)
    earlier = np.zeros((3, 8))
    start = initial(decayed(8)).assign_coords(u_1h_before=(("sample", "x"), earlier))
    assert simulate(model, start, frames=4, key=KEY).sizes["time"] == 5
    with pytest.raises(ValueError, match="chained by their last state.*Ask for 4"):
        simulate(model, start, frames=5, key=KEY)
