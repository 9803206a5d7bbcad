"""Control against exact posteriors: Gaussian prior, quadratic objective."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from linear_control import Heat, cost
from oracles import (
    DIMS,
    Gated,
    Plain,
    make_layouts,
    make_operator,
    pass_gate,
    with_beside,
)

import wdno
from wdno import WDNO, Domain, Field, Polish, Role
from wdno.diffusion.denoiser import Denoiser
from wdno.diffusion.guidance import clip, project
from wdno.diffusion.keys import row_keys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import ddim
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import tasks
from wdno.planning.constraints import all_of, bounds, region
from wdno.planning.objectives import energy, terminal

KEY = jax.random.key(0)
generate = jax.jit(wdno.generate, static_argnames=("sampler", "guidance"))
GRID = (4, 8)
STD, TOLERANCE, PUSH = 0.5, 0.3, 0.4


@jax.tree_util.register_static
class Gaussian:
    """E[z | noisy z] for the coefficients z of fields N(mean(given fields), std²)."""

    traces = 0

    def __init__(self, targets, given, mean, std):
        self.targets, self.known, self.mean, self.std = targets, given, mean, std

    def __call__(self, x, sigma, cond):
        Gaussian.traces += 1
        grid = (2 * x.shape[1], GRID[1])  # whatever the horizon
        known = self.known.on(grid).synthesis(cond)
        mean = self.targets.on(grid).analysis(self.mean(known, grid[0]))
        trust = self.std**2 / (self.std**2 + jnp.square(sigma))
        return mean + per_row(trust, x) * (x - mean)


def over_time(state, frames=GRID[0]):
    return jnp.broadcast_to(state[:, None], (len(state), frames, GRID[1]))


def rest(known, frames=GRID[0]):
    """Mean of the prior: the initial state stays, nothing acts."""
    still = over_time(known["u0"], frames)
    return {"u": still, "f": jnp.zeros_like(still)}


def misfit(fields):
    """-log p(uT, PUSH | u, f), observed everywhere with deviation TOLERANCE."""
    goal = over_time(fields["uT"], fields["u"].shape[1])
    total = energy(fields["u"] - goal) + energy(fields["f"] - PUSH)
    return total / (2 * TOLERANCE**2)


VARIANCE = 1 / (1 / STD**2 + 1 / TOLERANCE**2)


def posterior(known, frames=GRID[0]):
    """Mean of the posterior under `misfit`, whose variance is VARIANCE."""
    before = rest(known, frames)
    seen = {"u": over_time(known["uT"], frames), "f": jnp.full_like(before["f"], PUSH)}
    return {
        name: VARIANCE * (before[name] / STD**2 + seen[name] / TOLERANCE**2)
        for name in before
    }


def effort(fields):
    return energy(fields["f"])


def exact(sigma):
    """Strength that makes guidance Bayes' rule."""
    v = STD**2 * sigma**2 / (STD**2 + sigma**2)
    return v * TOLERANCE**2 / (v + TOLERANCE**2)


def to_goal(state, control, dims):
    task = tasks.control(state, control, dims)
    return task._replace(given=task.given + tasks.final(state, dims))


@cache
def make_planner(mean=rest, std=STD, task=tasks.control, scaled=False, step=0.25):
    """A model that plans, whose answers are Gaussian, in an orthogonal wavelet."""
    targets, given = make_layouts(GRID, task=task)
    if not scaled:
        targets = dataclasses.replace(targets, scale=())
    denoiser = Denoiser(Gaussian(targets, given, mean, std), Plain())
    return WDNO(
        targets,
        given,
        denoiser,
        Domain((0.0, 0.0), (step, 1 / 8)),
        KarrasSchedule(0.01, 9.0),
    )


def make_states(seed, batch=3):
    values = np.random.default_rng(seed).normal(size=(batch, GRID[1]))
    coords = {"x": np.arange(GRID[1]) / GRID[1], "time": 2.0}
    attrs = {"units": "m s-1"}
    return xr.DataArray(values, coords, ("sample", "x"), name="u", attrs=attrs)


def plan_with(
    model,
    initial,
    objective,
    *,
    key=KEY,
    target=None,
    members=None,
    frames=None,
    batch_size=3,
    **parts,
):
    """What a planner of these parts plans, by one program however many the plans."""
    planner = wdno.Planner(model, objective, **parts)
    planner = planner if frames is None else planner.over(frames)
    how = {"target": target, "members": members, "batch_size": batch_size}
    return wdno.control(planner, initial, key=key, **how)


