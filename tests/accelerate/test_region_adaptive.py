"""Region-adaptive sampling: identities, who is refreshed, and what is refused."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import make_fields
from tiny import make_tiny
from tokenwise import transformer

from wdno.accelerate import region_adaptive as regional
from wdno.accelerate import region_scores as scores
from wdno.accelerate.generator import Unguided
from wdno.accelerate.region_adaptive import region_adaptive
from wdno.accelerate.region_selection import select, urgency
from wdno.accelerate.regions import ESTIMATE, NOISE, Regions
from wdno.accelerate.stream_batch import Request, StreamBatch
from wdno.diffusion.denoiser import TokenBackbone
from wdno.diffusion.guidance import guide
from wdno.diffusion.keys import row_keys, step_keys
from wdno.diffusion.samplers import ddim, dpmpp_2m, heun, sample, start
from wdno.networks.token_transformer import forgotten
from wdno.operator.generation import Context, denoiser, generate, prepare, sample_shape

KEY = jax.random.key(0)
tokens = cache(transformer)
HALF = Regions(ratio=0.5, start=2, resets=(4,), oldest=3)


def shape():
    return sample_shape(tokens(), 2)


@cache
def sigmas():
    with jax.ensure_compile_time_eval():  # which may be asked for within a program
        return np.asarray(tokens().levels(6), np.float32)


@pytest.fixture(scope="module")
def known():
    return {name: jnp.asarray(u, jnp.float32) for name, u in make_fields(2).items()}


@partial(jax.jit, static_argnames=("sampler", "wish"))
def drawn(model, condition, *, sampler, wish=None):
    denoise = denoiser(model, Context(condition, None), wish)
    return sample(sampler, denoise, shape(), jnp.asarray(sigmas()), KEY)


@pytest.fixture(scope="module")
def condition(known):
    return prepare(tokens(), known).condition


@pytest.mark.parametrize("base", [dpmpp_2m(), heun()])
def test_ratio_1_is_the_plain_sampler_exactly(base, condition):
    every = region_adaptive(base, Regions(ratio=1.0))
    came = drawn(tokens(), condition, sampler=every)
    np.testing.assert_array_equal(came, drawn(tokens(), condition, sampler=base))


@partial(jax.jit, static_argnames=("base", "regions"))
def trace(model, condition, keys, *, base, regions):
    """Every step's x and state, by hand."""
    denoise = denoiser(model, Context(condition, None))
    sampler = region_adaptive(base, regions)
    levels = jnp.broadcast_to(jnp.asarray(sigmas())[:, None], (len(sigmas()), 2))

    def advance(carry, level):
        (x, state), (here, there, index) = carry, level
        draw = step_keys(keys, jnp.full(2, index))
        after = sampler.step(denoise, x, here, there, state, draw)
        return after, after

    x = start(shape(), levels[0], keys)
    numbers = jnp.arange(1, len(levels))
    _, found = jax.lax.scan(
        advance, (x, sampler.init(x)), (levels[:-1], levels[1:], numbers)
    )
    return found


def test_a_step_refreshes_half_of_the_tokens_and_keeps_the_others(condition):
    """Dense steps refresh all, others exactly half, and no value becomes too old."""
    _, state = trace(tokens(), condition, row_keys(KEY, 2), base=ddim(), regions=HALF)
    new = np.asarray(state.age == 1)
    share = new.reshape(*new.shape[:2], -1).mean(axis=2)
    wanted = np.array([1, 1, 0.5, 0.5, 1, 0.5])
    np.testing.assert_array_equal(share, np.stack([wanted, wanted], axis=1))
    kept = np.asarray(state.kept)
    same = np.isclose(kept[1:], kept[:-1], 0, 0).all(axis=-1)
    np.testing.assert_array_equal(same, ~new[1:])
    assert int(state.age.max()) <= HALF.oldest + 1


def test_with_keys_and_values_refreshed_tokens_see_the_others(condition):
    """Right after a dense step at the same level, they are what a dense call says."""
    context = forgotten(tokens().denoiser.backbone.config)
    sampler = region_adaptive(ddim(), replace(HALF, start=1, context=context))
    keys, level = row_keys(KEY, 2), jnp.full(2, 2.0, jnp.float32)
    x = start(shape(), level, keys)

    @jax.jit
    def twice(x, keys):
        denoise = denoiser(tokens(), Context(condition, None))
        near = jnp.nextafter(level, jnp.zeros_like(level))
        after, state = sampler.step(denoise, x, level, near, sampler.init(x), keys)
        moved = state._replace(kept=jnp.zeros_like(x))
        _, last = sampler.step(denoise, after, near, 0 * level, moved, keys)
        return last, denoise(after, near)

    state, dense = twice(x, keys)
    new = np.asarray(state.age == 1)
    assert new.mean() == 0.5
    np.testing.assert_allclose(state.kept[new], dense[new], 1e-3, 1e-3)


