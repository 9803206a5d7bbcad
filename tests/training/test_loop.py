"""The training loop: its optimiser, its record on disk, and that it resumes exactly."""

import functools
import itertools
import json
import math
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from wdno.networks.layers import block_end
from wdno.training.averaging import power_of_average
from wdno.training.config import TrainingConfig
from wdno.training.loop import fit
from wdno.training.pending import IN_FLIGHT
from wdno.training.prefetch import AHEAD, prefetch
from wdno.training.run_log import on_sigterm
from wdno.training.update import Run, recomputing, train_step

HEAD = nnx.All(nnx.Param, nnx.PathContains("head"))
KEY = jax.random.key(0)


update = nnx.jit(train_step, static_argnames=("loss", "prepare"))


class Network(nnx.Module):
    """Two layers: `fit` knows nothing of diffusion."""

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.body = nnx.Linear(3, 16, rngs=rngs)
        self.head = nnx.Linear(16, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.tanh(self.body(x)))


def exact(model, batch, key):
    """Mean squared error, without randomness."""
    return jnp.mean(jnp.square(model(batch["x"]) - batch["y"]))


def noisy(model, batch, key):
    """Mean squared error at inputs with a little noise."""
    noise = jax.random.normal(key, batch["x"].shape, batch["x"].dtype)
    return exact(model, {**batch, "x": batch["x"] + 0.1 * noise}, key)


def steep(model, batch, key):
    return 1000 * exact(model, batch, key)


def draw(step):
    """The batch of a step."""
    generator = np.random.default_rng(step)
    x = generator.normal(size=(8, 3)).astype(np.float32)
    return {"x": x, "y": np.stack([x.sum(axis=1), x[:, 0] * x[:, 1]], axis=1)}


def parameters(model):
    """Arrays of a module by path."""
    state = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    flat = nnx.traversals.flatten_mapping(state)
    return {path: np.asarray(value) for path, value in flat.items()}


def checkpoint(directory, step):
    """Content of a checkpoint: model, optimiser, average and seconds."""
    with ocp.CheckpointManager(Path(directory).absolute() / "checkpoints") as manager:
        return manager.restore(step, args=ocp.args.StandardRestore())


def read_log(directory, without=("seconds", "samples_per_second")):
    lines = (Path(directory) / "log.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [{k: v for k, v in entry.items() if k not in without} for entry in entries]


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


# Length and rate


@pytest.mark.parametrize(
    "lengths",
    [{}, {"steps": 5, "budget": 1.0}, {"steps": 0}, {"budget": 0.0}, {"budget": -1.0}],
)
def test_a_run_has_one_positive_length(lengths):
    with pytest.raises(ValueError, match="Give exactly one"):
        TrainingConfig(**lengths)


def test_the_rate_rises_linearly_and_falls_by_half_a_cosine():
    config = TrainingConfig(steps=100, learning_rate=0.5, warmup=0.2)
    quarter = 0.25 * (1 + math.sqrt(0.5))
    expected = {0: 0, 0.1: 0.25, 0.2: 0.5, 0.4: quarter, 0.6: 0.25, 1: 0, 1.1: 0}
    for progress, rate in expected.items():
        assert config.rate(float(progress)) == pytest.approx(rate, abs=1e-15)
    assert TrainingConfig(steps=1, learning_rate=0.5, warmup=0.0).rate(0.0) == 0.5


def test_progress_is_the_share_of_steps_or_seconds():
    assert TrainingConfig(steps=8).progress(2, seconds=100.0) == 0.25
    assert TrainingConfig(budget=8.0).progress(100, seconds=2.0) == 0.25


# One step


def test_the_first_update_is_adam_with_decoupled_decay():
    """With moments corrected for their start, Adam's first step is the gradient's sign.

    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
    """
    model, rate = Network(), np.float32(0.01)
    before, batch = parameters(model), draw(0)
    gradient = nnx.to_pure_dict(nnx.jit(nnx.grad(exact))(model, batch, KEY))
    gradient = nnx.traversals.flatten_mapping(gradient)
    run = Run(model, TrainingConfig(steps=1, weight_decay=0.1, gradient_clip=1e9))
    metrics = update(run, exact, batch, rate, KEY)
    for path, after in parameters(model).items():
        slope = np.asarray(gradient[path])
        direction = slope / (np.abs(slope) + 1e-8) + 0.1 * before[path]
        np.testing.assert_allclose(after, before[path] - rate * direction, rtol=1e-4)
    norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradient.values()))
    assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_long_gradients_are_clipped_but_reported_whole():
    runs = [Run(Network(), TrainingConfig(steps=1)) for _ in range(2)]
    norms = [
        float(update(run, loss, draw(0), np.float32(0), KEY)["gradient_norm"])
        for run, loss in zip(runs, (exact, steep), strict=True)
    ]
    assert norms[1] == pytest.approx(1000 * norms[0], rel=1e-4)
    assert norms[0] > 1
    for run in runs:
        first_moment = jax.tree.leaves(run.optimizer.opt_state[1].mu)
        norm = math.sqrt(sum(float(np.sum(np.square(m))) for m in first_moment))
        assert norm == pytest.approx(0.1 * 1.0, rel=1e-5)  # (1 - b1) times the bound