def drawn(model, known, steps, sampler):
    """What `generate` draws without guidance, row by row as `control` does."""
    known = {name: jnp.asarray(states.values) for name, states in known.items()}
    keys = row_keys(KEY, len(known["u0"]))
    return generate(model, known, sampler, model.schedule(steps), keys)


@pytest.mark.slow
def test_without_strength_a_plan_is_a_sample():
    model, u0 = make_planner(), make_states(0)
    plan = plan_with(model, u0, effort, strength=0.0, steps=3)
    expected = drawn(model, {"u0": u0}, 3, ddim(1.0))
    np.testing.assert_allclose(plan.u[:, 1:], expected["u"], rtol=1e-9)
    np.testing.assert_allclose(plan.f[:, :-1], expected["f"], rtol=1e-9)


def test_plans_are_labelled_trajectories():
    u0 = make_states(0)
    plan = plan_with(make_planner(), u0, effort, strength=0.1, steps=4)
    assert plan.u.dims == plan.f.dims == ("sample", *DIMS)
    np.testing.assert_array_equal(plan.u[:, 0], u0)
    np.testing.assert_array_equal(plan.f[:, -1], 0)
    np.testing.assert_array_equal(plan.time, 2.0 + 0.25 * np.arange(5))
    np.testing.assert_array_equal(plan.x, u0.x)
    assert plan.u.attrs == {"units": "m s-1", "cell_methods": "time: point"}
    assert plan.f.attrs == {"cell_methods": "time: mean"}


def test_exact_strength_plans_from_the_posterior():
    """Guidance turns the denoiser of the prior into that of the posterior."""
    u0, goal = make_states(0), make_states(1)
    plan = plan_with(
        make_planner(),
        u0,
        misfit,
        target=goal,
        strength=exact,
        sampler=ddim(0.0),
        steps=20,
    )
    bayes = make_planner(posterior, VARIANCE**0.5, to_goal)
    expected = drawn(bayes, {"u0": u0, "uT": goal}, 20, ddim(0.0))
    np.testing.assert_allclose(plan.u[:, 1:], expected["u"], rtol=1e-8)
    np.testing.assert_allclose(plan.f[:, :-1], expected["f"], rtol=1e-8)


@pytest.mark.slow
def test_plans_have_the_moments_of_the_posterior():
    u0, goal = make_states(0, batch=40), make_states(1, batch=40)
    plan = plan_with(
        make_planner(), u0, misfit, target=goal, strength=exact, steps=100, key=KEY
    )
    known = {"u0": jnp.asarray(u0.values), "uT": jnp.asarray(goal.values)}
    mean = posterior(known)
    deviation = np.stack(
        [plan.u[:, 1:] - mean["u"], plan.f[:, :-1] - mean["f"]], dtype=float
    )
    count = deviation.size
    assert abs(deviation.mean()) < 4 * np.sqrt(VARIANCE / count)
    ratio = deviation.var() / VARIANCE  # 3% of it is the bias of 100 steps
    assert abs(ratio - 1) < 0.03 + 4 * np.sqrt(2 / count)


def test_a_number_as_strength_is_a_step_of_sigma_lambda():
    """J = sum f has one gradient everywhere: along the approximation of f."""
    model, u0 = make_planner(scaled=True), make_states(0)
    strength, sigma = 0.3, model.schedule.sigma_range[1]
    plan = plan_with(
        model, u0, lambda s: s["f"].sum((1, 2)), strength=strength, steps=1, key=KEY
    )
    free = drawn(model, {"u0": u0}, 1, ddim(1.0))
    scale = model.targets.scale[model.targets.channels.index("f:aa")]
    np.testing.assert_allclose(plan.u[:, 1:], free["u"], atol=1e-10)
    np.testing.assert_allclose(
        plan.f[:, :-1], free["f"] - sigma * strength * scale**2, atol=1e-10
    )


def test_the_model_may_be_given_the_final_state():
    u0, goal = make_states(0), make_states(1)
    model = make_planner(posterior, 0.0, to_goal)
    plan = plan_with(model, u0, misfit, target=goal, strength=0.0, steps=2)
    known = {"u0": jnp.asarray(u0.values), "uT": jnp.asarray(goal.values)}
    np.testing.assert_allclose(plan.u[:, 1:], posterior(known)["u"], atol=1e-10)