@pytest.mark.parametrize("memory", [ESTIMATE, NOISE])
def test_a_remembered_quantity_is_recalled(memory):
    x, x0, other = jax.random.normal(KEY, (3, 2, 4, 4, 1))
    sigma = jnp.array([0.5, 3.0])
    kept = memory.keep(x, sigma, x0)
    np.testing.assert_allclose(memory.recall(x, sigma, kept), x0, 1e-5, 1e-6)
    moved = memory.recall(other, sigma, kept)
    level = sigma[:, None, None, None]
    still = moved if memory is ESTIMATE else (other - moved) / level
    np.testing.assert_allclose(still, kept, 1e-5, 1e-5)


def test_guidance_moves_tokens_that_are_not_refreshed(condition):
    """By the whole gradient: an estimate of x0 that none refreshes still descends."""
    target = guide(lambda u: jnp.square(u["u"]).sum(axis=(1, 2)), tokens().targets, 0.3)
    denoise = denoiser(tokens(), Context(condition, None), target)
    plain = denoiser(tokens(), Context(condition, None))
    sampler = region_adaptive(ddim(), Regions(ratio=0.5, start=1, oldest=9))
    keys, level = row_keys(KEY, 2), jnp.full(2, 2.0, jnp.float32)
    x = start(shape(), level, keys)

    @jax.jit
    def stepped(x, keys):
        state = sampler.init(x)._replace(kept=jnp.ones_like(x), taken=jnp.full(2, 5))
        to = jnp.zeros(2, jnp.float32)
        return [
            sampler.step(wished, x, level, to, state, keys)
            for wished in (denoise, plain)
        ]

    (came, state), (unguided, _) = stepped(x, keys)
    old = np.asarray(state.age) > 1
    np.testing.assert_array_equal(np.asarray(unguided)[old], 1)

    def energy(z):
        return jnp.square(tokens().targets.synthesis(z)["u"]).sum()

    wanted = unguided - 0.3 * 2.0 * jax.grad(energy)(unguided)
    np.testing.assert_allclose(came, wanted, 1e-4, 1e-4)


@pytest.mark.slow
def test_rows_of_a_stream_are_what_they_would_be_alone(known):
    """Though some are in dense steps while others are not."""
    sampler = region_adaptive(dpmpp_2m(), HALF)
    stream = StreamBatch(Unguided(tokens(), sampler), sigmas())
    given = {"u0": known["u0"][:1], "f": known["f"][:1]}
    came = [stream.push(Request(given, jax.random.key(n))) for n in range(6)]
    alone = generate(tokens(), given, sampler, jnp.asarray(sigmas()), jax.random.key(0))
    np.testing.assert_allclose(came[-1]["u"], alone["u"], 1e-4, 1e-4)


def test_no_token_waits_too_long_whatever_its_score():
    """Even if a few have by far the largest scores at every step."""
    kept, oldest, count = 3, 4, 15
    liked = jnp.where(jnp.arange(count) < kept, 1e6, 1.0)[None]
    step = jax.jit(partial(select, kept=kept, oldest=oldest))
    age, refreshed = jnp.ones((1, count), int), np.zeros(count, int)
    for _ in range(40):
        places = step(liked, age)
        assert len(np.unique(places)) == kept
        refreshed[np.asarray(places[0])] += 1
        age = (age + 1).at[0, places[0]].set(1)
        assert int(age.max()) <= oldest + 1
    assert refreshed.min() == 8 and refreshed.sum() == 40 * kept


def test_without_need_the_largest_scores_are_refreshed():
    score = jnp.array([[3.0, 1.0, 4.0, 1.5, 9.0, 2.0]])
    places = select(score, jnp.ones((1, 6), int), kept=2, oldest=9)
    assert set(places[0].tolist()) == {4, 2}
    for age, wanted in (([1, 9, 1, 1, 1, 10], {5, 4}), ([1, 10, 1, 1, 1, 10], {5, 1})):
        due = select(score, jnp.array([age]), kept=2, oldest=9)
        assert set(due[0].tolist()) == wanted


def test_waiting_makes_a_token_more_urgent():
    urgent = urgency(jnp.ones((1, 3)), jnp.array([[1, 2, 3]]), 0.1)
    np.testing.assert_allclose(urgent[0], np.exp([0, 0.1, 0.2]), 1e-6)


# --- scores ---------------------------------------------------------------------------