@pytest.mark.parametrize("wrt", [nnx.Param, HEAD])
def test_the_average_is_of_the_parameters_seen_and_not_of_the_first(wrt):
    """Weights of the n-th update are n^(γ+1) - (n-1)^(γ+1), so about n^γ."""
    width, steps = 0.2, 5
    config = TrainingConfig(steps=steps, average_width=width)
    run = Run(Network(), config, wrt)
    history = []
    for step in range(steps):
        update(run, exact, draw(step), jnp.float32(0.05), KEY)
        history.append(parameters(run.model))
    powers = np.arange(steps + 1.0) ** (power_of_average(width) + 1)
    weights = np.diff(powers) / powers[-1]
    average = parameters(run.average.apply_to(run.model))
    for path, value in average.items():
        terms = [w * entry[path] for w, entry in zip(weights, history, strict=True)]
        np.testing.assert_allclose(value, sum(terms), rtol=1e-5, atol=1e-7)
    assert not np.allclose(average["head", "kernel"], history[-1]["head", "kernel"])


def test_batches_are_prepared_by_the_averaged_model(tmp_path):
    """Of updates far apart, the average is not the last; no gradient is asked for."""

    def told(model, batch, key):
        return {**batch, "y": 0.1 * model(batch["x"])}

    run = Run(Network(), TrainingConfig(steps=3, average_width=0.2))
    for step in range(3):
        average = run.average.apply_to(run.model)
        target = 0.1 * average(draw(step)["x"])
        expected = exact(run.model, {**draw(step), "y": target}, KEY)
        assert step < 2 or not np.allclose(target, 0.1 * run.model(draw(step)["x"]))
        found = update(run, exact, draw(step), jnp.float32(0.05), KEY, told)
        np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)


def updated(loss, model=Network, **how):
    run = Run(model(), TrainingConfig(steps=1, **how))
    return update(run, loss, draw(0), np.float32(0.1), KEY), parameters(run.model)


def test_pieces_of_a_batch_make_the_update_of_all_of_it():
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
    found, expected = updated(exact, pieces=4), updated(exact)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        close(one, other)
    with pytest.raises(ValueError, match="8 rows are not divided by `pieces` = 3"):
        updated(exact, pieces=3)
    with pytest.raises(ValueError, match="one piece or more, but `pieces` is 0"):
        TrainingConfig(steps=1, pieces=0)


