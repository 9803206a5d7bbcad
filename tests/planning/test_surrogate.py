"""A model in the place of a solver: the same answers, and the same descent."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Estimated, add_up, make_fields, make_operator

from wdno.planning.adjoint import System, descend
from wdno.planning.objectives import energy, terminal
from wdno.planning.surrogate import FrameByFrame, Surrogate


def make_surrogate(frames=8):
    """An oracle of `add_up` with windows of four frames."""
    return Surrogate(make_operator(), frames, steps=1)


def wish(fields):
    return terminal(fields["u"], fields["uT"]) + 0.1 * energy(fields["f"])


def exact(inputs):
    return {"u": add_up(inputs["u0"], inputs["f"])}


def test_it_solves_as_its_model_simulates():
    fields = make_fields(frames=8)
    surrogate = make_surrogate()
    assert isinstance(surrogate, System)
    np.testing.assert_allclose(surrogate.solve(fields)["u"], fields["u"], atol=1e-6)
    time = surrogate.coords["time"]
    np.testing.assert_allclose(time, 0.25 * np.arange(9))
    assert len(surrogate.over(4).coords["time"]) == 5


@pytest.mark.slow
def test_descent_through_it_is_that_through_the_solver():
    fields = make_fields(frames=8)
    known = {"u0": fields["u0"], "uT": jnp.zeros_like(fields["u0"])}
    start = {"f": fields["f"]}
    solvers = make_surrogate().solve, exact
    found, expected = (descend(s, known, start, wish, steps=4) for s in solvers)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)
    assert (found.values[-1] < 0.5 * found.values[0]).all()


def test_gradients_reach_initial_states():
    fields = make_fields(frames=4)

    def end(initial):
        solved = make_surrogate(4).solve({"u0": initial, "f": fields["f"]})
        return solved["u"][:, -1].sum()

    np.testing.assert_allclose(jax.grad(end)(fields["u0"]), 1, atol=1e-6)


def test_no_record_is_refused():
    with pytest.raises(ValueError, match="at least one frame, but got 0"):
        make_surrogate(0)
    with pytest.raises(ValueError, match="whole fields and got steps=0"):
        Surrogate(replace(make_operator(), residual=None), 4)
    with pytest.raises(ValueError, match="needs the fields .* at the beginning"):
        make_surrogate().solve({"f": make_fields()["f"]})


def test_frame_by_frame_it_works_on_what_is_left_alone():
    model = replace(make_operator(), residual=Estimated())
    whole, fields = FrameByFrame(model, 8), make_fields(frames=8)
    for frames, window in {8: 4, 3: 4, 2: 2}.items():
        part = whole.over(frames)
        assert (part.model.window, len(part.coords["time"])) == (window, frames + 1)
        found = part.solve({**fields, "f": fields["f"][:, :frames]})["u"]
        np.testing.assert_allclose(found, fields["u"][:, :frames], atol=1e-5)
    with pytest.raises(ValueError, match="belongs to the whole window, but got steps"):
        FrameByFrame(model, 8, steps=1)
    with pytest.raises(ValueError, match="at least one frame, but got 0"):
        whole.over(0)


@pytest.mark.slow
def test_smoke_that_ships_is_found_frame_by_frame():
    import wdno
    from wdno.systems import Smoke

    system = Smoke()
    inputs = system.sample_inputs(jax.random.key(0), 1)
    known = {
        "density0": inputs["density0"],
        "obstacle": system.static["obstacle"][None],
    }
    known |= {name: inputs[name][:, :4] for name in ("cx", "cy")}
    model = wdno.load("smoke-simulation")
    whole, part = (kind(model, 32).over(4) for kind in (Surrogate, FrameByFrame))
    expected, found = whole.solve(known), part.solve(known)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)
