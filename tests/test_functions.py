"""Functions by value: equal if they do the same, different if they might not."""

import gc
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wdno import _functions
from wdno._functions import by_value
from wdno.systems import Burgers

SCALE = 2.0


def make(factor=1.0, array=None):
    """A closure made anew."""
    values = np.arange(3) if array is None else array
    return lambda x: factor * x + values.sum()


MADE_ANEW = {
    "closures": make,
    "partials": lambda: partial(make(), 3.0),
    "solvers of equal systems": lambda: Burgers(points=16).over(4).solve,
    "optimisers": lambda: optax.adam(0.1),
    "nothing": lambda: None,
}


@pytest.mark.parametrize("maker", MADE_ANEW.values(), ids=MADE_ANEW)
def test_what_does_the_same_is_equal(maker):
    first, second = by_value(maker()), by_value(maker())
    assert first == second and hash(first) == hash(second)


OTHERS = {
    "another number": make(2.0),
    "another array": make(array=np.arange(1, 4)),
    "another function": lambda x: x,
    "another system": Burgers(points=32).over(4).solve,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_differs_in_anything_is_not_equal(other):
    mine = Burgers(points=16).over(4).solve if hasattr(other, "__self__") else make()
    assert by_value(mine) != by_value(other)


def test_globals_that_are_read_count(monkeypatch):
    """A notebook changes a number and runs the cell with the function again."""
    code = "scaled = lambda x: SCALE * x"
    found = []
    for scale in (2.0, 2.0, 3.0):
        cell = {"SCALE": scale}
        exec(code, cell)  # noqa: S102
        found.append(by_value(cell["scaled"]))
    assert found[0] == found[1] != found[2]


def test_a_function_stays_itself_when_what_it_closes_over_changes():
    """As for `jax.jit`; a counter of calls must not make it another one."""
    counted = []
    function = lambda x: counted.append(x)  # noqa: E731
    before = by_value(function)
    function(1)
    assert by_value(function) == before and hash(by_value(function)) == hash(before)


def test_a_function_is_looked_into_once_and_not_kept(monkeypatch):
    """Planners compare their objective at every tick of a loop."""
    function, optimiser = make(5.0), optax.adam(0.1)
    before = by_value(function), by_value(optimiser)
    monkeypatch.setattr(_functions.cloudpickle, "dumps", None)
    assert (by_value(function), by_value(optimiser)) == before
    seen = weakref.ref(function)
    del function, before
    gc.collect()
    assert seen() is None


def test_functions_that_write_into_lists_of_their_own_are_different():
    """A program made with the one would not write into the list of the other."""

    def noting():
        notes = []
        return lambda x: notes.append(x)

    assert by_value(noting()) != by_value(noting())


def test_functions_over_tracers_are_equal_to_themselves_alone():
    def traced(x):
        first, second = (by_value(lambda y: x * y) for _ in range(2))
        assert first == first and first != second
        return x

    jax.jit(traced)(jnp.ones(2))
