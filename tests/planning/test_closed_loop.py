"""Feedback with an exact planner of a linear system: every answer is known."""

from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from linear_control import STEP, Heat, cost
from oracles import DIMS, Plain, make_layouts, pass_gate, with_beside

import wdno
from wdno import WDNO, Domain, Polish
from wdno.accelerate.event_trigger import (
    InnovationDepth,
    InnovationThreshold,
    Periodic,
    SimilarityFilter,
)
from wdno.diffusion.denoiser import Denoiser
from wdno.diffusion.noise import per_row
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import tasks
from wdno.planning.constraints import bounds

KEY = jax.random.key(0)
FRAMES, POINTS = 8, 8
HEAT = Heat(FRAMES)
COST = cost(0.01)  # one object: compiled once


@jax.tree_util.register_static
class Exact:
    """Answers with the weakest control that reaches the final state, plus a spread."""

    traces = 0

    def __init__(self, targets, given, spread):
        self.targets, self.known, self.spread = targets, given, spread

    def __call__(self, x, sigma, cond):
        Exact.traces += 1
        system = Heat(2 * x.shape[1])
        grid = (system.frames, POINTS)
        known = self.known.on(grid).synthesis(cond)
        reach, free = system.influence()
        missing = known["uT"] - known["u0"] @ jnp.asarray(free.T)
        f = (missing @ jnp.asarray(np.linalg.pinv(reach).T)).reshape(-1, *grid)
        plan = {"f": f, **system.solve({**known, "f": f})}
        mean = self.targets.on(grid).analysis(plan)
        trust = self.spread**2 / (self.spread**2 + jnp.square(sigma))
        return mean + per_row(trust, x) * (x - mean)


@cache
def make_planner(spread=0.0):
    targets, given = make_layouts((FRAMES, POINTS), task=tasks.reaching)
    denoiser = Denoiser(Exact(targets, given, spread), Plain())
    domain = Domain((0.0, 0.0), (STEP, 1 / POINTS))
    return WDNO(targets, given, denoiser, domain, KarrasSchedule(0.01, 9.0))


def make_states(seed, batch=3):
    values = np.random.default_rng(seed).normal(size=(batch, POINTS))
    coords = {"x": np.arange(POINTS) / POINTS, "time": 2.0}
    attrs = {"units": "m s-1"}
    return xr.DataArray(values, coords, ("sample", "x"), name="u", attrs=attrs)


def steady(push, frames=FRAMES):
    """A disturbance that is the same in all frames."""
    return push.drop_vars("time").expand_dims(time=frames, axis=1)


U0, GOAL, GUST = make_states(0), make_states(1), 0.5 * make_states(2)


def feedback(
    model,
    system,
    initial,
    objective=COST,
    *,
    frames=FRAMES,
    key=KEY,
    constraint=None,
    polish=None,
    steps=2,
    **how,
):
    """A loop with a planner of these parts."""
    parts = {"constraint": constraint, "polish": polish, "steps": steps}
    planner = wdno.Planner(model, objective, **parts).over(frames)
    return wdno.control_loop(planner, system, initial, key=key, **how)


loop = partial(feedback, make_planner(), HEAT, U0, target=GOAL)


def response(push, frames):
    """What a steady force does to the state in so many frames."""
    influence = Heat(frames).influence()[0].reshape(POINTS, frames, POINTS).sum(1)
    return np.asarray(push) @ influence.T


def test_open_loop_is_one_plan_and_then_the_solver():
    record = loop(every=FRAMES)
    exact = HEAT.optimum(U0, GOAL, 0.0)
    np.testing.assert_allclose(record.f[:, :-1], exact, atol=1e-9)
    np.testing.assert_allclose(record.u[:, -1], GOAL, atol=1e-9)
    inputs = {"u0": jnp.asarray(U0.values), "f": jnp.asarray(record.f.values[:, :-1])}
    np.testing.assert_allclose(record.u[:, 1:], HEAT.solve(inputs)["u"], rtol=1e-9)


