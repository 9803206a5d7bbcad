"""What a diagnosis says of models whose faults are known."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import (
    BESIDE,
    Gated,
    Uncertain,
    labelled,
    make_fields,
    make_gated_fields,
    make_operator,
    with_beside,
)
from oracles import make_uncertain as uncertain
from tiny import make_tiny

import wdno
from wdno import samplers
from wdno.diffusion.schedules import LadderSchedule
from wdno.operator import tasks
from wdno.systems import Burgers
from wdno.training.diagnosis import as_notes, ensemble_scores
from wdno.training.ensembles import COEFFICIENTS
from wdno.trajectory import to_dataset

diagnose = partial(wdno.diagnose, levels=4, key=jax.random.key(0))


@pytest.fixture(scope="module")
def truth():
    return uncertain(make_operator(Uncertain), 0.1, batch=150)


def energies(model, truth):
    """Mean squares by channel of the posterior mean, and of the truth."""
    expected = make_fields(batch=150, seed=2)["u"]
    return [
        np.square(model.targets.analysis({"u": jnp.asarray(u)})).mean((0, 1, 2))
        for u in (expected, truth.u.values[:, 1:])
    ]


@pytest.mark.slow
def test_members_of_the_posterior_are_spread_as_the_truth_is(truth):
    model = make_operator(Uncertain)
    found = diagnose(model, truth, calls=20, sampler=samplers.heun())
    assert found.attrs["windows"] == 150
    np.testing.assert_allclose(found.spread_skill, 1, atol=0.04)
    assert 0.95 < found.spread_skill_low < found.spread_skill < found.spread_skill_high
    np.testing.assert_allclose(found.spread_skill_by_time, 1, atol=0.1)
    np.testing.assert_allclose(found.spread_skill_by_channel, 1, atol=0.1)
    mean, drawn = energies(model, truth)
    # Runs begin with noise around 0, not around the mean: that leaves 0.1 / sigma_max.
    expected = (0.99**2 * mean + 0.1**2) / drawn
    np.testing.assert_allclose(found.energy_ratio, expected, rtol=0.01)
    np.testing.assert_allclose(found.rank_histogram, 1 / 9, atol=0.02)
    np.testing.assert_allclose(found.rank_histogram.sum("rank"), 1)
    # A member is off as often as the truth is: twice the error of the mean, nearly.
    ratio = found.member_error / found.mean_error
    np.testing.assert_allclose(ratio, 2 / (1 + 1 / 8), rtol=0.03)
    np.testing.assert_allclose(found.spread_skill_by_time.time, [0.25, 0.5, 0.75, 1.0])


def test_one_call_lacks_the_spread_and_its_energy(truth):
    model = make_operator(Uncertain)
    found = diagnose(model, truth, calls=1)
    np.testing.assert_allclose(found.spread_skill, 0.01, rtol=0.1)  # 0.1 / sigma_max
    mean, drawn = energies(model, truth)
    np.testing.assert_allclose(found.energy_ratio, mean / drawn, rtol=1e-3)
    assert (found.rank_histogram.isel(rank=[0, -1]) > 0.4).all()


def test_errors_by_level_stand_beside_the_ensemble(truth):
    found = diagnose(make_operator(Uncertain), truth)
    np.testing.assert_allclose(found.sigma, [0.01, 0.1, 1.0, 10.0])
    assert (np.diff(found.denoising_error.sel(field="u")[:3]) > 0).all()
    assert found.transition_ratio[2] < 1.05 < found.transition_ratio[1]
    assert np.isnan(found.transition_ratio[-1])


@pytest.mark.slow
def test_fields_beside_the_states_are_diagnosed_with_what_never_changes():
    fields = make_gated_fields(frames=8)
    beside = {quantity.name: quantity.dims for quantity in BESIDE.targets}
    coords = {"time": 0.25 * np.arange(9), "x": np.arange(8) / 8}
    data = to_dataset(fields, coords, ("u",), ("f",), auxiliary=beside)
    data = data.assign_coords(gate=(("sample", "x"), np.asarray(fields["gate"])))
    data["u"].attrs["units"] = "m"
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    found = diagnose(model, data)
    assert list(found.field.values) == ["u", "share"]
    assert list(found.units.values) == ["m", "1"]
    np.testing.assert_allclose(found.denoising_error, 0, atol=1e-12)
    np.testing.assert_allclose(found.member_error, 0, atol=1e-12)
    np.testing.assert_allclose(found.energy_ratio, 1, rtol=1e-6)


@pytest.mark.slow
def test_a_refiner_is_diagnosed_on_the_grid_of_the_data():
    exact = diagnose(make_operator(task=tasks.refinement), labelled(make_fields()))
    np.testing.assert_allclose(exact.mean_error, 0, atol=1e-12)
    finer = labelled(make_fields(frames=8, points=16))
    finer = finer.assign_coords(time=finer.time / 2)
    found = diagnose(make_tiny(task=tasks.refinement), finer)
    np.testing.assert_allclose(found.time, [0.125, 0.25, 0.375, 0.5])
    assert found.attrs["windows"] == 6 and np.isfinite(found.energy_ratio).all()


@pytest.mark.parametrize(
    "task", [tasks.control, pytest.param(tasks.reaching, marks=pytest.mark.slow)]
)
def test_planners_are_diagnosed(task):
    found = diagnose(make_tiny(task=task), labelled(make_fields()))
    assert list(found.field.values) == ["u", "f"]
    assert np.isfinite(found.energy_ratio).all() and found.sizes["time"] == 4


@pytest.mark.slow
def test_a_ladder_of_one_rung_is_diagnosed_on_that():
    one = dataclasses.replace(make_operator(), schedule=LadderSchedule((10.0,)))
    truth, key = labelled(make_fields()), jax.random.key(0)
    found = wdno.diagnose(one, truth, calls=1, key=key)
    assert found.sigma.values == [10.0] and np.isnan(found.transition_ratio).all()
    assert wdno.stable_schedule(one, truth, key=key) == one.schedule


@pytest.mark.slow
@pytest.mark.parametrize("name", ["burgers-simulation"])
def test_shipped_models_of_residuals_gain_by_every_call(name):
    """Less noise is more information, and one sample is never far above the mean."""
    held_out = Burgers().trajectories(jax.random.key(70_000), samples=4)
    found = diagnose(wdno.load(name), held_out, calls=8, members=4)
    assert (np.diff(found.denoising_error, axis=0) > 0).all()
    start = held_out.u.isel(time=0)
    mean, several = (
        wdno.simulate(
            wdno.load(name), start, held_out.f, steps=steps, key=jax.random.key(0)
        )
        for steps in (0, 8)
    )
    errors = [float(np.square(flow.u - held_out.u).mean()) for flow in (mean, several)]
    assert errors[1] < 1.3 * errors[0]


def test_an_interval_is_one_over_trajectories_not_over_their_windows():
    draw = np.random.default_rng(0)
    dims = ("sample", "member", "time", "x")
    cast = xr.DataArray(draw.normal(size=(6, 4, 1, 5)), dims=dims)
    cast = cast.assign_coords(time=[0.0])
    right = cast.isel(member=0, drop=True).copy(data=draw.normal(size=(6, 1, 5)))
    scores = []
    for windows in (1, 3):  # each record so many times
        rows = {"sample": np.repeat(np.arange(6), windows)}
        parts = [
            {"u": u, COEFFICIENTS: u.expand_dims(channel=["u:a"], axis=-1)}
            for u in (cast.isel(rows), right.isel(rows))
        ]
        scores.append(ensemble_scores(*parts, records=6))
    for name in ("spread_skill_low", "spread_skill", "spread_skill_high"):
        np.testing.assert_allclose(scores[0][name], scores[1][name])
    assert scores[0].spread_skill_low < 0.9 * scores[0].spread_skill_high


def test_notes_are_json():
    found = diagnose(make_tiny(), labelled(make_fields()))
    notes = as_notes(found)
    assert notes["transition_ratio"][-1] is None
    assert json.loads(json.dumps(notes, allow_nan=False)) == notes
    assert notes["fair_crps"] == [float(f"{float(found.fair_crps[0]):.4g}")]


def test_wrong_input_is_told():
    model, truth = make_operator(), labelled(make_fields())
    for wrong in ({"members": 1}, {"levels": 1}):
        with pytest.raises(ValueError, match="two members or more, and as many noise"):
            wdno.diagnose(model, truth, key=jax.random.key(0), **wrong)
    with pytest.raises(ValueError, match="'f'.* are missing"):
        diagnose(model, truth.drop_vars("f"))
    with pytest.raises(ValueError, match="must be given at x"):
        diagnose(model, truth.assign_coords(x=2 * truth.x))
    with pytest.raises(ValueError, match="Without a denoiser call"):
        diagnose(make_tiny(), truth, calls=0)
