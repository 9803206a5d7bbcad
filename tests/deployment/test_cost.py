"""Costs that are foretold from few rows."""

import itertools

import jax
import numpy as np
import pytest
from oracles import Uncertain, make_operator

from wdno.deployment import cost
from wdno.deployment.programs import Measured, Program, Window
from wdno.diffusion.samplers import ddim


class Law:
    """A machine on which rows and calls take known times."""

    def __init__(self, monkeypatch):
        self.asked = []

        def operations(program, rows):
            return rows * (1e8 + 3e8 * getattr(program, "calls", 1))

        def measured(program, rows, clock):
            calls = getattr(program, "calls", 1)
            self.asked.append((rows, calls))
            return Measured(rows, rows * (2.0 + 3.0 * calls), 1000 + 7 * rows)

        monkeypatch.setattr(Program, "operations", operations)
        monkeypatch.setattr(Program, "measured", measured)


@pytest.fixture
def law(monkeypatch):
    return Law(monkeypatch)


def test_windows_batches_and_calls_add_up(law):
    model = make_operator(Uncertain)
    how = {"samples": 5, "members": 100, "frames": 9 * model.window, "calls": 10}
    found = cost.simulation_cost(model, batch_size=200, **how)
    rows = 600  # the third batch is filled up
    assert found.seconds == pytest.approx(9 * rows * (2 + 3 * 10))
    assert found.operations == pytest.approx(9 * rows * (1e8 + 3e8 * 10))
    assert found.memory == 1000 + 7 * 200
    # No more work than a second of one core.
    assert max(rows for rows, _ in law.asked) == 50
    assert {calls for _, calls in law.asked} == {1, cost.CALLS}


def test_a_small_batch_is_timed_as_it_is(law):
    cost.simulation_cost(make_operator(Uncertain), samples=3)
    assert max(law.asked) == (3, 1)


def test_numbers_that_are_none_are_refused(law):
    model = make_operator(Uncertain)
    for how in ({"samples": 0}, {"batch_size": 0}, {"members": -1}):
        with pytest.raises(ValueError, match="A cost is that of one or more"):
            cost.simulation_cost(model, **how)
    with pytest.raises(ValueError, match="devices is 0"):
        cost.training_cost(model, batch_size=8, devices=0)


def test_a_program_is_that_window_and_its_operations_grow_with_its_rows(unchecked):
    window = Window(make_operator(Uncertain), ddim())
    function, arguments = window.of(3)
    made = jax.jit(function)(*arguments)
    assert {len(values) for values in made.values()} == {3}
    one, two, four = (window.operations(n) for n in (1, 2, 4))
    # Random numbers come in pairs.
    assert four - two == pytest.approx(2 * (two - one), rel=1e-3) and two > one
    ticks = map(float, itertools.count())
    found = window.measured(3, lambda: next(ticks))
    assert (found.rows, found.seconds) == (3, 1.0)
    least = sum(np.asarray(x).nbytes for x in jax.tree.leaves((arguments[:2], made)))
    assert found.memory >= least
