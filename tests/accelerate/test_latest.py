"""Mailboxes with room for one, and a planner in a thread."""

import threading
import time

import jax
import numpy as np
import pytest
from tiny import make_tiny

import wdno
from wdno.accelerate.latest import (
    Appointments,
    Latest,
    Planning,
    Request,
    in_background,
)
from wdno.operator import tasks
from wdno.planning.objectives import reach


def request(tick):
    return Request(tick, {}, {})


def test_what_comes_replaces_what_nobody_has_taken():
    box = Latest()
    assert box.poll() is None
    assert [box.put(n) for n in range(3)] == [False, True, True]
    assert box.take() == 2 and box.poll() is None
    assert not box.put(3)


def test_closing_wakes_who_waits():
    box, found = Latest(), []
    waiting = threading.Thread(target=lambda: found.append(box.take()))
    waiting.start()
    box.close()
    waiting.join(timeout=10)
    assert found == [None]
    box.put(1)
    assert box.take() is None


def test_a_slow_planner_answers_the_newest_request_only():
    """While it works on the first, three come: it never sees two of them."""
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def make(asked):
        seen.append(asked.tick)
        begun.set()
        assert go_on.wait(10)
        return {}

    planning = Planning(make)
    with in_background(planning):
        planning.requests.put(request(0))
        assert begun.wait(10)
        for tick in (1, 2, 3):
            planning.requests.put(request(tick))
        go_on.set()
        while len(seen) < 2 or (plan := planning.plans.poll()) is None:
            time.sleep(0.001)
        while plan.request.tick < 3 and (newer := planning.plans.poll()) is None:
            time.sleep(0.001)
    assert seen == [0, 3]
    assert plan.request.tick == 3 or newer.request.tick == 3
    assert not any(t.name == "planning" for t in threading.enumerate())


def test_plans_that_fail_are_answers_and_the_thread_goes_on():
    def make(asked):
        if asked.tick == 0:
            raise ValueError("no finite plan")
        return {}

    planning = Planning(make)
    assert planning.answer(request(0)).failure == "planning failed: no finite plan"
    wild = Planning(lambda asked: {"f": np.array([[np.nan]]), "u": np.zeros((1, 1))})
    assert wild.answer(request(0)).failure == "planning failed: ['f'] are not finite"
    with in_background(planning):
        for tick in (0, 1):
            planning.requests.put(request(tick))
            while (plan := planning.plans.poll()) is None:
                time.sleep(0.001)
            assert bool(plan.failure) == (tick == 0)


def test_defects_end_the_thread_and_are_raised():
    planning = Planning(lambda asked: 1 / 0)
    with pytest.raises(ZeroDivisionError), in_background(planning):
        planning.requests.put(request(0))
        while planning.broken is None:
            time.sleep(0.001)


def test_ticks_divide_the_time_between_appointments():
    model = make_tiny(task=tasks.control)
    planner = wdno.Planner(model, reach(("u",), ("f",), 1.0), steps=2)
    with pytest.raises(ValueError, match="Choose a divisor"):
        Appointments(planner, model.window + 1, jax.random.key(0))
