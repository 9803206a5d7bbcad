"""Recipes: which noise and which windows a model is trained on, and on which grid."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import wdno
from wdno.networks import UNetConfig
from wdno.recipes import RECIPES, NoiseLevels, Recipe, WindowBatches, assemble
from wdno.release import train
from wdno.systems import Burgers
from wdno.training import TrainingConfig
from wdno.trajectory import to_arrays

TINY = Recipe(
    ("u",),
    ("f",),
    window=4,
    levels=1,
    network=UNetConfig((4,), blocks=1, heads=1),
    batch_size=2,
)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def dataset():
    return Burgers(duration=0.8, frames=8, points=16).trajectories(KEY, samples=3)


def numbered(rows=5, frames=9):
    """Records whose values tell row and instant: 1000 row + instant."""
    row = 1000 * np.arange(rows)[:, None, None]
    instants = row + np.arange(frames + 1)[None, :, None] + np.zeros((1, 1, 2))
    return {"u0": instants[:, 0], "u": instants[:, 1:], "f": instants[:, :-1]}


def starts(batch):
    return np.asarray(batch["u0"][:, 0]) % 1000


# Noise levels


def test_noise_levels_are_the_largest_or_log_normal():
    levels = NoiseLevels(sigma_max=20.0, share_at_max=0.6, mean=-1.0, std=0.5)
    draws = np.asarray(levels.distribution()(KEY, (20_000,)))
    largest = draws == 20.0
    assert largest.mean() == pytest.approx(0.6, abs=0.02)
    others = np.log(draws[~largest])
    assert others.mean() == pytest.approx(-1.0, abs=0.03)
    assert others.std() == pytest.approx(0.5, abs=0.03)


# Windows


def test_a_batch_depends_on_seed_and_step_alone():
    first, second = (WindowBatches(numbered(), TINY, seed=1) for _ in range(2))
    backwards = {step: second(step) for step in reversed(range(4))}
    for step in range(4):
        jax.tree.map(np.testing.assert_array_equal, first(step), backwards[step])
    distinct = [first(step)["u"] for step in range(8)]
    distinct += [
        WindowBatches(numbered(), TINY, seed=2)(step)["u"] for step in range(8)
    ]
    assert len({np.asarray(u).tobytes() for u in distinct}) == 16


def test_windows_are_stretches_that_begin_with_their_initial_state():
    batch = WindowBatches(numbered(), replace(TINY, batch_size=200))(0)
    assert {name: v.shape for name, v in batch.items()} == {
        "u0": (200, 2),
        "u": (200, 4, 2),
        "f": (200, 4, 2),
    }
    instants = batch["u0"][:, None] + np.arange(4.0)[None, :, None]
    np.testing.assert_array_equal(batch["f"], instants)
    np.testing.assert_array_equal(batch["u"], instants + 1)
    rows = np.asarray(batch["u0"][:, 0]) // 1000
    assert set(rows) == set(range(5))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_share_of_windows_begins_with_the_record(share):
    recipe = replace(TINY, batch_size=6000, share_at_start=share)
    counts = np.bincount(starts(WindowBatches(numbered(), recipe)(0)).astype(int))
    shares = counts / counts.sum()
    assert shares[0] == pytest.approx(share + (1 - share) / 6, abs=0.03)
    np.testing.assert_allclose(shares[1:], (1 - share) / 6, atol=0.03)
    assert len(counts) == (6 if share < 1 else 1)  # starts 0 … 9 - 4


def test_a_window_must_fit_into_the_record():
    with pytest.raises(ValueError, match="one window of 16 frames, but these have 9"):
        WindowBatches(numbered(), replace(TINY, window=16))


# Models


def test_scales_give_every_channel_unit_variance(dataset):
    batches = WindowBatches(to_arrays(dataset, ("u",), ("f",)), TINY)
    model = assemble(TINY, dataset, batches)
    for layout in (model.targets, model.given):
        z = np.stack([layout.analysis(batches(step)) for step in range(64)])
        rms = np.sqrt(np.mean(np.square(z), axis=(0, 1, 2, 3)))
        np.testing.assert_allclose(rms, 1, rtol=1e-3)


def test_a_model_knows_where_its_data_lie(dataset):
    moved = dataset.assign_coords(time=dataset.time + 2, x=dataset.x + 0.5)
    batches = WindowBatches(to_arrays(moved, ("u",), ("f",)), TINY)
    model = assemble(TINY, moved, batches)
    assert model.targets.grid == model.given.grid == (4, 16)
    np.testing.assert_allclose(model.domain.start, (2.0, 0.5))
    np.testing.assert_allclose(model.domain.spacing, (0.1, 1 / 16))
    assert model.sigma_range == (TINY.noise.sigma_min, TINY.noise.sigma_max)
    assert (model.state, model.control) == (("u",), ("f",))


def test_initial_parameters_follow_the_seed(dataset):
    arrays = to_arrays(dataset, ("u",), ("f",))
    kernels = [
        assemble(TINY, dataset, WindowBatches(arrays, TINY, seed))
        .denoiser.backbone.stem.kernel[...]
        .tobytes()
        for seed in (0, 0, 1)
    ]
    assert kernels[0] == kernels[1] != kernels[2]


def test_a_plane_needs_no_other_code():
    draw = np.random.default_rng(0)
    dims = ("sample", "time", "y", "x")
    sizes = (2, 5, 4, 8)
    coords = {d: np.arange(n) / n for d, n in zip(dims[1:], sizes[1:], strict=True)}
    dataset = xr.Dataset(
        {name: (dims, np.float32(draw.normal(size=sizes))) for name in "uvf"}, coords
    )
    recipe = replace(TINY, state=("u", "v"), mode=("periodization",) * 3)
    arrays = to_arrays(dataset, recipe.state, recipe.control)
    model = assemble(recipe, dataset, WindowBatches(arrays, recipe))
    assert model.targets.dims == ("time", "y", "x")
    assert model.targets.coefficient_grid == (2, 2, 4)
    assert len(model.targets.channels) == 2 * 8
    assert len(model.given.channels) == 2 * 4 + 8


def test_levels_that_do_not_halve_the_window_are_refused(dataset):
    recipe = replace(TINY, window=6, levels=2)
    batches = WindowBatches(to_arrays(dataset, ("u",), ("f",)), recipe)
    with pytest.raises(ValueError, match="6 samples along 'time'"):
        assemble(recipe, dataset, batches)


@pytest.mark.parametrize("name", RECIPES)
def test_released_recipes_fit_the_grid_of_their_system(name):
    system = Burgers()
    sizes = {"sample": 1, "time": system.frames + 1, "x": system.points}
    empty = np.zeros(tuple(sizes.values()), np.float32)
    dataset = xr.Dataset(
        {n: (tuple(sizes), empty) for n in (*system.state, *system.control)},
        system.coords,
    )
    recipe = replace(RECIPES[name], network=TINY.network, batch_size=1)
    arrays = to_arrays(dataset, recipe.state, recipe.control)
    model = assemble(recipe, dataset, WindowBatches(arrays, recipe))
    assert system.frames % model.window == 0
    assert model.targets.grid == (model.window, system.points)


def test_three_steps_of_training_make_a_model_that_simulates(dataset, tmp_path):
    config = TrainingConfig(steps=3, learning_rate=0.01)
    model = train(TINY, dataset, config, tmp_path)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    forecast = wdno.simulate(model, dataset.u.isel(time=0), dataset.f, key=KEY)
    assert forecast.sizes == dataset.sizes
    assert np.isfinite(forecast.u).all()
    np.testing.assert_array_equal(forecast.u[:, 0], dataset.u[:, 0])
