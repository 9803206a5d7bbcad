"""Descent through a solver against exact optima, differences and honest counts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_control import Heat, cost
from scipy.optimize import lsq_linear

from wdno.planning.adjoint import System, check_solver, descend, steepest_step
from wdno.planning.constraints import bounds, region, smooth
from wdno.planning.objectives import energy, terminal
from wdno.systems import Burgers

HEAT = Heat()
WEIGHT = 0.01
J = cost(WEIGHT)


def problem(rows=3, seed=0, system=HEAT):
    """Known fields and a start that is not zero."""
    draw = np.random.default_rng(seed).normal
    known = {name: draw(size=(rows, 8)) for name in ("u0", "uT")}
    return jax.device_put((known, {"f": draw(size=(rows, system.frames, 8))}))


solution = jax.jit(HEAT.solve)


@jax.jit
def values_of(known, f):
    return J({**known, "f": f, **HEAT.solve({**known, "f": f})})


# --------------------------------------------------------------------- exact optima


def test_lbfgs_finds_the_minimum_of_a_linear_quadratic_problem():
    known, start = problem()
    found = descend(HEAT.solve, known, start, J, steps=25)
    exact = HEAT.optimum(known["u0"], known["uT"], WEIGHT)
    np.testing.assert_allclose(found.controls["f"], exact, atol=1e-5)
    np.testing.assert_allclose(found.values[-1], values_of(known, exact), rtol=1e-9)
    np.testing.assert_allclose(found.values[0], values_of(known, start["f"]))
    np.testing.assert_array_equal(
        found.states["u"], solution({**known, **found.controls})["u"]
    )


def test_nothing_changes_at_the_minimum():
    known, _ = problem()
    exact = {"f": jnp.asarray(HEAT.optimum(known["u0"], known["uT"], WEIGHT))}
    found = descend(HEAT.solve, known, exact, J, steps=3)
    np.testing.assert_allclose(found.controls["f"], exact["f"], atol=1e-12)
    assert np.isfinite(found.values).all()


def test_a_steepest_step_goes_as_far_as_it_may_down_the_gradient():
    """And no further where a projection says so; states belong to what it finds."""
    known, start = problem()
    half = region("f", np.arange(8) < 4)
    for constraint, moves in ((None, 8), (half, 4)):
        f = start["f"] if constraint is None else constraint(start)["f"]
        found = steepest_step(
            HEAT.solve, known, {"f": f}, J, size=0.01, constraint=constraint
        )
        step = np.asarray(found["f"]) - np.asarray(f)
        np.testing.assert_allclose(np.abs(step[..., :moves]), 0.01, rtol=1e-9)
        assert (step[..., moves:] == 0).all()
        assert (values_of(known, found["f"]) < values_of(known, f)).all()
        np.testing.assert_array_equal(
            found["u"], solution({**known, "f": found["f"]})["u"]
        )


def test_nothing_changes_where_the_gradient_is_zero():
    """No force and nowhere to go: the gradient is exactly zero."""
    known, still = jax.device_put(jax.tree.map(np.zeros_like, problem()))
    for constraint in (None, bounds("f", -0.4, 0.4)):
        found = descend(HEAT.solve, known, still, J, steps=2, constraint=constraint)
        np.testing.assert_array_equal(found.controls["f"], 0)
        np.testing.assert_array_equal(found.values, 0)


def test_bounds_that_bind_end_in_the_constrained_minimum():
    """Steps of the free problem, cut off afterwards, would end elsewhere."""
    known, start = problem()
    box = bounds("f", -0.4, 0.4)
    found = descend(HEAT.solve, known, start, J, steps=60, constraint=box)
    assert abs(found.controls["f"]).max() <= 0.4
    free = HEAT.optimum(known["u0"], known["uT"], WEIGHT)
    for row in range(3):
        u0, goal = known["u0"][row], known["uT"][row]
        matrix, wanted = HEAT.least_squares(u0, goal, WEIGHT)
        exact = lsq_linear(matrix, wanted, (-0.4, 0.4), tol=1e-14)
        assert (abs(exact.x) > 0.399).sum() > 3  # the bounds do bind
        np.testing.assert_allclose(found.values[-1, row], 2 * exact.cost, rtol=1e-4)
    cut = values_of(known, np.clip(free, -0.4, 0.4))
    assert (found.values[-1] < cut - 1e-4).any()


def test_a_region_ends_in_the_minimum_over_the_region():
    known, start = problem()
    mask = np.arange(8) < 3
    found = descend(HEAT.solve, known, start, J, steps=40, constraint=region("f", mask))
    np.testing.assert_array_equal(found.controls["f"][..., ~mask], 0)
    for row in range(3):
        u0, goal = known["u0"][row], known["uT"][row]
        matrix, wanted = HEAT.least_squares(u0, goal, WEIGHT)
        columns = matrix[:, np.tile(mask, HEAT.frames)]
        exact, *_ = np.linalg.lstsq(columns, wanted)
        f = np.asarray(found.controls["f"])[row][:, mask].ravel()
        np.testing.assert_allclose(f, exact, atol=1e-4)


# ------------------------------------------------------------- gradients and counts


def test_the_step_is_along_the_gradient_of_the_burgers_solver():
    system = Burgers(points=8, frames=2, duration=0.05, refinement=1)
    draw = np.random.default_rng(0).normal
    u0, f, toward = (
        draw(scale=0.2, size=(2, *shape)) for shape in ((8,), (2, 8), (2, 8))
    )
    known, start = jax.device_put(({"u0": u0}, {"f": f}))
    wish = lambda s: terminal(s["u"], jnp.zeros(8)) + 1e-3 * energy(s["f"])  # noqa: E731
    rate = 1e-3
    found = descend(
        system.solve, known, start, wish, steps=1, optimizer=optax.sgd(rate)
    )
    gradient = (f - np.asarray(found.controls["f"])) / rate
    value = lambda f: wish({"f": f, **system.solve({**known, "f": f})})  # noqa: E731
    h = 1e-4
    slope = np.subtract(*map(jax.jit(value), (f + h * toward, f - h * toward)))
    expected = (gradient * toward).sum(axis=(1, 2))
    np.testing.assert_allclose(slope / (2 * h), expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("constraint", [None, bounds("f", -9.0, 9.0)])
def test_single_precision_stays_single_where_double_is_possible(constraint):
    """The line search has step sizes of double precision, the solver takes one kind."""
    system = Burgers(points=16, frames=3, duration=0.3)
    single = jax.tree.map(
        lambda field: field.astype(jnp.float32),
        system.sample_inputs(jax.random.key(0), 2),
    )
    known, start = {"u0": single["u0"], "uT": 0 * single["u0"]}, {"f": single["f"]}
    found = descend(
        system.solve,
        known,
        start,
        lambda s: terminal(s["u"], s["uT"]),
        steps=2,
        constraint=constraint,
    )
    assert found.controls["f"].dtype == found.states["u"].dtype == jnp.float32
    assert (found.values[-1] < 0.5 * found.values[0]).all()


def test_other_optimisers_go_through_the_same_function():
    known, start = problem()
    found = descend(HEAT.solve, known, start, J, steps=20, optimizer=optax.adam(0.1))
    assert (found.values[-1] < found.values[0]).all()
    np.testing.assert_array_equal(
        found.gradients, np.arange(1, 22)[:, None] + [[0] * 3]
    )


SLOW = smooth("f", 2, 3)


@pytest.mark.parametrize(
    "constraint",
    [None, pytest.param(bounds("f", -0.4, 0.4), marks=pytest.mark.slow), SLOW],
)
def test_solver_gradients_are_counted_as_they_happen(constraint):
    """Each call of the compiled solver calls back; two are not part of the descent."""
    calls = []

    def watched(inputs):
        jax.debug.callback(lambda: calls.append(None))
        return HEAT.solve(inputs)

    known, start = problem(rows=2)
    found = descend(watched, known, start, J, steps=4, constraint=constraint)
    jax.effects_barrier()
    assert len(calls) == found.gradients[-1].sum() + 2  # check_solver, final states
    assert (np.diff(found.gradients, axis=0) >= 1).all()
    assert found.gradients[0].tolist() == [1, 1]


def test_a_linear_constraint_ends_in_its_minimum_and_costs_no_more_gradients():
    """Taken for one of which that is not known, it costs one more each step."""
    known, start = problem()
    descent = partial(descend, HEAT.solve, known, start, J, steps=20)
    found = descent(constraint=SLOW)
    each = jax.device_put(np.eye(32).reshape(32, 4, 8))
    one = np.asarray(SLOW({"f": each})["f"]).reshape(32, 32)
    for row in range(3):
        matrix, wanted = HEAT.least_squares(known["u0"][row], known["uT"][row], WEIGHT)
        exact, *_ = np.linalg.lstsq(matrix @ one, wanted)
        f = np.asarray(found.controls["f"])[row].ravel()
        np.testing.assert_allclose(f, one @ exact, atol=1e-5)
    other = descent(constraint=lambda fields: SLOW(fields))
    np.testing.assert_allclose(other.controls["f"], found.controls["f"], atol=1e-4)
    # until round-off decides where a line search ends
    more = other.gradients[:11] - found.gradients[:11]
    np.testing.assert_array_equal(more, np.arange(11)[:, None] + [[0] * 3])


def test_time_is_recorded_after_every_step():
    found = descend(HEAT.solve, *problem(), J, steps=3)
    assert found.seconds.shape == (4,) and (np.diff(found.seconds) > 0).all()
    assert found.values.shape == found.gradients.shape == (4, 3)


# ------------------------------------------------------------------------------ rows


@pytest.mark.parametrize("batch_size", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_rows_do_not_influence_each_other(batch_size):
    known, start = problem()
    scale = np.array([1.0, 100.0, 0.0])[:, None, None]
    start = jax.device_put({"f": scale * np.asarray(start["f"])})
    how = {"steps": 5, "batch_size": batch_size}
    together = descend(HEAT.solve, known, start, J, **how)
    for row in range(3):
        one = jax.tree.map(lambda f: np.asarray(f)[[row]], (known, start))  # noqa: B023
        alone = descend(HEAT.solve, *jax.device_put(one), J, **how)
        np.testing.assert_allclose(
            together.controls["f"][row], alone.controls["f"][0], rtol=1e-7, atol=1e-9
        )
        np.testing.assert_array_equal(together.gradients[:, row], alone.gradients[:, 0])


def test_the_best_is_kept_when_steps_lead_astray():
    known, start = problem()
    far = descend(HEAT.solve, known, start, J, steps=3, optimizer=optax.sgd(1e3))
    assert (far.values[-1] > far.values[0]).all()
    np.testing.assert_array_equal(far.controls["f"], start["f"])
    overflow = descend(HEAT.solve, known, start, J, steps=3, optimizer=optax.sgd(1e200))
    assert not np.isfinite(overflow.values[-1]).any()
    np.testing.assert_array_equal(overflow.controls["f"], start["f"])


def test_no_steps_evaluate_the_start():
    known, start = problem()
    found = descend(HEAT.solve, known, start, J, steps=0)
    np.testing.assert_array_equal(found.controls["f"], start["f"])
    np.testing.assert_allclose(found.values, values_of(known, start["f"])[None])


def test_the_start_is_projected():
    known, start = problem()
    box = bounds("f", -0.1, 0.1)
    found = descend(HEAT.solve, known, start, J, steps=0, constraint=box)
    np.testing.assert_array_equal(found.controls["f"], np.clip(start["f"], -0.1, 0.1))


def test_equal_problems_compile_once():
    traces = []

    def traced(inputs):
        traces.append(None)
        return HEAT.solve(inputs)

    known, start = problem()
    descend(traced, known, start, J, steps=1)
    before = len(traces)
    descend(traced, known, start, J, steps=3)
    assert len(traces) == before + 1  # the final states, which are not compiled here


# ---------------------------------------------------------------------------- errors


def in_numpy(inputs):
    return {"u": jnp.asarray(np.cumsum(np.asarray(inputs["f"]), axis=1))}


def until_done(inputs):
    step = lambda u: u + inputs["f"][:, 0]  # noqa: E731
    u = jax.lax.while_loop(lambda u: u.max() < 1e3, step, jnp.abs(inputs["u0"]) + 1)
    return {"u": u[:, None]}


DULL = {
    "stopped": (lambda s: jax.lax.stop_gradient(HEAT.solve(s)), "for 'f' is zero"),
    "rounded": (lambda s: {"u": jnp.round(HEAT.solve(s)["u"])}, "for 'f' is zero"),
    "infinite": (
        lambda s: {"u": jnp.sqrt(0 * HEAT.solve(s)["u"])},
        "for 'f' is not finite",
    ),
    "numpy": (in_numpy, "JAX says: .*traced array"),
    "open loop": (until_done, "JAX says: .*while_loop"),
}


@pytest.mark.parametrize(("solve", "message"), DULL.values(), ids=DULL)
def test_solvers_without_a_gradient_are_refused(solve, message):
    known, start = problem()
    positive = jax.device_put({"f": np.abs(start["f"]) + 1})
    with pytest.raises(ValueError, match=message):
        descend(solve, known, positive, J, steps=1)


def test_a_direct_dependence_on_controls_is_not_enough():
    """The energy has a gradient in f, but states that do not react are no solver's."""
    known, start = problem()
    with pytest.raises(ValueError, match="gradient for 'f' is zero"):
        check_solver(lambda s: {"u": 0 * s["f"]}, known, start)


def test_a_solver_speaks_for_itself_where_gradients_are_not_the_problem():
    system = Burgers(points=16, frames=2, duration=0.1)
    with pytest.raises(ValueError, match="`solve` needs inputs of the shapes"):
        descend(system.solve, *problem(), J, steps=1)


def test_bad_starts_and_steps():
    known, start = problem()
    with pytest.raises(ValueError, match="steps=-1"):
        descend(HEAT.solve, known, start, J, steps=-1)
    root = lambda s: jnp.sqrt(s["u0"].sum(1) * energy(s["f"]))  # noqa: E731
    known["u0"] = jax.device_put(np.outer([1.0, -1.0, 1.0], np.ones(8)))
    with pytest.raises(ValueError, match="they are not in 1 of 3 rows"):
        descend(HEAT.solve, known, start, root, steps=1)


def test_burgers_is_a_system():
    assert isinstance(Burgers(), System) and isinstance(HEAT, System)
