"""Triggers: exact probabilities, caps, and loops in which every answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from wdno.accelerate.event_trigger import (
    InnovationDepth,
    InnovationThreshold,
    Periodic,
    SimilarityFilter,
    anomaly,
    relative_innovation,
)
from wdno.diffusion.keys import row_keys

KEY = jax.random.key(3)
WAVE = np.sin(2 * np.pi * np.arange(8) / 8)


def fields(innovation, rows=1):
    """Observed and predicted states, `rows` of each relative innovation."""
    r = np.repeat(np.atleast_1d(innovation), rows)[:, None]
    predicted = np.tile(WAVE, (len(r), 1))
    return {"u0": jnp.asarray(predicted * (1 + r))}, {"u0": jnp.asarray(predicted)}


@jax.jit
def applied(trigger, *arguments):
    return trigger(*arguments)


def due(trigger, innovation, skipped=0, rows=1, key=KEY):
    observed, predicted = fields(innovation, rows)
    count = len(observed["u0"])
    skips = jnp.full(count, skipped)
    return np.asarray(
        applied(trigger, observed, predicted, skips, row_keys(key, count))
    )


def test_innovations_are_relative_to_the_anomaly():
    observed, predicted = fields([0.0, 0.1, 0.5])
    r = relative_innovation(observed, predicted)
    np.testing.assert_allclose(r, [0.0, 0.1, 0.5], atol=1e-12)
    # A mean flow that both have changes nothing; one that was not foreseen is seen.
    mean = {"u0": observed["u0"] + 100.0}, {"u0": predicted["u0"] + 100.0}
    np.testing.assert_allclose(relative_innovation(*mean), r, atol=1e-9)
    shifted = relative_innovation({"u0": predicted["u0"] + 0.3}, predicted)
    np.testing.assert_allclose(shifted, 0.3 / np.sqrt(0.5), rtol=1e-9)
    # Of two fields the squares are averaged, each in its own units.
    both = ({**o, "v0": 1e3 * p["u0"]} for o, p in ((observed, predicted),))
    pair = relative_innovation(*both, {**predicted, "v0": 1e3 * predicted["u0"]})
    np.testing.assert_allclose(pair, r / np.sqrt(2), atol=1e-9)


def test_what_fades_is_measured_by_what_there_was():
    """At first both units are the same; later the prediction's own has shrunk."""
    observed, predicted = fields([0.5, 0.1])
    unit = anomaly(predicted)
    faded = ({"u0": 0.1 * u["u0"]} for u in (observed, predicted))
    found = relative_innovation(*faded, unit=unit)
    np.testing.assert_allclose(found, [0.05, 0.01], rtol=1e-6)
    trigger = InnovationThreshold(0.8, unit={"u0": float(unit["u0"][0])})
    assert due(trigger, [0.3, 0.1]).tolist() == [True, False]


def test_a_uniform_prediction_calls_any_innovation_infinite():
    flat = {"u0": jnp.ones((2, 8))}
    seen = {"u0": flat["u0"].at[1, 0].add(1e-3)}
    np.testing.assert_array_equal(relative_innovation(seen, flat), [0, np.inf])


def test_the_noise_of_sensors_is_no_innovation():
    quiet = jnp.tile(jnp.asarray(WAVE), (4000, 1))
    noise = 0.2 * jax.random.normal(KEY, quiet.shape)
    seen = {"u0": quiet + 0.3 + noise}
    # The mean of max(0, .) is that of the square while the surprise is far above 0.
    square = np.square(relative_innovation(seen, {"u0": quiet}, noise=0.2)).mean()
    deviation = np.sqrt((2 * 0.2**4 + 4 * 0.09 * 0.04) / 8 / 4000) / 0.5
    assert abs(square - 0.09 / 0.5) < 4 * deviation


@pytest.mark.parametrize(
    ("innovation", "share"), [(0.05, 0.25), (0.1, 0.5), (0.19, 0.95)]
)
def test_the_filter_plans_with_exact_probability(innovation, share):
    """At similarity 0.8 new plans come with probability r / 0.2."""
    rows = 4000
    count = due(SimilarityFilter(0.8), innovation, rows=rows).sum()
    assert scipy.stats.binomtest(int(count), rows, share).pvalue > 1e-3


def test_the_filter_is_certain_at_both_ends():
    many = {"rows": 500}
    assert not due(SimilarityFilter(0.8), 0.0, **many).any()
    assert due(SimilarityFilter(0.8), [0.2001, 0.7, 5.0], **many).all()
    assert due(SimilarityFilter(1 - 1e-9), 1e-6, **many).all()
    assert not due(SimilarityFilter(1 - 1e-9), 0.0, **many).any()


def test_thresholds_and_periods_are_deterministic():
    innovations = [0.0, 0.1999, 0.2001, 3.0]
    np.testing.assert_array_equal(
        due(InnovationThreshold(0.8), innovations), [False, False, True, True]
    )
    skips = jnp.arange(4)
    every_third = Periodic(3)(*fields(np.ones(4)), skips, row_keys(KEY, 4))
    np.testing.assert_array_equal(every_third, [False, False, True, True])
    assert due(Periodic(), innovations).all()


@pytest.mark.parametrize("kind", [SimilarityFilter, InnovationThreshold])
def test_skips_in_a_row_are_capped(kind):
    capped = kind(0.8, most_skips=2)
    assert not due(capped, 0.0, skipped=1).any()
    assert due(capped, 0.0, skipped=2).all() and due(capped, 0.0, skipped=9).all()


def test_one_program_serves_triggers_of_other_numbers():
    before = applied._cache_size()
    shares = [due(SimilarityFilter(s), 0.1, rows=64).mean() for s in (0.9001, 0.5, 0.0)]
    assert applied._cache_size() <= before + 1
    assert shares[0] > shares[1] > shares[2]
    assert hash(SimilarityFilter(0.5)) == hash(SimilarityFilter(0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SimilarityFilter(1.0),
        lambda: SimilarityFilter(0.8, most_skips=-1),
        lambda: InnovationThreshold(float("nan")),
        lambda: InnovationThreshold(0.8, noise=-0.1),
        lambda: Periodic(0),
        lambda: InnovationDepth(gain=float("inf")),
        lambda: InnovationDepth(least=-0.5),
    ],
)
def test_numbers_that_make_no_trigger_are_refused(make):
    with pytest.raises(
        ValueError, match=r"below 1, and|every observation or less|A gain, a"
    ):
        make()


def test_depth_grows_with_the_innovation():
    depth = InnovationDepth(gain=10.0, least=0.5)
    np.testing.assert_allclose(depth(*fields([0.0, 0.01, 0.2])), [0.5, 0.5, 2.0])
