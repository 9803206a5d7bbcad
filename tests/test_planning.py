"""Control against exact posteriors: Gaussian prior, quadratic objective."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from flax import nnx
from oracles import DIMS, make_layouts, make_operator

import wdno
from wdno import WDNO, Domain, tasks
from wdno.denoiser import Denoiser
from wdno.guidance import clip, energy, terminal
from wdno.noise import per_row
from wdno.samplers import ddim, row_keys

KEY = jax.random.key(0)
generate = nnx.jit(wdno.generate, static_argnames=("sampler", "guidance"))
GRID = (4, 8)
STD, TOLERANCE, PUSH = 0.5, 0.3, 0.4


class Gaussian(Denoiser):
    """E[z | noisy z] for the coefficients z of fields N(mean(given fields), std²)."""

    traces = 0

    def __init__(self, targets, given, mean, std):
        self.targets, self.known, self.mean, self.std = targets, given, mean, std

    def __call__(self, x, sigma, cond):
        Gaussian.traces += 1
        mean = self.targets.analysis(self.mean(self.known.synthesis(cond)))
        trust = self.std**2 / (self.std**2 + jnp.square(sigma))
        return mean + per_row(trust, x) * (x - mean)


def over_time(state):
    return jnp.broadcast_to(state[:, None], (len(state), *GRID))


def rest(known):
    """Mean of the prior: the initial state stays, nothing acts."""
    still = over_time(known["u0"])
    return {"u": still, "f": jnp.zeros_like(still)}


def misfit(fields):
    """-log p(uT, PUSH | u, f), observed everywhere with deviation TOLERANCE."""
    goal = over_time(fields["uT"])
    total = energy(fields["u"] - goal) + energy(fields["f"] - PUSH)
    return total / (2 * TOLERANCE**2)


VARIANCE = 1 / (1 / STD**2 + 1 / TOLERANCE**2)


def posterior(known):
    """Mean of the posterior under `misfit`, whose variance is VARIANCE."""
    before = rest(known)
    seen = {"u": over_time(known["uT"]), "f": jnp.full_like(before["f"], PUSH)}
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


def make_planner(mean=rest, std=STD, task=tasks.control, scaled=False):
    """A planner whose answers are Gaussian, in an orthogonal wavelet."""
    targets, given = make_layouts(GRID, task=task)
    if not scaled:
        targets = dataclasses.replace(targets, scale=())
    denoiser = Gaussian(targets, given, mean, std)
    return WDNO(
        targets, given, denoiser, Domain((0.0, 0.0), (0.25, 1 / 8)), (0.01, 9.0)
    )


def make_states(seed, batch=3):
    values = np.random.default_rng(seed).normal(size=(batch, GRID[1]))
    coords = {"x": np.arange(GRID[1]) / GRID[1], "time": 2.0}
    attrs = {"units": "m s-1"}
    return xr.DataArray(values, coords, ("sample", "x"), name="u", attrs=attrs)


def drawn(model, known, steps, sampler):
    """What `generate` draws without guidance, row by row as `control` does."""
    known = {name: jnp.asarray(states.values) for name, states in known.items()}
    keys = row_keys(KEY, len(known["u0"]))
    return generate(model, known, sampler, model.schedule(steps), keys)


def test_without_strength_a_plan_is_a_sample():
    model, u0 = make_planner(), make_states(0)
    plan = wdno.control(model, u0, effort, strength=0.0, steps=3, key=KEY)
    expected = drawn(model, {"u0": u0}, 3, ddim(1.0))
    np.testing.assert_allclose(plan.u[:, 1:], expected["u"], rtol=1e-9)
    np.testing.assert_allclose(plan.f[:, :-1], expected["f"], rtol=1e-9)


def test_plans_are_labelled_trajectories():
    u0 = make_states(0)
    plan = wdno.control(make_planner(), u0, effort, strength=0.1, steps=3, key=KEY)
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
    plan = wdno.control(
        make_planner(),
        u0,
        misfit,
        target=goal,
        strength=exact,
        sampler=ddim(0.0),
        steps=20,
        key=KEY,
    )
    bayes = make_planner(posterior, VARIANCE**0.5, to_goal)
    expected = drawn(bayes, {"u0": u0, "uT": goal}, 20, ddim(0.0))
    np.testing.assert_allclose(plan.u[:, 1:], expected["u"], rtol=1e-8)
    np.testing.assert_allclose(plan.f[:, :-1], expected["f"], rtol=1e-8)


@pytest.mark.slow
def test_plans_have_the_moments_of_the_posterior():
    u0, goal = make_states(0, batch=40), make_states(1, batch=40)
    plan = wdno.control(
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
    strength, sigma = 0.3, model.sigma_range[1]
    plan = wdno.control(
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
    plan = wdno.control(model, u0, misfit, target=goal, strength=0.0, steps=2, key=KEY)
    known = {"u0": jnp.asarray(u0.values), "uT": jnp.asarray(goal.values)}
    np.testing.assert_allclose(plan.u[:, 1:], posterior(known)["u"], atol=1e-10)


def test_a_plan_does_not_depend_on_the_others():
    u0, goal = make_states(0, batch=4), make_states(1, batch=4)
    how = {"target": goal, "strength": 0.02, "steps": 3, "key": KEY}
    whole = wdno.control(make_planner(), u0, misfit, **how)
    parts = wdno.control(make_planner(), u0, misfit, batch_size=2, **how)
    xr.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_one_initial_state_serves_an_ensemble_of_goals():
    goals = make_states(1, batch=4).astype(np.float32).rename(sample="member")
    plan = wdno.control(
        make_planner(),
        make_states(0, batch=1).astype(np.float32),
        lambda s: terminal(s["u"], s["uT"]),
        target=goals,
        strength=0.1,
        steps=2,
        key=KEY,
    )
    assert plan.u.dims == ("sample", "member", *DIMS)
    assert plan.u.dtype == plan.f.dtype == np.float32
    assert plan.sizes == {"sample": 1, "member": 4, "time": 5, "x": 8}


def test_further_guidance_comes_after_the_objective():
    plan = wdno.control(
        make_planner(),
        make_states(0),
        lambda s: s["f"].sum((1, 2)),
        strength=5.0,
        steps=1,
        guidance=clip(0.1),
        key=KEY,
    )
    assert abs(plan.f).max() <= 0.4 + 1e-12  # four subbands of magnitude 0.1, halved
    np.testing.assert_allclose(plan.f[:, :-1].mean(("time", "x")), -0.05, atol=0.05)


def test_another_strength_or_key_compiles_nothing():
    model, u0 = make_planner(), make_states(0)

    def traces(strength, seed):
        key = jax.random.key(seed)
        wdno.control(model, u0, effort, strength=strength, steps=3, key=key)
        return Gaussian.traces

    assert traces(0.1, 0) == traces(0.2, 1)


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
        wdno.control(make_planner(), make_states(0), objective, strength=0.1, key=KEY)
    assert Gaussian.traces == before


BAD = {
    "no planner": (
        {"model": lambda _: make_operator()},
        r"generates \['u'\] given \['f', 'u0'\]. Load a planner",
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
    "no steps": ({"steps": lambda _: 0}, "`steps` must be at least 1"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_inputs_are_refused_before_any_sampling(changes, message):
    arguments = {"model": make_planner(), "initial": make_states(0), "batch_size": 8}
    for name, change in changes.items():
        arguments[name] = change(arguments.get(name, make_states(1)))
    before = Gaussian.traces
    with pytest.raises(ValueError, match=message):
        wdno.control(objective=effort, strength=0.1, **arguments, key=KEY)
    assert Gaussian.traces == before


def test_a_plan_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"has NaN or Inf in 3 of 3 rows"):
        wdno.control(
            make_planner(),
            make_states(0),
            lambda s: energy(s["u"]) + energy(s["f"]),
            strength=1e200,
            steps=4,
            key=KEY,
        )
