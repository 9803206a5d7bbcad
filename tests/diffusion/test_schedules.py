"""Tables of noise levels and their steps, with those of the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno._json import from_json, to_json
from wdno.diffusion import noise
from wdno.diffusion.schedules import (
    CosineSchedule,
    DiscreteSchedule,
    KarrasSchedule,
    LadderSchedule,
    Schedule,
    SigmoidSchedule,
)

DISCRETE = {"1d_cosine": CosineSchedule(), "2d_sigmoid": SigmoidSchedule()}
each_table = pytest.mark.parametrize(("name", "schedule"), DISCRETE.items())
each_kind = pytest.mark.parametrize("kind", [CosineSchedule, SigmoidSchedule])


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "schedule.npz") as golden:
        return dict(golden)


# --- the official code ----------------------------------------------------------------


@pytest.mark.shared
@each_table
def test_tables_are_the_official_ones(golden, name, schedule):
    abar = 1 / (1 + np.square(schedule.table))
    np.testing.assert_allclose(abar, golden[f"{name}/alphas_cumprod"], 1e-7)


@pytest.mark.shared
@each_table
def test_betas_are_the_official_ones(golden, name, schedule):
    came = schedule.beta(jnp.asarray(schedule.table))
    np.testing.assert_allclose(came, golden[f"{name}/betas"], 1e-7)


@pytest.mark.shared
def test_the_betas_of_the_cosine_table_are_the_official_schedule_of_guidance(golden):
    came = CosineSchedule().beta(jnp.asarray(CosineSchedule().table))
    np.testing.assert_allclose(came, golden["1d_J_scheduler_cosine"], 1e-7)


@pytest.mark.shared
@each_table
@pytest.mark.parametrize("steps", [10, 50, 100])
def test_a_run_visits_the_official_steps(golden, name, schedule, steps):
    times = schedule.step(schedule(steps)[:-1])
    np.testing.assert_array_equal(times, golden[f"ddim_times/S{steps}"][:-1])


# --- steps ----------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("timesteps", [1000, 8])
def test_step_inverts_the_table(kind, dtype, timesteps):
    schedule = kind(timesteps)
    came = jax.jit(schedule.step)(jnp.asarray(schedule.table, dtype))
    assert came.dtype == dtype
    np.testing.assert_array_equal(came, np.arange(timesteps))


@each_kind
def test_step_is_the_nearest_in_the_logarithm_of_the_level(kind):
    schedule = kind()
    low, high = schedule.table[:-1], schedule.table[1:]
    for weight, nearest in ((0.49, np.arange(999)), (0.51, np.arange(1, 1000))):
        between = jnp.asarray(low ** (1 - weight) * high**weight)
        np.testing.assert_array_equal(schedule.step(between), nearest)


@each_kind
def test_steps_end_with_the_table(kind):
    low, high = kind().sigma_range
    came = kind().step(jnp.asarray([1e-9, 0.5 * low, 2 * high, 1e9]))
    np.testing.assert_array_equal(came, [0, 0, 999, 999])


@each_kind
def test_betas_multiply_up_to_the_table(kind):
    schedule = kind(50)
    beta = schedule.beta(jnp.asarray(schedule.table))
    abar = np.cumprod(1 - np.asarray(beta))
    np.testing.assert_allclose(np.sqrt(1 / abar - 1), schedule.table, 1e-9)
    assert (beta > 0).all() and (beta < 0.9991).all()


@each_kind
def test_beta_of_a_level_between_steps_is_that_of_the_nearest(kind):
    schedule = kind(20)
    at_steps = schedule.beta(jnp.asarray(schedule.table, jnp.float32))
    near = jnp.asarray(schedule.table[[3, 11]] * np.array([1.001, 0.999]), jnp.float32)
    came = schedule.beta(near)
    assert came.dtype == np.float32
    np.testing.assert_array_equal(came, at_steps[np.array([3, 11])])


# --- runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "levels"),
    [(CosineSchedule, noise.cosine), (SigmoidSchedule, noise.sigmoid)],
)
def test_discrete_schedules_pick_from_their_table(kind, levels):
    np.testing.assert_array_equal(kind()(7), levels(7))
    np.testing.assert_array_equal(kind(40)(10), levels(10, 40))
    whole = np.append(kind(40).table[::-1], 0.0)
    np.testing.assert_array_equal(kind(40)(40), whole)
    assert kind().timesteps == len(kind().table) == 1000


def test_karras_schedule_is_that_of_karras():
    schedule = KarrasSchedule(0.02, 80.0)
    for steps in (1, 10):
        np.testing.assert_array_equal(schedule(steps), noise.karras(steps, 0.02, 80.0))
    assert schedule.sigma_range == (0.02, 80.0)


@pytest.mark.parametrize(
    "schedule",
    [
        KarrasSchedule(0.1, 5.0),
        CosineSchedule(30),
        SigmoidSchedule(30),
        LadderSchedule((5.0, 1.0, 0.7, 0.1)),
        LadderSchedule(tuple(np.geomspace(5.0, 0.1, 40).tolist())),
    ],
)
def test_a_run_of_all_steps_goes_from_one_end_of_the_range_to_the_other(schedule):
    assert isinstance(schedule, Schedule)
    levels = np.asarray(schedule(30))
    assert levels.shape == (31,) and (np.diff(levels) < 0).all() and levels[-1] == 0
    low, high = schedule.sigma_range
    np.testing.assert_allclose(levels[[-2, 0]], [low, high], 1e-12)


def test_equal_schedules_are_one_key():
    """They are static arguments of compiled functions, before and after use."""
    used = CosineSchedule(30)
    used.step(jnp.ones(2))
    assert used == CosineSchedule(30) and hash(used) == hash(CosineSchedule(30))
    others = [CosineSchedule(40), SigmoidSchedule(30), KarrasSchedule(1.0, 2.0)]
    assert len({used, *others, LadderSchedule((2.0, 1.0))}) == 5


def test_a_discrete_schedule_has_a_table():
    with pytest.raises(TypeError, match="abstract"):
        DiscreteSchedule()


# --- ladders --------------------------------------------------------------------------

LADDER = LadderSchedule((10.0, 4.0, 1.0, 0.5, 0.02))


@pytest.mark.parametrize(
    ("steps", "levels"),
    [
        (1, [10.0]),
        (2, [10.0, 0.02]),
        (3, [10.0, 1.0, 0.02]),
        (4, [10.0, 1.0, 0.5, 0.02]),
        (5, [10.0, 4.0, 1.0, 0.5, 0.02]),
    ],
)
def test_a_run_visits_rungs_spread_evenly_and_begins_on_the_highest(steps, levels):
    np.testing.assert_array_equal(LADDER(steps), [*levels, 0.0])


def test_a_run_of_more_steps_than_rungs_goes_evenly_in_the_logarithm_between_them():
    levels = np.asarray(LADDER(9))
    np.testing.assert_allclose(levels[:-1:2], LADDER.levels, rtol=1e-12)
    between = np.sqrt(np.multiply(LADDER.levels[1:], LADDER.levels[:-1]))
    np.testing.assert_allclose(levels[1:-1:2], between, rtol=1e-12)
    assert levels[0] == 10.0 and levels[-2] == 0.02 and levels[-1] == 0


@pytest.mark.parametrize("rungs", [2, 3, 7, 12])
def test_no_rung_is_visited_twice(rungs):
    ladder = LadderSchedule(tuple(np.geomspace(20.0, 0.02, rungs).tolist()))
    for steps in range(1, 3 * rungs):
        levels = np.asarray(ladder(steps))
        assert levels.shape == (steps + 1,) and (np.diff(levels) < 0).all()
        assert levels[0] == ladder.levels[0]
        if steps <= rungs:
            assert set(levels[:-1]) <= set(ladder.levels)


def test_a_ladder_of_one_rung_has_one_step():
    ladder = LadderSchedule((10.0,))
    np.testing.assert_array_equal(ladder(1), [10.0, 0.0])
    assert ladder.sigma_range == (10.0, 10.0)
    with pytest.raises(ValueError, match="has one step, but 2 were asked"):
        ladder(2)


@pytest.mark.parametrize(
    "levels",
    [(), (1.0, 2.0), (1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (np.inf, 1.0), (np.nan, 1.0)],
)
def test_a_ladder_refuses_levels_that_no_run_can_visit(levels):
    with pytest.raises(ValueError, match="decrease, at least one, but got"):
        LadderSchedule(levels)


def test_a_ladder_has_no_run_without_steps():
    with pytest.raises(ValueError, match="from 1, but 0 were asked for"):
        LADDER(0)


def test_a_ladder_stands_in_files():
    assert from_json(to_json(LADDER), Schedule) == LADDER
    with pytest.raises(ValueError, match="decrease"):
        from_json({"kind": "LadderSchedule", "levels": [1.0, 2.0]}, Schedule)
