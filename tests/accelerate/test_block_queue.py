"""Blocks in a queue: what they are alone, in a chain, and where the answer is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import NAMES, Uncertain, make_fields, make_operator
from tiny import make_tiny

from wdno import generate, rollout, simulate
from wdno.accelerate import block_arrays as arrays
from wdno.accelerate.block_arrays import Overlap
from wdno.accelerate.block_noise import Independent, Overlapping, Pooled
from wdno.accelerate.block_queue import BlockQueue, levels_of
from wdno.accelerate.queue_schedule import Tick, ticks
from wdno.diffusion.keys import row_keys, row_normal, step_keys
from wdno.diffusion.samplers import ddim, dpmpp_2m, heun
from wdno.operator import tasks
from wdno.trajectory import to_dataset

KEY = jax.random.key(0)


def joined(parts):
    """The record of a queue as an array."""
    return jnp.concatenate([part["u"] for part in parts], axis=1)


def driven(state, control, dims):
    """p(state | control): nothing is handed on."""
    return tasks.Task(tasks.whole(state, dims), tasks.piecewise_constant(control, dims))


each_sampler = pytest.mark.parametrize(
    "sampler", [pytest.param(ddim(1.0), marks=pytest.mark.slow), dpmpp_2m()]
)


@each_sampler
def test_blocks_of_equal_noise_that_share_nothing_are_windows_of_their_own(sampler):
    model, rows, places = make_tiny(task=driven), 2, 3
    sigmas, draws = np.asarray(model.levels(3)), row_keys(KEY, places * rows)
    f = make_fields(places * rows, 4)["f"]
    alone = generate(model, {"f": f}, sampler, jnp.asarray(sigmas), draws)["u"]
    blocks = arrays.opened(model, sampler, {"f": f[:rows]}, draws[:rows], places, 0)
    first = step_keys(draws, jnp.zeros(len(draws), int))
    noise = row_normal(blocks.x.shape, blocks.x.dtype, first)
    for place in range(places):
        few = slice(place * rows, (place + 1) * rows)
        new = {"f": f[few]}, noise[few], jnp.asarray(sigmas[0]), draws[few]
        blocks = arrays.begun(blocks, jnp.asarray(place), *new, sampler=sampler)
    for done in range(3):
        tick = Tick(None, (done,) * places, 0, False, False)
        at = levels_of(tick, sigmas, places, rows, noise.dtype)
        how = {"sampler": sampler, "rows": rows, "overlap": Overlap(0, 0.0)}
        blocks = arrays.advanced(model, blocks, at, **how)
        blocks = arrays.handed_on(model, blocks, rows=rows, stride=4)
    np.testing.assert_allclose(blocks.estimate["u"], alone, atol=1e-5)


@each_sampler
def test_blocks_that_wait_for_each_other_are_chained_windows(sampler):
    model, fields = make_tiny(), make_fields(2, 10)
    known = {"u0": fields["u0"]}, {"f": fields["f"]}
    how = {"sampler": sampler, "steps": 3, "key": KEY}
    parts = rollout(model, *known, **how, blocks=BlockQueue(lag=3))
    np.testing.assert_allclose(
        joined(parts), rollout(model, *known, **how)["u"], atol=1e-10
    )


@pytest.mark.parametrize(
    "blocks",
    [
        BlockQueue(),
        BlockQueue(lag=2, noise=Overlapping()),
        BlockQueue(context=2, noise=Pooled()),
        BlockQueue(context=2, later=0.4),
    ],
    ids=repr,
)
def test_a_denoiser_that_knows_the_answer_gives_it_whatever_the_queue(blocks):
    fields = make_fields(frames=15)
    known = {"u0": fields["u0"]}, {"f": fields["f"]}
    parts = list(rollout(make_operator(), *known, steps=3, blocks=blocks, key=KEY))
    assert all(part["u"].shape[1] <= 4 for part in parts)
    np.testing.assert_allclose(joined(parts), fields["u"], atol=1e-8)


def test_blocks_share_the_frames_of_their_contexts():
    """A block that has left is what the next one begins with, to the last bit."""
    model, fields = make_tiny(), make_fields(2, 4)
    how = {"sampler": ddim(1.0), "sigmas": model.levels(2), "keys": row_keys(KEY, 2)}

    def record(count):
        inputs = {"u0": fields["u0"]}, [{"f": fields["f"]}] * count
        return list(BlockQueue(context=2).run(model, *inputs, **how))

    longer, shorter = record(4), record(3)
    assert [part["u"].shape[1] for part in longer] == [2, 2, 2, 4]
    shared = shorter[-1]["u"][:, 2:], longer[-1]["u"][:, :2]
    np.testing.assert_allclose(*shared, atol=1e-10)


def test_a_queue_reads_one_block_ahead_and_keeps_no_more_than_itself():
    model, read = make_tiny(), itertools.count()
    given = ({"f": jnp.full((1, 4, 8), float(next(read)))} for _ in itertools.count())
    how = {"sampler": ddim(), "sigmas": model.levels(2), "keys": row_keys(KEY, 1)}
    endless = BlockQueue().run(model, {"u0": jnp.zeros((1, 8))}, given, **how)
    sizes = []
    for _ in range(6):
        next(endless)
        sizes.append(sum(a.nbytes for a in jax.live_arrays()))
    assert next(read) == 6 + 2
    assert max(sizes[2:]) == min(sizes[2:])


def test_a_queue_is_flushed_and_every_block_takes_all_its_steps():
    found = list(ticks([{}] * 5, steps=4, lag=2))
    taken = np.zeros(5, int)
    for tick in found:
        for place, done in enumerate(tick.done):
            assert taken[tick.head + place] == done
            taken[tick.head + place] += 1
    assert (taken == 4).all()
    assert len(found) == 4 + 4 * 2
    assert sum(tick.leaves for tick in found) == 5
    assert [tick.last for tick in found if tick.leaves] == [False] * 4 + [True]
    assert max(len(tick.done) for tick in found) == BlockQueue(lag=2).depth(4) == 2


@pytest.mark.parametrize("kind", [Independent(), Overlapping(), Pooled()])
def test_noise_of_shared_rows_and_of_a_pool(kind):
    previous = row_normal((2, 6, 3, 1), jnp.float32, row_keys(KEY, 2))
    noise = kind(previous, 2, row_keys(jax.random.key(1), 2))
    same = np.array_equal(noise[:, :2], previous[:, 4:])
    assert same == (kind != Independent())
    pool = [np.sort(np.asarray(rows), axis=1) for rows in (noise, previous)]
    assert np.array_equal(*pool) == (kind == Pooled())
    assert not np.array_equal(noise[:, 2:], previous[:, :4])


@pytest.mark.slow
def test_a_record_of_a_queue_is_written_as_it_comes(tmp_path):
    pytest.importorskip("zarr")
    frames = 14
    coords = {"time": 0.25 * np.arange(frames + 1), "x": np.arange(8) / 8}
    truth = to_dataset(make_fields(3, frames), coords, *NAMES)
    how = {"members": 2, "steps": 2, "batch_size": 4, "key": KEY}
    how |= {"blocks": BlockQueue(context=2), "sampler": ddim(1.0)}
    inputs = make_operator(Uncertain), truth.u.isel(time=0), truth.f
    expected = simulate(*inputs, **how)
    found = simulate(*inputs, **how, out=tmp_path / "a.zarr")
    xr.testing.assert_identical(found.load(), expected)
    assert expected.sizes["time"] == frames + 1


UNDRIVEN = {"u0": jnp.zeros((1, 8))}, {"f": jnp.zeros((1, 8, 8))}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"lag": 0}, "lag=0"),
        ({"context": -1}, "context=-1"),
        ({"later": 1.5}, "later=1.5"),
        ({"context": 3}, "no room for twice 3"),
        ({"context": 1}, "whole rows of coefficients, of 2 frames"),
        ({"lag": 3}, "over before the next one begins 3 steps"),
    ],
)
def test_a_queue_refuses_what_makes_none(how, message):
    with pytest.raises(ValueError, match=message):
        next(
            rollout(make_tiny(), *UNDRIVEN, steps=2, blocks=BlockQueue(**how), key=KEY)
        )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sampler": heun()}, "asks 2 times"),
        ({"sigmas": np.array([1.0, 2.0, 0.0])}, "decrease to 0"),
        ({"sigmas": np.array([1.0])}, "two or more"),
    ],
)
def test_a_queue_refuses_samplers_and_levels(how, message):
    model = make_tiny()
    how = {"sampler": ddim(), "sigmas": model.levels(2), "keys": row_keys(KEY, 1)} | how
    given = [{"f": jnp.zeros((1, 4, 8))}]
    with pytest.raises(ValueError, match=message):
        next(BlockQueue().run(model, UNDRIVEN[0], given, **how))


@pytest.mark.parametrize(
    ("task", "how", "message"),
    [
        (tasks.simulation, {"begun": 2}, "begun=2"),
        (tasks.refinement, {}, r"refines \['u'\]"),
    ],
)
def test_refiners_and_records_that_were_begun_have_no_queue(task, how, message):
    control = {**UNDRIVEN[1], "u_coarse": jnp.zeros((1, 4, 4))}
    inputs = make_tiny(task=task), UNDRIVEN[0], control
    with pytest.raises(ValueError, match=message):
        rollout(*inputs, **how, blocks=BlockQueue(), key=KEY)
