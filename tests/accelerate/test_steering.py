"""Two actors on a fake clock: every order of their steps, every fault, real threads."""

import time
from itertools import combinations

import jax
import numpy as np
import pytest
from pushed_ring import FRAMES, GOAL, WAVE, acted, steer, straight

from wdno.accelerate.event_trigger import Periodic
from wdno.accelerate.latest import in_background

KEY = jax.random.key(0)
REST = {"u0": 1.0 * WAVE}


def off(u, v):
    """Relative innovation of a state without mean."""
    return np.linalg.norm(u - v) / np.linalg.norm(v)


def test_a_plan_that_nothing_disturbs_runs_to_its_end():
    """Asked for at tick 0, it runs from tick 1 on; then the last command is held."""
    planning, steering = steer(KEY)
    u, commands = REST, []
    for now in range(FRAMES + 2):
        command = steering.tick(now, u, GOAL)
        u = acted(u, command)
        if now == 0:
            assert command.asked and "no plan" in command.faults[0]
            np.testing.assert_array_equal(command.controls["f"], 0.0)
            assert planning.step()
        elif now < FRAMES:
            assert not command.asked and not command.faults
            np.testing.assert_allclose(command.controls["f"][:, 0], WAVE / 3)
            np.testing.assert_allclose(command.foreseen["u"][:, 0], u["u0"])
            assert command.planned_for == 1 and command.innovation < 1e-6
        commands.append(command)
    assert commands[FRAMES].asked  # nothing is said of the next tick
    np.testing.assert_allclose(u["u0"], GOAL["uT"] + WAVE / 3)
    held = commands[FRAMES + 1]
    assert "held" in held.faults[0] and held.planned_for is None
    np.testing.assert_array_equal(held.controls["f"], commands[FRAMES].controls["f"])


def test_plans_are_made_for_the_state_that_is_expected_when_they_act():
    """A surprise is taken to stay: the plan made during tick 2 is right at tick 3."""
    planning, steering = steer(KEY)
    u = REST
    for now in range(5):
        command = steering.tick(now, u, GOAL)
        if command.asked:
            planning.step()
        u = acted(u, command, push=0.5 * WAVE if now == 1 else 0.0)
        if now in (2, 3):
            assert command.asked == (now == 2) and not command.faults
    assert command.planned_for == 3 and command.innovation < 1e-6


def test_what_foresees_the_flow_says_for_which_state_a_plan_is():
    """A surprise that does not stay: half of it is gone when the plan begins."""

    def foresee(state, controls):
        u = state["u0"] + controls["f"].sum(axis=1)
        return {"u0": u - 0.25 * WAVE}

    planning, steering = steer(KEY, foresee=foresee, lead=2)
    u, asked = REST, {}
    for now in range(4):
        command = steering.tick(now, u, GOAL)
        if (request := planning.requests.poll()) is not None:
            asked[now] = request, u, command
            planning.plans.put(planning.answer(request))
        u = acted(u, command, push=0.5 * WAVE if now == 2 else 0.0)
    first = asked[0][0].state["u0"]  # no plan runs, and nothing acts
    np.testing.assert_allclose(first, 0.5 * WAVE, atol=1e-6)
    request, seen, command = asked[3]
    assert request.tick == 3 + 2
    step = command.controls["f"][:, 0]
    np.testing.assert_allclose(
        request.state["u0"], seen["u0"] + 2 * step - 0.5 * WAVE, atol=1e-6
    )


def test_every_order_of_the_steps_of_both_actors():
    """Whatever the order, commands come from plans that are for this time and state."""
    ticks, answers = 5, 3
    for places in combinations(range(ticks + 2 * answers), ticks):
        check_order([n in places for n in range(ticks + 2 * answers)])


def check_order(order):
    planning, steering = steer(KEY, trigger=Periodic(1), tolerance=0.3)
    u, now, taken, asked, published = REST, 0, None, None, {}
    put = planning.requests.put

    def note(request):
        nonlocal asked
        asked = request
        return put(request)

    planning.requests.put = note
    running, finishing = None, False
    for is_tick in order:
        if is_tick:
            seen = None if now == 2 else u
            command = steering.tick(now, seen, GOAL)
            assert np.isfinite(command.controls["f"]).all()
            assert ("no observation" in command.faults) == (seen is None)
            if command.planned_for is None:
                assert any("held" in fault for fault in command.faults)
            elif command.planned_for != running:
                plan = published[command.planned_for]
                row = now - plan.request.tick - 1
                foreseen = [plan.request.state["u0"], *plan.fields["u"].swapaxes(0, 1)]
                assert row >= -1
                if seen is not None and off(u["u0"], foreseen[row + 1]) > 0.3:
                    assert any("further off" in fault for fault in command.faults)
            running = command.planned_for
            u = acted(u, command, push=0.8 * WAVE if now == 1 else 0.0)
            now += 1
        elif not finishing:
            taken, newest = planning.requests.poll(), asked
            assert taken is None or taken is newest
            finishing = True
        else:
            if taken is not None:
                plan = planning.answer(taken)
                published[taken.tick] = plan
                planning.plans.put(plan)
            finishing = False
    assert now == 5