def test_a_plan_does_not_depend_on_the_others():
    u0, goal = make_states(0), make_states(1)
    how = {"target": goal, "strength": 0.02, "steps": 3}
    whole = plan_with(make_planner(), u0, misfit, **how)
    parts = plan_with(make_planner(), u0, misfit, batch_size=2, **how)
    xr.testing.assert_allclose(parts, whole, rtol=1e-12)


@pytest.mark.slow
def test_one_initial_state_serves_an_ensemble_of_goals():
    goals = make_states(1, batch=4).astype(np.float32).rename(sample="member")
    plan = plan_with(
        make_planner(),
        make_states(0, batch=1).astype(np.float32),
        lambda s: terminal(s["u"], s["uT"]),
        target=goals,
        strength=0.1,
        steps=2,
    )
    assert plan.u.dims == ("sample", "member", *DIMS)
    assert plan.u.dtype == plan.f.dtype == np.float32
    assert plan.sizes == {"sample": 1, "member": 4, "time": 5, "x": 8}


def test_further_guidance_comes_after_the_objective():
    plan = plan_with(
        make_planner(),
        make_states(0),
        lambda s: s["f"].sum((1, 2)),
        strength=5.0,
        steps=1,
        guidance=clip(0.1),
    )
    assert abs(plan.f).max() <= 0.4 + 1e-12  # four subbands of magnitude 0.1, halved
    np.testing.assert_allclose(plan.f[:, :-1].mean(("time", "x")), -0.05, atol=0.05)


TAME = clip(3.0)


@pytest.mark.slow
def test_what_was_compiled_serves_every_planner_that_does_the_same():
    """Another strength, key or batch, and functions and systems made anew."""
    price = 0.5

    def traces(strength, seed, rows):
        plan_with(
            make_planner(),
            make_states(0, rows),
            lambda s: price * energy(s["f"]),
            strength=strength,
            guidance=TAME,
            constraint=ALLOWED,
            steps=3,
            polish=Polish(Heat().over(4), 1),
            batch_size=2,
            key=jax.random.key(seed),
        )
        return Gaussian.traces

    assert traces(0.1, 0, 4) == traces(0.2, 1, 3) > 0


@pytest.mark.slow
def test_threads_may_share_a_planner():
    planner = wdno.Planner(make_planner(), effort, strength=0.1, steps=2)
    run = partial(wdno.control, planner, make_states(0), key=KEY)
    expected = run()
    with ThreadPoolExecutor(4) as pool:
        for found in [pool.submit(run) for _ in range(60)]:
            xr.testing.assert_identical(found.result(), expected)


@pytest.mark.slow
def test_other_surroundings_make_another_function():
    """What a function closes over is part of what it does."""
    plans = [
        plan_with(
            make_planner(),
            make_states(0),
            lambda s, price=price: price * energy(s["f"]),
            strength=0.1,
            steps=2,
        )
        for price in (0.1, 2.0)
    ]
    assert abs(plans[0].f - plans[1].f).max() > 0.01


def test_no_strength_computes_no_gradient():
    """Of an objective that has none a plan can be made, and is ranked."""
    evaluated = []

    def counted(fields):
        evaluated.append(fields["f"].shape)
        return effort(fields)

    model, u0 = make_planner(), make_states(0)
    planner = wdno.Planner(model, counted, steps=3)
    known = {"u0": jnp.asarray(u0.values)}
    plan = planner(known, row_keys(KEY, 3))
    assert len(evaluated) == 1
    expected = drawn(model, {"u0": u0}, 3, ddim(1.0))
    np.testing.assert_allclose(plan["f"], expected["f"], rtol=1e-9)


BAD_OBJECTIVES = {
    "one number": (lambda s: energy(s["f"]).sum(), "one floating-point number a row"),
    "not finite": (lambda s: jnp.log(-energy(s["f"])), "its value is not"),
    "of the given": (lambda s: energy(s["u0"]), r"depend on .*\['f', 'u'\]"),
    "other goal": (lambda s: terminal(s["u"], jnp.zeros(5)), "shape of one state"),
}


@pytest.mark.parametrize(
    ("objective", "message"), BAD_OBJECTIVES.values(), ids=BAD_OBJECTIVES
)
def test_bad_objectives_are_refused_before_any_sampling(objective, message):
    before = Gaussian.traces
    with pytest.raises(ValueError, match=message):
        plan_with(make_planner(), make_states(0), objective, strength=0.1)
    assert Gaussian.traces == before


