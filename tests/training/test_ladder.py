"""Noise levels with stable transitions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Oracle,
    Uncertain,
    labelled,
    make_fields,
    make_operator,
    oracle,
)
from oracles import make_uncertain as uncertain

import wdno
from wdno.diffusion.noise import per_row
from wdno.diffusion.schedules import LadderSchedule
from wdno.training.ladder import stable_rungs

LEVELS = np.array([1.0, 2.0, 3.0, 4.0])


def stable(*pairs):
    table = np.zeros((4, 4), bool)
    for high, low in pairs:
        table[high, low] = True
    return table


@pytest.mark.parametrize(
    ("pairs", "rungs"),
    [
        ([], [4]),  # one call is best
        ([(3, 2), (2, 1), (1, 0)], [4, 3, 2, 1]),
        ([(3, 2), (2, 1), (1, 0), (2, 0)], [4, 3, 1]),  # the highest above each
        ([(3, 2), (1, 0)], [4, 3]),  # the two lowest are out of reach
        ([(3, 1), (1, 0), (2, 0)], [4, 2, 1]),  # nor does a rung lead into nothing
    ],
)
def test_a_ladder_goes_from_the_top_to_the_lowest_level_within_reach(pairs, rungs):
    assert stable_rungs(LEVELS, stable(*pairs)) == tuple(map(float, rungs))


def test_the_ladder_of_a_posterior_ends_where_its_noise_no_longer_hides_it():
    model = make_operator(Uncertain)
    truth = uncertain(model, 0.1, batch=200)
    how = {"candidates": 7, "key": jax.random.key(0)}
    ladder = wdno.stable_schedule(model, truth, **how)
    assert ladder.levels[0] == 10.0 and 0.3 < ladder.levels[-1] < 1.1
    fits = dataclasses.replace(model, schedule=ladder)
    assert fits.levels(1)[0] == 10.0
    # Whoever believes its own estimates gets no further than it can be trusted.
    gullible = make_operator(lambda *of: Oracle(*of, spread=3.0))
    assert wdno.stable_schedule(gullible, truth, **how) == LadderSchedule((10.0,))


@oracle
class Confused(Oracle):
    """Knows the answer from noise alone, and loses it where noise is of order one."""

    def __call__(self, x, sigma, cond):
        wrong = jnp.where((sigma > 0.1) & (sigma < 5), 1.0, 0.3)
        right = super().__call__(x, sigma, cond)
        return right + per_row(jnp.where(sigma < 5, wrong, 0.01), x)


def test_a_ladder_leads_to_no_level_of_a_larger_error():
    """Own estimates are as good as the truth there, and worse after the call."""
    model = make_operator(Confused)
    how = {"candidates": 4, "key": jax.random.key(0)}
    ladder = wdno.stable_schedule(model, labelled(make_fields()), **how)
    assert ladder == LadderSchedule((10.0,))


def test_candidates_and_limit_are_checked():
    model, truth = make_operator(), labelled(make_fields())
    for wrong in ({"candidates": 1}, {"limit": 0.9}, {"limit": np.nan}):
        with pytest.raises(ValueError, match="two candidates or more by a limit"):
            wdno.stable_schedule(model, truth, key=jax.random.key(0), **wrong)
