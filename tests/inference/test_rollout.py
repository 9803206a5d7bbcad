"""Rollouts: windows chained over a record, with a denoiser that knows the answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Decaying,
    Gated,
    make_fields,
    make_gated_fields,
    make_operator,
    make_uncontrolled,
    with_beside,
)
from tiny import make_tiny

from wdno import rollout
from wdno.diffusion.keys import row_keys
from wdno.diffusion.samplers import ddim
from wdno.inference.rollout import window_step
from wdno.operator import tasks

KEY = jax.random.key(0)


@pytest.mark.parametrize("frames", [1, 4, 8, 10])
def test_chained_windows_equal_the_direct_answer(frames):
    fields = make_fields(frames=frames)
    inputs = {"u0": fields["u0"]}, {"f": fields["f"]}
    found = rollout(make_operator(), *inputs, key=KEY)
    assert found.keys() == {"u"}
    np.testing.assert_allclose(found["u"], fields["u"], atol=1e-10)


@pytest.mark.parametrize("frames", [4, 8, 10])
def test_chained_windows_have_the_same_gate(frames):
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    fields = make_gated_fields(frames=frames)
    inputs = {"u0": fields["u0"], "gate": fields["gate"]}, {"f": fields["f"]}
    found = rollout(model, *inputs, key=KEY)
    assert found.keys() == {"u", "share"}
    for name, values in found.items():
        np.testing.assert_allclose(values, fields[name], atol=1e-10)


@pytest.mark.parametrize("windows", [1, 3])
def test_windows_of_a_rollout_can_be_counted(windows):
    known = {"u0": make_fields()["u0"], "rate": jnp.array([0.5, 0.7, 0.9])}
    found = rollout(make_uncontrolled(), known, windows=windows, key=KEY)["u"]
    expected = Decaying.states(known["u0"], known["rate"], 4 * windows)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_what_is_given_over_time_is_held_or_cut_to_the_windows(windows):
    fields = make_fields(frames=8)
    inputs = {"u0": fields["u0"]}, {"f": fields["f"]}
    found = rollout(make_operator(), *inputs, windows=windows, key=KEY)["u"]
    held = jnp.concatenate([fields["f"], *[fields["f"][:, -1:]] * 4], axis=1)
    expected = fields["u0"][:, None] + held[:, : 4 * windows].cumsum(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_rollout_names_the_field_that_is_missing():
    control = {"f": jnp.zeros((2, 4, 8))}
    with pytest.raises(ValueError, match=r"\['u0'\] are missing from \[\]"):
        rollout(make_operator(), {}, control, key=KEY)


@pytest.mark.parametrize(
    ("how", "message"),
    [({"windows": 0}, "windows is 0"), ({"windows": -1}, "windows is -1")],
)
def test_a_rollout_has_a_window(how, message):
    known = {"u0": jnp.zeros((1, 8)), "rate": jnp.ones(1)}
    with pytest.raises(ValueError, match=message):
        rollout(make_uncontrolled(), known, **how, key=KEY)


@pytest.mark.parametrize("frames", [8, 10])
def test_window_steps_chained_by_hand_are_a_rollout(frames):
    """Also of a stochastic sampler: window n of a record draws by its number."""
    model, fields = make_tiny(), make_fields(frames=frames)
    how = {"sampler": ddim(1.0), "sigmas": model.schedule(2), "keys": row_keys(KEY, 3)}
    expected = rollout(
        model,
        {"u0": fields["u0"]},
        {"f": fields["f"]},
        sampler=ddim(1.0),
        steps=2,
        key=KEY,
    )["u"]
    step = jax.jit(window_step, static_argnames="sampler")
    f = jnp.pad(fields["f"], ((0, 0), (0, -frames % 4), (0, 0)), mode="edge")
    following, record = {"u0": fields["u0"]}, []
    for number in range(-(-frames // 4)):
        known = {**following, "f": f[:, 4 * number : 4 * number + 4]}
        following, window = step(model, known, jnp.asarray(number), **how)
        record.append(window["u"])
    found = jnp.concatenate(record, axis=1)[:, :frames]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_windows_of_a_record_draw_anew():
    """Or errors of the same sign would pile up."""
    model, rest = make_tiny(), jnp.zeros((3, 8, 8))
    how = {"sampler": ddim(1.0), "sigmas": model.schedule(2), "keys": row_keys(KEY, 3)}
    step = jax.jit(window_step, static_argnames="sampler")
    known = {"u0": rest[:, 0], "f": rest[:, :4]}
    first, second = (step(model, known, jnp.asarray(n), **how)[1]["u"] for n in (0, 1))
    assert float(abs(first - second).min()) > 0


def test_models_of_equal_structure_are_compiled_once(compilations):
    fields = make_fields(batch=11, frames=8)  # a shape that no other test has compiled

    def run(model, key):
        rollout(model, {"u0": fields["u0"]}, {"f": fields["f"]}, steps=2, key=key)

    model, other, key = make_tiny(), make_tiny(seed=1), jax.random.key(1)
    assert compilations(lambda: run(model, KEY)) > 0
    assert compilations(lambda: run(model, key)) == 0
    assert compilations(lambda: run(other, KEY)) == 0