@pytest.mark.parametrize(
    ("observation", "fault"),
    [(None, "no observation"), ({"u0": np.nan * WAVE}, "of u0 is not finite")],
)
def test_without_a_sound_observation_the_plan_goes_on(observation, fault):
    planning, steering = steer(KEY)
    steering.tick(0, REST, GOAL)
    planning.step()
    first = steering.tick(1, REST, GOAL)
    for now in range(2, FRAMES + 3):
        command = steering.tick(now, observation, GOAL)
        assert fault in command.faults[0] and not command.asked
        np.testing.assert_array_equal(command.controls["f"], first.controls["f"])
        assert ("held" in command.faults[-1]) == (now > FRAMES)


def test_a_solver_that_fails_is_reported_and_the_running_plan_goes_on():
    fail = [False]

    def make(request):
        if fail[0]:
            raise ValueError("diverged in row 0")
        return straight(request)

    planning, steering = steer(KEY, make, Periodic(1))
    steering.tick(0, REST, GOAL)
    planning.step()
    steering.tick(1, REST, GOAL)
    fail[0] = True
    planning.step()
    command = steering.tick(2, {"u0": REST["u0"] + WAVE / 3}, GOAL)
    assert command.faults == ("planning failed: diverged in row 0",)
    assert command.planned_for == 1


def test_plans_for_another_time_state_or_goal_never_act():
    planning, steering = steer(KEY)
    steering.tick(0, REST, GOAL)
    planning.step()
    elsewhere = {"u0": -2.0 * WAVE}
    command = steering.tick(1, elsewhere, GOAL)
    assert command.planned_for is None
    assert command.faults[0] == "the plan for tick 1 is for another state (3 off)"
    planning.step()
    command = steering.tick(20, elsewhere, GOAL)
    assert command.faults[:2] == (
        "18 ticks were missed",
        "the plan for tick 2 came too late",
    )
    planning.step()
    command = steering.tick(21, elsewhere, {"uT": 0 * WAVE})
    assert command.faults[0] == "the plan for tick 21 is for another goal"
    assert command.asked
    with pytest.raises(ValueError, match="upwards from 0, but 21 came after 21"):
        steering.tick(21, elsewhere, GOAL)


def test_of_two_plans_that_are_off_the_nearer_one_acts_and_it_is_said():
    """Two pushes in a row: the plan made after the first has missed the second."""
    planning, steering = steer(KEY, tolerance=0.1)
    u = REST
    for now in range(4):
        command = steering.tick(now, u, GOAL)
        if command.asked:
            planning.step()
        u = acted(u, command, push=0.5 * WAVE if now in (1, 2) else 0.0)
    assert command.planned_for == 3
    (fault,) = command.faults
    assert "is for another state (" in fault and "the running one is further" in fault


def test_another_goal_asks_until_a_plan_for_it_runs():
    planning, steering = steer(KEY)
    u = acted(REST, steering.tick(0, REST, GOAL))
    planning.step()
    u = acted(u, steering.tick(1, u, GOAL))
    other = {"uT": -1 * WAVE}
    asked = []
    for now in range(2, 6):
        command = steering.tick(now, u, other)
        u = acted(u, command)
        asked.append(command.asked)
        if now == 3:
            planning.step()
    assert asked == [True, True, False, False]


def test_a_tick_left_out_is_reported_and_its_row_skipped():
    planning, steering = steer(KEY)
    steering.tick(0, REST, GOAL)
    planning.step()
    steering.tick(1, REST, GOAL)
    plan = straight(type("R", (), {"goal": GOAL, "state": REST}))
    late = {"u0": plan["u"][:, 2]}
    command = steering.tick(4, late, GOAL)
    assert command.faults == ("2 ticks were missed",)
    assert command.innovation == pytest.approx(0.0, abs=1e-6)


def test_with_a_slow_planner_in_a_thread_no_tick_waits():
    """Planning takes five ticks of 20 ms; commands come in time and the goal is met."""
    took = []

    def slow(request):
        time.sleep(0.1)
        return straight(request)

    planning, steering = steer(KEY, slow, Periodic(2), lead=5, tolerance=0.3)
    steering.begin(0, u := REST, GOAL)
    with in_background(planning):
        for now in range(24):
            begin = time.perf_counter()
            command = steering.tick(now, u, GOAL)
            took.append(time.perf_counter() - begin)
            u = acted(u, command, push=0.3 * WAVE if now == 10 else 0.0)
            time.sleep(0.02)
    assert np.median(took) < 0.02
    assert off(u["u0"], GOAL["uT"]) < 0.25


def test_a_loop_begins_with_a_plan_that_does_not_fail():
    def make(request):
        raise ValueError("no finite plan.")

    _, steering = steer(KEY, make)
    with pytest.raises(ValueError, match="begins with a plan, but planning failed: no"):
        steering.begin(0, REST, GOAL)


def test_defects_of_the_planner_surface_at_the_next_tick():
    planning, steering = steer(KEY, lambda request: 1 / 0)
    with pytest.raises(ZeroDivisionError), in_background(planning):
        for now in range(1000):
            steering.tick(now, REST, GOAL)
            time.sleep(0.001)
    assert now < 999