BAD = {
    "no planner": (
        {"model": lambda _: make_operator()},
        r"generates \['u'\] given \['u0', 'f'\]. Load a planner",
    ),
    "no target": ({"model": lambda _: make_planner(task=to_goal)}, "`target` is miss"),
    "other target": ({"target": lambda u: u.isel(x=slice(5))}, "must be given at x"),
    "target of other samples": (
        {"target": lambda u: u.isel(sample=slice(2))},
        "must agree on",
    ),
    "not finite": (
        {"initial": lambda u: u.where(u.x > 0)},
        "u0 has NaN or Inf in sample 0",
    ),
    "record": (
        {"initial": lambda u: u.drop_vars("time").expand_dims(time=3)},
        "initial states have no dimension 'time', but u has 3",
    ),
    "other name": (
        {"initial": lambda u: u.rename("v").to_dataset()},
        r"must hold \['u'\]",
    ),
    "no batch": ({"batch_size": lambda _: 0}, "batch_size=0"),
    "no steps": ({"steps": lambda _: 0}, "whole fields and got steps=0"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_inputs_are_refused_before_any_sampling(changes, message):
    arguments = {"model": make_planner(), "initial": make_states(0), "batch_size": 8}
    for name, change in changes.items():
        arguments[name] = change(arguments.get(name, make_states(1)))
    before = Gaussian.traces
    with pytest.raises(ValueError, match=message):
        plan_with(objective=effort, strength=0.1, **arguments)
    assert Gaussian.traces == before


def test_a_plan_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"has NaN or Inf in 3 of 3 rows"):
        plan_with(make_planner(), make_states(0), effort, strength=1e200, steps=4)


# ------------------------------------------------- horizons, members, constraints


@pytest.mark.slow
def test_plans_have_the_horizon_asked_for():
    u0, goal = make_states(0), make_states(1)
    bayes = make_planner(posterior, 0.0, to_goal)
    plan = plan_with(
        bayes, u0, misfit, target=goal, strength=0.0, steps=2, frames=6, key=KEY
    )
    known = {"u0": jnp.asarray(u0.values), "uT": jnp.asarray(goal.values)}
    exact = posterior(known, frames=6)
    np.testing.assert_allclose(plan.u[:, 1:], exact["u"], atol=1e-10)
    np.testing.assert_allclose(plan.f[:, :-1], exact["f"], atol=1e-10)
    np.testing.assert_array_equal(plan.time, 2.0 + 0.25 * np.arange(7))


@pytest.mark.parametrize("frames", [0, -4, 3])
def test_bad_horizons_are_refused(frames):
    with pytest.raises(ValueError, match=r"at least one frame|Use an extent divisible"):
        plan_with(
            make_planner(), make_states(0), effort, strength=0.0, frames=frames, key=KEY
        )


def after(simulator, frames, model, initial, objective, **how):
    """Let the system run free, as a model foresees it, then plan from there."""
    calm = wdno.simulate(simulator, initial, frames=frames, key=KEY)
    plan = plan_with(model, calm.isel(time=-1), objective, **how)
    return wdno.trajectory.append(calm, plan)


@pytest.mark.parametrize("members", [None, 2])
def test_a_plan_may_begin_later(members):
    """Left alone, this system stays where it is; the plan sets in there, later."""
    u0 = make_states(0)
    how = {"strength": 0.0, "steps": 4, "members": members}
    late = after(make_operator(), 6, make_planner(), u0, effort, **how)
    at_once = plan_with(make_planner(), u0, effort, **how)
    np.testing.assert_allclose(late.time, 2.0 + 0.25 * np.arange(11))
    calm, acting = slice(6), slice(6, None)
    moved = late.u.isel(time=calm) - u0.drop_vars("time")
    np.testing.assert_allclose(moved, 0, atol=1e-9)
    np.testing.assert_array_equal(late.f.isel(time=calm), 0)
    assert late.u.dims == at_once.u.dims
    for name in ("u", "f"):
        np.testing.assert_allclose(late[name].isel(time=acting), at_once[name], 1e-9)
    np.testing.assert_allclose(late.objective, at_once.objective, rtol=1e-9)


@pytest.mark.slow
def test_members_stay_when_there_are_more_of_them_or_of_samples():
    model, u0 = make_planner(), make_states(0)
    how = {"strength": 0.0, "steps": 3}
    plans = plan_with(model, u0, effort, members=4, **how)
    assert plans.u.dims == ("sample", "member", *DIMS)
    more = plan_with(model, make_states(0, 4), effort, members=6, **how)
    np.testing.assert_array_equal(plans.f, more.f[:3, :4])
    assert len(np.unique(plans.f[:, :, 0, 0])) == 12


def test_the_objective_of_each_plan_is_reported():
    u0, goal = make_states(0), make_states(1)
    plans = plan_with(
        make_planner(),
        u0,
        misfit,
        target=goal,
        strength=0.02,
        steps=3,
        members=5,
    )
    assert plans.objective.dims == ("sample", "member")
    missed = ((plans.u[:, :, 1:] - goal) ** 2).sum(("time", "x"))
    missed += ((plans.f[:, :, :-1] - PUSH) ** 2).sum(("time", "x"))
    expected = missed / (2 * TOLERANCE**2)
    np.testing.assert_allclose(plans.objective, expected, rtol=1e-9)


def test_the_best_plan_is_that_of_the_smallest_objective():
    plans = plan_with(
        make_planner(),
        make_states(0),
        effort,
        strength=0.0,
        steps=4,
        members=5,
    )
    best = wdno.best_plan(plans)
    assert best.u.dims == best.f.dims == ("sample", *DIMS)
    assert best.u.attrs == plans.u.attrs
    np.testing.assert_array_equal(best.objective, plans.objective.min("member"))
    for n in range(3):
        member = int(plans.objective[n].argmin("member"))
        xr.testing.assert_equal(best.f[n], plans.f[n, member])
        xr.testing.assert_equal(best.u[n], plans.u[n, member])
    for poor in (best, plans.drop_vars("objective")):
        with pytest.raises(ValueError, match="'member' of smallest 'objective'"):
            wdno.best_plan(poor)


LEFT = np.arange(GRID[1]) < 5
ALLOWED = all_of(bounds("f", -0.2, 0.3), region("f", LEFT))


def test_constraints_hold_to_the_last_bit_and_at_every_estimate():
    model, u0 = make_planner(), make_states(0)
    how = {"strength": 0.05, "steps": 4}
    plan = plan_with(model, u0, effort, constraint=ALLOWED, **how)
    f = plan.f.values
    assert f.max() == 0.3 and f.min() == -0.2 and not f[..., ~LEFT].any()
    each = project(ALLOWED, model.targets)
    same = plan_with(model, u0, effort, guidance=each, **how)
    np.testing.assert_allclose(f, same.f, atol=1e-12)
    late = ALLOWED({"f": jnp.asarray(plan_with(model, u0, effort, **how).f.values)})
    assert abs(f - late["f"]).max() > 0.01
    np.testing.assert_allclose(plan.objective, (plan.f**2).sum(("time", "x")))


# ---------------------------------------------------- static fields, shares, their ends


def wishing(state, control, dims):
    """Control behind a gate, with the share in the end given."""
    task = with_beside(tasks.control)(state, control, dims)
    return task._replace(
        given=(*task.given, Field("shareT", (), Role.FINAL, of="share"))
    )


def steadily(known, frames=GRID[0]):
    """A steady control along the gate, with which the share ends as wished."""
    gate = known["gate"]
    missing = known["shareT"] - known["u0"].mean(axis=1)
    push = missing / (frames * jnp.square(gate).mean(axis=1))
    f = over_time(push[:, None] * gate, frames)
    return {"f": f, **pass_gate(known["u0"], f, gate)}


def make_gated_planner(mean=steadily, std=0.0, task=wishing):
    return make_planner(mean, std, task)


def make_gated_states(seed=0, batch=3):
    """Initial states behind a gate of each sample's own."""
    u0 = make_states(seed, batch)
    gate = np.random.default_rng(seed).uniform(0.5, 2.0, size=u0.shape)
    return u0.assign_coords(gate=(u0.dims, gate, {"units": "1"}))


def shares(batch=3):
    return xr.DataArray(np.linspace(-1.0, 1.0, batch), dims="sample", name="share")


def unfilled(fields):
    """How far the share is from the one wished for, where the gate is not shut."""
    return (fields["share"][:, -1] - fields["shareT"]) ** 2 * fields["gate"].mean(1)


GATED = {"target": shares(), "strength": 0.0, "steps": 2}


@pytest.mark.slow
def test_plans_reach_the_share_that_is_wished_for():
    u0 = make_gated_states().drop_vars("time")
    plan = plan_with(make_gated_planner(), u0, unfilled, **GATED)
    known = {"u0": u0, "gate": u0.gate, "shareT": shares()}
    expected = steadily({name: jnp.asarray(v.values) for name, v in known.items()})
    for name in ("u", "share"):
        np.testing.assert_allclose(plan[name][:, 1:], expected[name], atol=1e-10)
    np.testing.assert_allclose(plan.f[:, :-1], expected["f"], atol=1e-10)
    np.testing.assert_allclose(plan.share[:, -1], shares(), atol=1e-10)
    np.testing.assert_allclose(plan.objective, 0, atol=1e-12)


def test_plans_keep_what_never_changes_and_what_comes_beside():
    u0 = make_gated_states().drop_vars("time")
    plan = plan_with(make_gated_planner(), u0, unfilled, **GATED)
    assert set(plan.data_vars) == {"u", "f", "share", "objective"}
    assert plan.share.dims == ("sample", "time")
    assert plan.share.attrs == {"cell_methods": "time: point"}
    assert plan.share[:, 0].isnull().all() and plan.share[:, 1:].notnull().all()
    xr.testing.assert_identical(plan.gate, u0.gate)


def test_initial_states_of_a_record_keep_their_time():
    """As of `truth.u.isel(time=0)`, beside what never changes."""
    u0 = make_gated_states()
    plan = plan_with(make_gated_planner(), u0, unfilled, **GATED)
    np.testing.assert_array_equal(plan.time, 2.0 + 0.25 * np.arange(5))
    np.testing.assert_array_equal(plan.gate, u0.gate)


@pytest.mark.slow
def test_one_share_serves_all_samples_and_members():
    u0 = make_gated_states().drop_vars("time")
    how = GATED | {"target": xr.DataArray(0.5)}
    plan = plan_with(make_gated_planner(), u0, unfilled, members=2, **how)
    assert plan.share.dims == ("sample", "member", "time")
    assert plan.gate.dims == ("sample", "x")
    np.testing.assert_allclose(plan.share[:, :, -1], 0.5, atol=1e-10)


def test_targets_come_as_a_dataset_of_which_the_given_ends_are_read():
    u0 = make_gated_states().drop_vars("time")
    goal = xr.Dataset({"share": shares(), "u": make_states(1).isel(x=slice(5))})
    how = GATED | {"target": goal}
    plan = plan_with(make_gated_planner(), u0, unfilled, **how)
    expected = plan_with(make_gated_planner(), u0, unfilled, **GATED)
    xr.testing.assert_identical(plan, expected)


def test_the_objective_sees_what_never_changes():
    """The prior is at rest, J = sum gate u: a step against the gate everywhere."""
    u0 = make_gated_states().drop_vars("time")

    def blocked(fields):
        gate = over_time(fields["gate"], fields["u"].shape[1])
        return (gate * fields["u"]).sum((1, 2))

    def still(known, frames):
        share = over_time(known["u0"], frames).mean(axis=2)
        return {**rest(known, frames), "share": share}

    model = make_gated_planner(still, task=with_beside(tasks.control))
    sigma, strength = model.schedule.sigma_range[1], 0.1
    how = {"strength": strength, "steps": 1, "sampler": ddim(0.0)}
    plan = plan_with(model, u0, blocked, **how)
    expected = u0 - sigma * strength * u0.gate
    np.testing.assert_allclose(
        plan.u[:, 1:], over_time(jnp.asarray(expected.values)), atol=1e-9
    )


@pytest.mark.parametrize("members", [None, 2])
def test_a_later_plan_keeps_its_gate_and_shares(members):
    """Left alone, the state stays where it is, and the share that of the state."""
    u0 = make_gated_states()
    simulator = make_operator(Gated, task=with_beside(tasks.simulation))
    how = GATED | {"members": members}
    late = after(simulator, 6, make_gated_planner(), u0, unfilled, **how)
    at_once = plan_with(make_gated_planner(), u0, unfilled, **how)
    calm, acting, later = slice(1, 7), slice(7, None), slice(1, None)
    assert late.share.dims == at_once.share.dims
    before = late.share.isel(time=calm) - u0.mean("x").drop_vars("time")
    np.testing.assert_allclose(before, 0, atol=1e-9)
    for name in ("u", "share"):
        acted, alone = late[name].isel(time=acting), at_once[name].isel(time=later)
        np.testing.assert_allclose(acted, alone, atol=1e-9)
    assert late.gate.dims == ("sample", "x")
    np.testing.assert_array_equal(late.gate, u0.gate)


def test_a_later_plan_may_have_more_than_what_came_before():
    """The simulation knows neither gate nor share."""
    u0 = make_gated_states()
    calm = wdno.simulate(make_operator(), u0, frames=6, key=KEY)
    start = calm.isel(time=-1).assign_coords(gate=u0.gate.variable)
    plan = plan_with(make_gated_planner(), start, unfilled, **GATED)
    late = wdno.trajectory.append(calm, plan)
    at_once = plan_with(make_gated_planner(), u0, unfilled, **GATED)
    xr.testing.assert_identical(late.gate.variable, at_once.gate.variable)
    assert late.share.dims == at_once.share.dims
    assert late.share.attrs == at_once.share.attrs
    assert late.share.isel(time=slice(7)).isnull().all()
    planned = late.share.isel(time=slice(7, None))
    expected = at_once.share.isel(time=slice(1, None))
    np.testing.assert_allclose(planned, expected, atol=1e-9)


BAD_GATED = {
    "no gate": (
        {"initial": make_gated_states().drop_vars("gate")},
        r"'gate' is missing from \['time', 'x'\]",
    ),
    "no target": ({"target": None}, r"final states of \['share'\], but `target` is mi"),
    "target of the state": (
        {"target": make_states(1).to_dataset()},
        r"must hold \['share'\], but \['share'\] are missing from \['u'\]",
    ),
    "share over time": (
        {"target": shares().expand_dims(time=3)},
        "have no dimension 'time', but share has 3",
    ),
    "shares of other samples": ({"target": shares(2)}, "must agree on"),
    "unknown share": ({"target": shares().where(shares() > 0)}, "shareT has NaN"),
}


@pytest.mark.parametrize(("change", "message"), BAD_GATED.values(), ids=BAD_GATED)
def test_bad_static_fields_and_shares_are_refused_before_any_sampling(change, message):
    arguments = {"initial": make_gated_states(), **GATED, **change}
    before = Gaussian.traces
    with pytest.raises(ValueError, match=message):
        plan_with(make_gated_planner(), objective=unfilled, **arguments)
    assert Gaussian.traces == before


def forced(state, control, dims):
    """A planner that is given a second control over all of the window."""
    task = wishing(state, control, dims)
    return task._replace(
        given=(*task.given, *tasks.piecewise_constant(("wind",), dims))
    )


def refining(state, control, dims):
    """A planner that is given coarse states, which no one has before a plan."""
    task = wishing(state, control, dims)
    return task._replace(given=(*task.given, *tasks.coarse(state, dims)))


@pytest.mark.parametrize(("task", "name"), [(forced, "wind"), (refining, "u_coarse")])
def test_planners_are_given_states_their_ends_and_static_fields_alone(task, name):
    with pytest.raises(ValueError, match=rf"given .*'{name}'.*Load a planner"):
        plan_with(make_gated_planner(task=task), make_gated_states(), unfilled, **GATED)


# ------------------------------------------------------------------------ polishing

HEAT, COST = Heat(), cost(0.01)
GOAL = {"target": make_states(1), "strength": 0.0, "steps": 2}


def test_polished_plans_are_optimal_for_the_solver():
    u0 = make_states(0)
    plan = plan_with(make_planner(), u0, COST, polish=Polish(HEAT, 20), **GOAL)
    exact = HEAT.optimum(u0, GOAL["target"], 0.01)
    np.testing.assert_allclose(plan.f[:, :-1], exact, atol=1e-4)
    inputs = {"u0": jnp.asarray(u0.values), "f": jnp.asarray(plan.f.values[:, :-1])}
    np.testing.assert_allclose(plan.u[:, 1:], HEAT.solve(inputs)["u"], rtol=1e-12)
    distance = ((plan.u[:, -1] - GOAL["target"]) ** 2).mean("x")
    expected = distance + 0.01 * (plan.f**2).sum(("time", "x"))
    np.testing.assert_allclose(plan.objective, expected, rtol=1e-12)


@pytest.mark.slow
def test_polished_plans_satisfy_constraints_on_any_horizon():
    plan = plan_with(
        make_planner(),
        make_states(0),
        COST,
        constraint=ALLOWED,
        frames=2,
        members=2,
        polish=Polish(HEAT, 3),
        **GOAL,
    )
    assert plan.sizes == {"sample": 3, "member": 2, "time": 3, "x": 8}
    assert plan.f.max() <= 0.3 and plan.f.min() >= -0.2
    assert not plan.f.values[..., ~LEFT].any()


@dataclasses.dataclass(frozen=True)
class Channel(Heat):
    """Control behind a gate, which it is given with the initial states."""

    silent: bool = False

    def solve(self, inputs):
        states = pass_gate(inputs["u0"], inputs["f"], inputs["gate"])
        return {"u": states["u"]} if self.silent else states


@pytest.mark.slow
def test_polished_plans_have_what_comes_beside_from_the_solver():
    """Which knows better than a model of random states and shares."""
    u0 = make_gated_states().drop_vars("time")

    def wrong(known, frames):
        plan = steadily(known, frames)
        return {**plan, "share": plan["share"] + 1.0}

    def priced(fields):
        return unfilled(fields) + 1e-3 * energy(fields["f"])

    how = GATED | {"polish": Polish(Channel(), 15)}
    plan = plan_with(make_gated_planner(wrong), u0, priced, **how)
    inputs = {"u0": u0, "f": plan.f[:, :-1], "gate": u0.gate}
    solved = pass_gate(*(jnp.asarray(v.values) for v in inputs.values()))
    for name in ("u", "share"):
        np.testing.assert_allclose(plan[name][:, 1:], solved[name], rtol=1e-12)
    weight = u0.gate.mean("x")
    missed = (plan.share[:, -1] - shares()) ** 2
    expected = weight * missed + 1e-3 * (plan.f**2).sum(("time", "x"))
    np.testing.assert_allclose(plan.objective, expected, rtol=1e-9)
    # One number: the optimum is a push along the gate, shorter than to the goal.
    reach = 4 * (u0.gate**2).mean("x")
    start = u0.mean("x")
    drive = weight / 8 * (shares() - start) / (weight / 8 * reach + 1e-3)
    np.testing.assert_allclose(
        plan.f[:, :-1], (drive * u0.gate).expand_dims(time=4, axis=1), atol=1e-4
    )


@pytest.mark.slow
def test_polished_plans_leave_out_what_the_solver_does_not_know():
    how = GATED | {"polish": Polish(Channel(silent=True), 1)}

    def fast(fields):
        return terminal(fields["u"], jnp.zeros(8)) + energy(fields["f"])

    u0 = make_gated_states().drop_vars("time")
    plan = plan_with(make_gated_planner(), u0, fast, **how)
    assert set(plan.data_vars) == {"u", "f", "objective"}
    np.testing.assert_array_equal(plan.gate, u0.gate)


class Frozen(Heat):
    """A solver whose gradient is stopped."""

    def solve(self, inputs):
        return jax.lax.stop_gradient(super().solve(inputs))


BAD_PLANS = {
    "no step": ({"polish": Polish(HEAT, 0)}, "by one step or more, but got 0"),
    "other points": (
        {"polish": Polish(Heat(points=9), 1)},
        "along 'x' it has .*9 points",
    ),
    "stopped": ({"polish": Polish(Frozen(), 1)}, "gradient for 'f' is zero"),
    "states": (
        {"polish": Polish(HEAT, 1), "constraint": bounds("u", -1.0, 1.0)},
        "acts on 'u', but .* only controls can be constrained",
    ),
    "no choice": (
        {"constraint": all_of(region("f", LEFT), region("f", ~LEFT))},
        "excludes every control",
    ),
    "no projection": (
        {"constraint": lambda s: {**s, "f": s["f"] / 2}},
        "changes nothing when applied again",
    ),
    "no members": ({"members": 0}, "counted from 1 .*members=0"),
}


@pytest.mark.parametrize(("how", "message"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_bad_plans_are_refused_before_any_sampling(how, message):
    before = Gaussian.traces
    plan = partial(plan_with, make_planner(), make_states(0), COST)
    with pytest.raises(ValueError, match=message):
        plan(**GOAL, **how)
    assert Gaussian.traces == before


def test_a_system_of_another_time_step_is_refused():
    slow = make_planner(step=0.5)
    with pytest.raises(ValueError, match="along 'time' it has .*5 points"):
        wdno.Planner(slow, COST, polish=Polish(HEAT, 1))


def test_members_of_members_are_refused():
    u0 = make_states(0).rename(sample="member")
    with pytest.raises(ValueError, match="rename the dimension"):
        plan_with(make_planner(), u0, effort, strength=0.0, members=2)