def seen(**changed):
    draw = np.random.default_rng(0)
    kept, before, recalled, whole = jnp.asarray(draw.normal(size=(4, 2, 6, 5, 3)))
    values = {
        "remembered": kept,
        "before": before,
        "recalled": recalled,
        "whole": lambda: whole,
        "keys": row_keys(KEY, 2),
        "grid": (2, 3),
    }
    return scores.Evidence(**(values | changed))


def test_scores_find_the_token_that_differs():
    still = jnp.ones((2, 6, 5, 3))
    moved = still.at[:, 4].add(jnp.array([1.0, -1.0, 0.0]))
    cases = {
        scores.change: {"remembered": moved, "before": still},
        scores.deviation: {"remembered": moved},
        scores.channel_energy((0,)): {"recalled": moved},
        scores.oracle: {"recalled": still, "whole": lambda: moved},
    }
    for score, changed in cases.items():
        found = score(seen(**changed))
        assert found.argmax(axis=1).tolist() == [4, 4]
        assert scores.reciprocal(score)(seen(**changed)).argmin(axis=1)[0] == 4


def test_deviation_does_not_depend_on_the_units_of_a_subband():
    units = jnp.array([1.0, 100.0, 1e-3])[None, None, None]
    one = seen()
    other = seen(remembered=one.remembered * units)
    np.testing.assert_allclose(scores.deviation(other), scores.deviation(one), 1e-5)


def test_random_scores_of_a_row_are_its_own():
    both = scores.random(seen())
    one = seen(remembered=seen().remembered[:1], keys=row_keys(KEY, 2)[:1])
    np.testing.assert_array_equal(scores.random(one)[0], both[0])
    assert not np.array_equal(both[0], both[1])


def test_scores_are_added_in_units_of_their_means_and_spread():
    twice = scores.weighted((2.0, scores.change), (1.0, lambda e: 7.0 + 0 * e.grid[0]))
    one = seen()
    plain = scores.change(one)
    scaled = scores.weighted((2.0, scores.change))(one)
    np.testing.assert_allclose(scaled, 2 * plain / plain.mean(1, keepdims=True), 1e-5)
    assert callable(twice)
    peak = lambda e: jnp.eye(6)[jnp.array([0, 5])]  # noqa: E731
    near = scores.dilated(peak)(one).reshape(2, 2, 3)
    np.testing.assert_array_equal(near[0], [[1, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(near[1], [[0, 1, 1], [0, 1, 1]])


def test_evidence_of_a_step_knows_what_a_dense_call_would_say(condition):
    denoise = denoiser(tokens(), Context(condition, None))
    keys, level = row_keys(KEY, 2), jnp.full(2, 2.0, jnp.float32)
    x = start(shape(), level, keys)
    state = region_adaptive(ddim(), HALF).init(x)

    @jax.jit
    def errors(x, keys, kept):
        told = state._replace(kept=kept)
        return scores.oracle(
            regional.evidence(denoise, x, level, told, keys, HALF)
        ), denoise(x, level)

    error, whole = errors(x, keys, jnp.zeros_like(x))
    assert float(error.min()) > 0
    right, _ = errors(x, keys, whole)
    np.testing.assert_allclose(right, 0 * right, atol=1e-5)


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ratio": 0.0}, r"lies in \(0, 1\], but `ratio` is 0.0"),
        ({"ratio": 1.5}, "`ratio` is 1.5"),
        ({"ratio": float("nan")}, "`ratio` is nan"),
        ({"start": 0}, "'start' is 0"),
        ({"starvation": -0.1}, "more urgent, never less"),
        ({"resets": (-1,)}, "Steps count from 0"),
        ({"ratio": 0.1, "oldest": 4}, "once in 10.0 steps at best"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Regions(**setting)


def test_a_share_of_the_tokens_is_rounded_up_but_not_by_rounding_errors():
    assert Regions(0.1, oldest=9).refreshed(30) == 3
    assert Regions(0.1, oldest=9).refreshed(31) == 4
    assert Regions(1 / 49, oldest=48).refreshed(49) == 1


def test_a_score_of_no_channel_is_refused():
    with pytest.raises(ValueError, match="`channels` is empty"):
        scores.channel_energy(())


def test_a_backbone_without_tokens_is_refused(known):
    model, sampler = make_tiny(), region_adaptive(ddim(), Regions())
    assert not isinstance(model.denoiser.backbone.thaw(), TokenBackbone)
    with pytest.raises(ValueError, match="kind Perceptron cannot"):
        generate(model, known, sampler, jnp.asarray(sigmas()), KEY)
    with pytest.raises(ValueError, match="takes that of a model"):
        sample(sampler, lambda x, sigma: x, shape(), jnp.asarray(sigmas()), KEY)