class Deep(nnx.Module):
    """Many blocks of many features between few."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.inner = nnx.List(nnx.Linear(3, 512, rngs=rngs) for _ in range(4))
        self.outer = nnx.List(nnx.Linear(512, 3, rngs=rngs) for _ in range(4))

    def __call__(self, x):
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = block_end(x + outer(nnx.tanh(inner(x))))
        return x[:, :2]


def test_between_blocks_alone_features_are_kept_and_nothing_changes():
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
    found, expected = (updated(exact, Deep, recompute=r) for r in (True, False))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        close(one, other)
    definition, state = nnx.split(Deep())

    def of(state, batch):
        return exact(nnx.merge(definition, state), batch, KEY)

    rows = {"x": np.zeros((640, 3), "f4"), "y": np.zeros((640, 2), "f4")}
    for recompute, most in ((True, 2 * 640 * 5 * 3), (False, math.inf)):
        asked = recomputing(of) if recompute else of
        pull = jax.jit(lambda *at, of=asked: jax.vjp(of, *at)[1])(state, rows)
        kept = [leaf for leaf in jax.tree.leaves(pull) if 640 in leaf.shape]
        wide = [leaf.shape for leaf in kept if 512 in leaf.shape]
        assert bool(wide) != recompute
        assert sum(leaf.size for leaf in kept) <= most


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_an_average_is_as_wide_as_asked_whatever_the_length_of_the_run(width):
    for steps in (1000, 10_000):
        times = np.arange(1.0, steps + 1) / steps
        weights = times ** power_of_average(width)
        mean = np.average(times, weights=weights)
        spread = np.sqrt(np.average((times - mean) ** 2, weights=weights))
        assert spread == pytest.approx(width, rel=0.01)


def test_averages_wider_than_the_run_are_refused():
    with pytest.raises(ValueError, match="below 0.28, but `average_width` is 0.3"):
        TrainingConfig(steps=1, average_width=0.3)


# Whole runs


def test_a_tiny_network_overfits_one_batch(tmp_path):
    config = TrainingConfig(steps=400, learning_rate=0.03, average_width=0.1)
    trained = fit(Network(), exact, lambda step: draw(0), config, tmp_path)
    first = read_log(tmp_path)[0]["loss"]
    assert exact(trained, draw(0), KEY) < 1e-3 * first


def test_a_log_without_interval_holds_every_step_and_the_final_validation(tmp_path):
    def validate(model):
        return {"error": float(exact(model, draw(99), KEY))}

    config = TrainingConfig(steps=5, learning_rate=0.05, log_every=0.0)
    model = Network()
    trained = fit(model, exact, draw, config, tmp_path, validate=validate)
    *steps, last = read_log(tmp_path, without=())
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5]
    assert steps[0]["loss"] == pytest.approx(float(exact(Network(), draw(0), KEY)))
    seconds = [line["seconds"] for line in steps]
    assert seconds == sorted(seconds)
    for line in steps:
        assert line.keys() == {
            "step",
            "seconds",
            "loss",
            "gradient_norm",
            "samples_per_second",
        }
    elapsed = seconds[-1] - seconds[-2]
    assert 8 / steps[-1]["samples_per_second"] == pytest.approx(elapsed, abs=2e-3)
    # The averaged parameters are those that are validated and returned.
    assert last == {"step": 5, "seconds": seconds[-1], **validate(trained)}
    assert validate(model) != validate(trained)


def test_intervals_of_validation_and_checkpoints_are_seconds_of_training(tmp_path):
    calls = []

    def validate(model):
        calls.append(1)
        return {"error": 0.0}

    often = TrainingConfig(steps=4, validate_every=0.0, checkpoint_every=0.0)
    fit(Network(), exact, draw, often, tmp_path / "often", validate=validate)
    assert len(calls) == 4 + 1
    saved = {path.name for path in (tmp_path / "often/checkpoints").iterdir()}
    assert {"3", "4"} <= saved
    assert "1" not in saved
    fit(Network(), exact, draw, TrainingConfig(steps=4), tmp_path / "seldom")
    saved = {path.name for path in (tmp_path / "seldom/checkpoints").iterdir()}
    assert "4" in saved
    assert "3" not in saved


def test_a_budget_is_what_the_clock_counts_in_training(tmp_path):
    ticks = itertools.count()
    config = TrainingConfig(budget=0.5, log_every=0.0)
    fit(Network(), exact, draw, config, tmp_path, clock=lambda: next(ticks) * 0.125)
    seconds = [line["seconds"] for line in read_log(tmp_path, without=())]
    assert seconds == [0.125, 0.25, 0.375, 0.5]


def test_a_line_of_the_log_has_the_means_since_the_one_before(tmp_path):
    logs = []
    for every in (0.0, 3.0):
        ticks, config = itertools.count(), TrainingConfig(steps=8, log_every=every)
        folder = tmp_path / str(every)
        fit(Network(), noisy, draw, config, folder, clock=lambda t=ticks: next(t) * 1.0)
        logs.append(read_log(folder))
    every, seldom = logs
    steps = [line["step"] for line in seldom]
    assert len(every) == steps[-1] == 8 and 2 <= len(steps) <= 4
    for begin, line in zip([0, *steps], seldom, strict=False):
        for name in ("loss", "gradient_norm"):
            mean = np.mean([each[name] for each in every[begin : line["step"]]])
            assert line[name] == pytest.approx(mean, rel=1e-6)


def test_a_clock_is_ahead_of_the_device_by_a_few_steps_at_most(tmp_path):
    """The host gives out steps in no time, and must not take that for training."""
    done, shape = [], jax.ShapeDtypeStruct((), jnp.float32)

    def rest(x):
        time.sleep(0.005)
        done.append(x)
        return np.float32(0 * x)

    def slow(model, batch, key):
        rested = jax.pure_callback(rest, shape, jax.random.uniform(key))
        return exact(model, batch, key) + rested

    config = TrainingConfig(budget=20.0, log_every=60.0)
    fit(Network(), slow, draw, config, tmp_path, clock=lambda: float(len(done)))
    (line,) = read_log(tmp_path)  # the host has looked once, at the end
    assert 20 <= line["step"] <= 20 + IN_FLIGHT


def test_only_parameters_that_pass_the_filter_change(tmp_path):
    model, config = Network(), TrainingConfig(steps=3)
    trained = fit(model, exact, draw, config, tmp_path, wrt=HEAD)
    before, after = parameters(Network()), parameters(trained)
    for path in before:
        same = np.array_equal(before[path], after[path])
        assert same == (path[0] == "body")
        assert np.array_equal(before[path], parameters(model)[path]) == same
    run = checkpoint(tmp_path, 3)["run"]
    assert run["average"]["params"].keys() == {"head"}
    moments = jax.tree.leaves(run["optimizer"]["opt_state"])
    assert max(np.size(moment) for moment in moments) == 16 * 2


def test_errors_of_the_data_are_not_hidden(tmp_path):
    def broken(step):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fit(Network(), exact, broken, TrainingConfig(steps=3), tmp_path)


# Interruption


def stopping_at(step):
    """Batches whose loading brings SIGTERM."""

    def batches(n):
        if n == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(n)

    return batches


def stop(directory, config, **how):
    """Run until SIGTERM and return the step of the checkpoint."""
    with pytest.raises(SystemExit) as stopped:
        fit(Network(), noisy, stopping_at(5), config, directory, **how)
    assert stopped.value.code == 143
    steps = [path.name for path in (Path(directory) / "checkpoints").iterdir()]
    latest = max(int(name) for name in steps if name.isdigit())
    assert 0 < latest < 12
    assert read_log(directory)[-1]["step"] == latest
    return latest


@pytest.mark.parametrize("wrt", [nnx.Param, HEAD])
def test_a_resumed_run_repeats_the_uninterrupted_one_bit_for_bit(tmp_path, wrt):
    how = {
        "config": TrainingConfig(steps=12, learning_rate=0.05, log_every=0.0),
        "validate": lambda model: {"error": float(exact(model, draw(99), KEY))},
        "wrt": wrt,
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = fit(Network(), noisy, draw, directory=whole, **how)
    stop(parts, **how)
    model = Network(seed=1)  # what it starts from is in the checkpoint
    found = fit(model, noisy, draw, directory=parts, resume=True, **how)
    assert_same(parameters(found), parameters(expected))
    assert_same(checkpoint(parts, 12)["run"], checkpoint(whole, 12)["run"])
    assert read_log(parts) == read_log(whole)
    seconds = [line["seconds"] for line in read_log(parts, without=())]
    assert seconds == sorted(seconds)


def test_a_run_outside_the_main_thread_has_no_signals_but_trains(tmp_path):
    config, results = TrainingConfig(steps=2), []
    thread = threading.Thread(
        target=lambda: results.append(fit(Network(), exact, draw, config, tmp_path))
    )
    thread.start()
    thread.join()
    assert len(results) == 1


def test_the_signal_handler_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with on_sigterm() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped()
    assert signal.getsignal(signal.SIGTERM) == before


def test_lines_after_the_last_checkpoint_are_written_anew(tmp_path):
    """A killed run logs steps that no checkpoint holds, perhaps not to the end."""
    config = TrainingConfig(steps=4, checkpoint_every=0.0)
    fit(Network(), noisy, draw, config, tmp_path)
    expected = read_log(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints/4")
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')
    fit(Network(), noisy, draw, config, tmp_path, resume=True)
    assert read_log(tmp_path) == expected


def test_a_complete_run_that_is_resumed_logs_its_validation_once(tmp_path):
    """A kill may come after the last line of the log."""
    how = {"validate": lambda model: {"error": 0.5}, "resume": True}
    for _ in range(2):
        fit(Network(), exact, draw, TrainingConfig(steps=2), tmp_path, **how)
    assert [line["step"] for line in read_log(tmp_path) if "error" in line] == [2]
    fit(Network(), exact, draw, TrainingConfig(steps=3), tmp_path, **how)
    assert [line["step"] for line in read_log(tmp_path) if "error" in line] == [2, 3]


def test_resuming_a_new_folder_begins_a_run(tmp_path):
    fit(Network(), exact, draw, TrainingConfig(steps=1), tmp_path, resume=True)
    assert read_log(tmp_path)[-1]["step"] == 1


def test_a_new_run_does_not_overwrite_another(tmp_path):
    config = TrainingConfig(steps=1)
    fit(Network(), exact, draw, config, tmp_path)
    log = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match="one at step 1. Resume it or choose another"):
        fit(Network(), exact, draw, config, tmp_path)
    assert (tmp_path / "log.jsonl").read_bytes() == log


def spoiled(step):
    batch = draw(step)
    return {**batch, "y": batch["y"] * np.float32(np.nan if step == 3 else 1)}


def test_a_bad_batch_stops_the_run_and_spares_the_checkpoint(tmp_path):
    config = TrainingConfig(steps=6, checkpoint_every=0.0)
    message = r"is nan at step 3 \(batch 3\).*last good checkpoint, step 3"
    with pytest.raises(FloatingPointError, match=message):
        fit(Network(), noisy, spoiled, config, tmp_path / "spoiled")
    found = fit(Network(), noisy, draw, config, tmp_path / "spoiled", resume=True)
    expected = fit(Network(), noisy, draw, config, tmp_path / "good")
    assert_same(parameters(found), parameters(expected))


def test_a_bad_batch_is_noticed_later_but_before_anything_is_kept(tmp_path):
    config = TrainingConfig(steps=8, log_every=60.0)
    message = r"is nan at step 3 \(batch 3\).*no checkpoint yet"
    with pytest.raises(FloatingPointError, match=message):
        fit(Network(), noisy, spoiled, config, tmp_path)
    assert [line["step"] for line in read_log(tmp_path)] == [3]


def test_a_bad_first_batch_leaves_no_checkpoint_and_says_so(tmp_path):
    def spoiled(step):
        return {name: np.float32(np.inf) * v for name, v in draw(step).items()}

    with pytest.raises(FloatingPointError, match="no checkpoint yet"):
        fit(Network(), exact, spoiled, TrainingConfig(steps=2), tmp_path)


# Pieces


def test_batches_are_loaded_ahead_in_order():
    loaded = []

    def batches(step):
        loaded.append(step)
        return 10 * step

    stream = prefetch(batches, 3)
    assert [next(stream) for _ in range(4)] == [30, 40, 50, 60]
    stream.close()
    assert loaded == list(range(3, 3 + len(loaded)))
    assert 4 <= len(loaded) <= 4 + AHEAD