@pytest.mark.parametrize("every", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_without_surprises_feedback_changes_nothing(every):
    """Bellman: the tail of an optimal plan is the optimal plan of the tail."""
    often, blind = loop(every=every), loop(every=FRAMES)
    np.testing.assert_allclose(often.f, blind.f, atol=1e-9)
    np.testing.assert_allclose(often.u, blind.u, atol=1e-9)


def test_feedback_rejects_what_has_been_observed():
    """Only the disturbance after the last observation is left in the final state."""
    missed = {}
    for every in (2, 4, FRAMES):
        record = loop(every=every, disturbance=steady(GUST))
        error = record.u[:, -1] - GOAL
        np.testing.assert_allclose(error, response(GUST, every), atol=1e-9)
        missed[every] = (error**2).mean("x")
    assert (missed[2] < missed[4]).all() and (missed[4] < missed[FRAMES]).all()


def test_the_disturbance_is_no_part_of_the_control():
    record = loop(every=FRAMES, disturbance=steady(GUST))
    np.testing.assert_allclose(record.f, loop(every=FRAMES).f)
    pushed = record.f.values[:, :-1] + GUST.values[:, None]
    inputs = {"u0": jnp.asarray(U0.values), "f": jnp.asarray(pushed)}
    np.testing.assert_allclose(record.u[:, 1:], HEAT.solve(inputs)["u"], rtol=1e-9)


def test_a_disturbance_acts_in_its_own_frames():
    """One that comes after the last observation is felt, one before is corrected."""
    push = steady(GUST)
    late = push.where(xr.DataArray(np.arange(FRAMES) >= 6, dims="time"), 0)
    error = loop(every=2, disturbance=late).u[:, -1] - GOAL
    np.testing.assert_allclose(error, response(GUST, 2), atol=1e-9)
    early = push - late
    np.testing.assert_allclose(
        loop(every=2, disturbance=early).u[:, -1], GOAL, atol=1e-9
    )


def test_a_loop_may_begin_later():
    """Until then the disturbance alone; then what the true state of that time asks."""
    push = steady(GUST)
    inputs = {"u0": jnp.asarray(U0.values), "f": jnp.asarray(push.values[:, :4])}
    moved = np.concatenate([U0.values[:, None], HEAT.over(4).solve(inputs)["u"]], 1)
    time, methods = 2.0 + STEP * np.arange(5), {"cell_methods": "time: mean"}
    free = xr.Dataset(
        {"u": (("sample", *DIMS), moved), "f": (("sample", *DIMS), 0 * moved, methods)},
        {"time": time, "x": U0.x},
    )
    start, late = free.u.isel(time=-1), push.isel(time=slice(4, None))
    planner = wdno.Planner(make_planner(), COST, steps=2).over(4)
    how = {"every": 4, "target": GOAL, "disturbance": late, "key": KEY}
    later = wdno.control_loop(planner, HEAT, start, **how)
    record = wdno.trajectory.append(free, later)
    np.testing.assert_allclose(record.time, 2.0 + STEP * np.arange(FRAMES + 1))
    np.testing.assert_array_equal(record.f[:, :4], 0)
    np.testing.assert_array_equal(record.u[:, :5], moved)
    weakest = Heat(4).optimum(moved[:, 4], GOAL, 0.0)
    np.testing.assert_allclose(record.f[:, 4:-1], weakest, atol=1e-9)
    error = record.u[:, -1] - GOAL
    np.testing.assert_allclose(error, response(GUST, 4), atol=1e-9)
    with pytest.raises(ValueError, match="ends at 3 and the other begins at 2"):
        wdno.trajectory.append(free, free)


def test_records_are_labelled_trajectories():
    record = loop(every=4)
    assert record.u.dims == record.f.dims == ("sample", "time", "x")
    assert set(record.data_vars) == {"u", "f"}
    np.testing.assert_array_equal(record.u[:, 0], U0)
    np.testing.assert_array_equal(record.f[:, -1], 0)
    np.testing.assert_allclose(record.time, 2.0 + STEP * np.arange(FRAMES + 1))
    assert record.u.attrs["units"] == "m s-1"


@pytest.mark.slow
def test_records_may_be_longer_than_the_window_and_have_members():
    gusts = steady(GUST, 16).rename(sample="member")
    record = loop(every=4, frames=16, disturbance=gusts)
    assert record.u.sizes == {"sample": 3, "member": 3, "time": 17, "x": POINTS}
    error = record.u[:, :, -1] - GOAL
    np.testing.assert_allclose(error[1], response(GUST, 4), atol=1e-9)


# ----------------------------------------------------------------------- static fields

GATE = np.linspace(0.5, 2.0, POINTS)


@dataclass(frozen=True)
class Channel(Heat):
    """u_(k+1) = u_k + GATE f_k, and the mean over x."""

    def solve(self, inputs):
        gate = jnp.broadcast_to(jnp.asarray(GATE), inputs["u0"].shape)
        return pass_gate(inputs["u0"], inputs["f"], gate)


@jax.tree_util.register_static
class Gated(Exact):
    """Spreads what is missing evenly over the frames and divides it by the gate."""

    def __init__(self, targets, given):
        super().__init__(targets, given, 0.0)

    def __call__(self, x, sigma, cond):
        Exact.traces += 1
        grid = (2 * x.shape[1], POINTS)
        known = self.known.on(grid).synthesis(cond)
        push = (known["uT"] - known["u0"]) / known["gate"] / grid[0]
        f = jnp.broadcast_to(push[:, None], (len(x), *grid))
        plan = {"f": f, **pass_gate(known["u0"], f, known["gate"])}
        return self.targets.on(grid).analysis(plan)


@cache
def make_gated_planner():
    task = with_beside(tasks.reaching)
    targets, given = make_layouts((FRAMES, POINTS), task=task)
    domain = Domain((0.0, 0.0), (STEP, 1 / POINTS))
    denoiser = Denoiser(Gated(targets, given), Plain())
    return WDNO(targets, given, denoiser, domain, KarrasSchedule(0.01, 9.0))


def behind_gate(gate=GATE):
    return U0.drop_vars("time").assign_coords(gate=("x", gate))


def gated_loop(initial, **how):
    model, system = make_gated_planner(), Channel(FRAMES)
    return feedback(model, system, initial, target=GOAL, steps=1, **how)


@pytest.mark.parametrize("every", [pytest.param(4, marks=pytest.mark.slow), FRAMES])
def test_planners_see_what_never_changes_at_every_observation(every):
    record = gated_loop(behind_gate(), every=every)
    np.testing.assert_allclose(record.u[:, -1], GOAL, atol=1e-9)
    steady_push = (GOAL - U0) / GATE / FRAMES
    wanted = np.broadcast_to(steady_push.values[:, None], record.f[:, :-1].shape)
    np.testing.assert_allclose(record.f[:, :-1], wanted, atol=1e-9)


def test_feedback_makes_up_for_a_gate_that_is_wrong():
    """A gate at 4/5 of the true one leaves 1/4 of the way, in the wrong direction."""
    record = gated_loop(behind_gate(0.8 * GATE), every=FRAMES)
    np.testing.assert_allclose(record.u[:, -1] - GOAL, (GOAL - U0) / 4, atol=1e-9)
    # Half of the way is made by 5/8, and 5/4 of what is then left.
    record = gated_loop(behind_gate(0.8 * GATE), every=4)
    halfway = 0.375 * (GOAL - U0)
    np.testing.assert_allclose(record.u[:, -1] - GOAL, halfway / 4, atol=1e-9)


def test_records_keep_what_never_changes():
    record = gated_loop(behind_gate(), every=4)
    assert record.gate.dims == ("x",)
    np.testing.assert_array_equal(record.gate, GATE)


def test_initial_states_of_a_record_keep_their_time():
    initial = U0.assign_coords(gate=("x", GATE))
    record = gated_loop(initial, every=4)
    np.testing.assert_allclose(record.time, 2.0 + STEP * np.arange(FRAMES + 1))
    np.testing.assert_allclose(record.u[:, -1], GOAL, atol=1e-9)


def test_a_loop_without_its_static_fields_is_refused_before_any_sampling():
    before = Exact.traces
    with pytest.raises(ValueError, match=r"'gate' is missing from \['time', 'x'\]"):
        gated_loop(U0, every=4)
    assert Exact.traces == before


# ------------------------------------------------------------- noise, seeds and rows


@pytest.mark.slow
def test_only_observations_are_noisy_and_the_last_one_decides():
    """The plan from u + noise arrives, from u itself, with A^every noise missing."""
    many = partial(loop, every=4, observation_noise=0.3)
    batch = 200
    wide = [make_states(n, batch) for n in (0, 1)]
    how = {"steps": 1, "every": 4, "observation_noise": 0.3}
    record = feedback(make_planner(), HEAT, wide[0], target=wide[1], **how)
    np.testing.assert_array_equal(record.u[:, 0], wide[0])
    error = (record.u[:, -1] - wide[1]).values
    _, passage = Heat(4).influence()
    noise = error @ np.linalg.inv(passage)
    count = noise.size
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(count)
    assert abs(noise.var() / 0.3**2 - 1) < 4 * np.sqrt(2 / count)
    xr.testing.assert_identical(many(), many())
    assert (many(key=jax.random.key(1)).u != many().u).any()


@pytest.mark.slow
def test_rows_do_not_influence_each_other():
    model = make_planner(spread=0.5)
    few = slice(2)
    run = partial(feedback, model, HEAT)
    how = {"every": 4, "observation_noise": 0.3, "members": 2, "batch_size": 2}
    gust = steady(GUST)
    whole = run(U0, target=GOAL, disturbance=gust, **how)
    part = run(U0[few], target=GOAL[few], disturbance=gust[few], **how)
    xr.testing.assert_allclose(whole.isel(sample=few), part)


def test_the_best_of_several_plans_acts():
    planner = wdno.Planner(make_planner(spread=0.5), cost(0.1), steps=2)
    how = {"target": GOAL, "members": 4}
    record = wdno.control_loop(planner, HEAT, U0, every=FRAMES, **how, key=KEY)
    first, _ = jax.random.split(jax.random.fold_in(KEY, 0))
    plans = wdno.control(planner, U0, **how, key=first)
    np.testing.assert_allclose(record.f, wdno.best_plan(plans).f, rtol=1e-9)


@pytest.mark.slow
def test_polished_and_constrained_plans_act():
    """Descent finds better controls within the bounds than cutting off does."""
    short = {"frames": 4, "every": 2, "constraint": bounds("f", -1.0, 1.0)}
    polished, cut = loop(polish=Polish(HEAT, 15), **short), loop(**short)
    assert abs(polished.f).max() <= 1.0

    def achieved(record):
        missed = ((record.u[:, -1] - GOAL) ** 2).mean("x")
        return missed + 0.01 * (record.f**2).sum(("time", "x"))

    assert (achieved(polished) < achieved(cut)).all()


# --------------------------------------------------------------- triggers and starts


@pytest.mark.slow
def test_a_trigger_that_always_fires_changes_no_bit():
    how = {"every": 2, "disturbance": steady(GUST), "observation_noise": 0.3}
    spread = partial(feedback, make_planner(0.5), HEAT, U0, target=GOAL, members=2)
    plain, triggered = spread(**how), spread(**how, trigger=Periodic(1))
    observed = triggered.replanned.isel(time=slice(0, -1, 2))
    assert observed.all() and int(triggered.replanned.sum()) == observed.size
    xr.testing.assert_identical(triggered.drop_vars("replanned"), plain)


def test_rows_plan_anew_where_they_were_surprised():
    """A gust in frames 2 and 3 on row 1 alone: it plans at 4, and nobody else does."""
    gust = steady(GUST).copy()
    gust[{"sample": [0, 2]}] = 0.0
    gust[{"time": [0, 1, 4, 5, 6, 7]}] = 0.0
    trigger = InnovationThreshold(0.9, most_skips=9)
    record = loop(every=2, disturbance=gust, trigger=trigger)
    made = np.argwhere(record.replanned.values)
    np.testing.assert_array_equal(made, [[0, 0], [1, 0], [1, 4], [2, 0]])
    np.testing.assert_allclose(record.u[:, -1], GOAL, atol=1e-9)
    blind = loop(every=FRAMES, disturbance=gust)
    np.testing.assert_allclose(record.f[[0, 2]], blind.f[[0, 2]], atol=1e-9)


def test_a_cap_renews_plans_that_nothing_surprised():
    record = loop(every=2, trigger=SimilarityFilter(0.5, most_skips=1))
    expected = np.zeros((3, FRAMES + 1), bool)
    expected[:, [0, 4]] = True
    np.testing.assert_array_equal(record.replanned, expected)


@pytest.mark.slow
def test_a_start_at_a_small_level_is_the_rest_of_the_running_plan():
    """At a large one it is a plan from noise alone, which ends at the goal."""
    loops = partial(feedback, make_planner(0.5), HEAT, U0, target=GOAL, steps=1)
    how = {"every": 4, "disturbance": steady(GUST), "trigger": Periodic(1)}
    blind = loops(every=FRAMES, disturbance=steady(GUST))
    kept = loops(**how, depth=InnovationDepth(gain=0.0, least=1e-6))
    np.testing.assert_allclose(kept.f, blind.f, atol=1e-4)
    anew = loops(**how, depth=InnovationDepth(gain=0.0, least=99.0))
    assert abs(anew.f - blind.f).max() > 0.1


def test_estimates_stand_in_for_observations():
    """Every second point is seen; the rest of the state is what was predicted."""
    seen = jnp.arange(POINTS) % 2 == 0
    predictions = []

    def estimate(observed, predicted):
        predictions.append(predicted)
        believed = jnp.zeros_like(observed["u0"])
        believed = believed if predicted is None else predicted["u0"]
        return {"u0": jnp.where(seen, observed["u0"], believed)}

    record = loop(every=4, estimate=estimate)
    half = U0.where(U0.x * POINTS % 2 == 0, 0.0)
    believed = feedback(make_planner(), HEAT, half, target=GOAL, every=FRAMES)
    np.testing.assert_allclose(record.f[:, :4], believed.f[:, :4], atol=1e-9)
    assert predictions[0] is None and set(predictions[1]) == {"u0"}


# ---------------------------------------------------------------------------- errors


class Diverging(Heat):
    """A system that leaves all bounds."""

    def solve(self, inputs):
        return {"u": jnp.full_like(inputs["f"], jnp.inf)}


BAD = {
    "no divisor": ({"every": 3}, "every=3 for the 8 frames"),
    "never": ({"every": 0}, "every=0"),
    "backwards": ({"every": -2}, "every=-2"),
    "not halved": ({"every": 1}, r"for 8, 7, … .* 7 it cannot: .* divisible by 2"),
    "negative noise": ({"every": 4, "observation_noise": -1.0}, "noise=-1.0"),
    "other system": (
        {"every": 4, "system": Heat(points=9)},
        "along 'x' it has .*9 points",
    ),
    "short disturbance": (
        {"every": 4, "disturbance": steady(GUST, 4)},
        "must be given at time",
    ),
    "no target": ({"every": 4, "target": None}, "`target` is missing"),
    "bad objective": (
        {"every": 4, "objective": lambda s: s["u"].sum()},
        "one floating-point number a row",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_loops_are_refused_before_any_sampling(changes, message):
    arguments = {"system": HEAT, "objective": COST, "target": GOAL} | changes
    before = Exact.traces
    with pytest.raises(ValueError, match=message):
        feedback(make_planner(), initial=U0, steps=1, **arguments)
    assert Exact.traces == before


def test_a_solution_that_diverges_is_reported():
    with pytest.raises(ValueError, match="u diverged in row 0 .3 in all"):
        feedback(make_planner(), Diverging(FRAMES), U0, target=GOAL, every=4)
