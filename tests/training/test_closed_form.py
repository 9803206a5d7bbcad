"""Means that are fitted at once: exact where a system is of their kind."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from wdno import load
from wdno.diffusion.samplers import ddim
from wdno.networks import FourierConfig
from wdno.operator import (
    Interpolation,
    LearnedMean,
    LinearMean,
    RecordMean,
    Tiles,
    Transport,
    tasks,
)
from wdno.operator.generation import generate
from wdno.training import pipeline, recipes
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.closed_form import fitted, with_closed_forms, with_scales
from wdno.training.config import TrainingConfig
from wdno.training.recipes import Recipe
from wdno.training.records import Records
from wdno.training.ridge import fit_maps
from wdno.training.validation import denoising_error, simulation_error

POINTS = 8
BANDED = LinearMean(("u",), ("f",), 0, Tiles((2,)))
DENSE = replace(BANDED, rank=POINTS)
CONFIG = TrainingConfig(steps=1)
KEY = jax.random.key(0)


def recipe_of(mean):
    network = FourierConfig((2, 2), 4, 1)
    how = {"levels": 1, "network": network, "batch_size": 4, "mean_share": 1.0}
    return Recipe(("u",), ("f",), 4, residual=mean, **how)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def matrix_of(mean):
    """Any, or one that acts between tiles of two points that touch."""
    tile = np.arange(POINTS) // 2
    near = np.abs(tile[:, None] - tile) < 2
    return draw(POINTS, POINTS, seed=1) * (near if mean.rank == 0 else 1)


def records_of(matrix, records=24, frames=6, noise=0.0):
    """States ``u_t = 1 + A f_t``, alone."""
    f = draw(records, frames, POINTS)
    u = 1 + f @ matrix.T + noise * draw(*f.shape, seed=2)
    return {"u": u, "f": f}


def dataset_of(matrix, **how):
    """The same as labelled trajectories; nothing is known of t_0."""
    arrays = records_of(matrix, **how)
    count, frames = arrays["u"].shape[:2]
    ends = np.zeros((count, 1, POINTS), np.float32)
    values = {
        "u": (np.concatenate([ends, arrays["u"]], 1), "time: point"),
        "f": (np.concatenate([arrays["f"], ends], 1), "time: mean"),
    }
    dims = ("sample", "time", "x")
    return xr.Dataset(
        {n: (dims, v, {"cell_methods": kind}) for n, (v, kind) in values.items()},
        {"time": np.arange(frames + 1.0), "x": np.arange(1.0 * POINTS)},
    )


def read(arrays):
    """The same, read by number."""
    count = len(arrays["u"])
    return Records(count, lambda rows: {n: v[rows] for n, v in arrays.items()})


def dense(mean):
    """Offset and matrix of a fitted mean."""
    unit = np.concatenate([np.zeros((1, POINTS)), np.eye(POINTS)])
    mapped = jax.jit(mean.mapped)({name: unit[None] for name in mean.inputs})
    found = np.asarray(mapped["u"])[0]
    return found[0], (found[1:] - found[:1]).T


@pytest.mark.parametrize("mean", [BANDED, DENSE], ids=["banded", "dense"])
@pytest.mark.parametrize("copied", [(), ("f",)], ids=["whole", "copied"])
def test_a_linear_system_is_recovered(mean, copied):
    mean = replace(mean, copied=copied)
    matrix = matrix_of(mean)
    offset, found = dense(fit_maps(mean, read(records_of(matrix))))
    np.testing.assert_allclose(found, matrix, atol=1e-4)
    np.testing.assert_allclose(offset, 1, atol=1e-4)


def test_patterns_are_the_best_of_their_rank():
    """With nothing near, and inputs that are white: by the singular values."""
    records = records_of(matrix_of(DENSE), records=4000, frames=1)
    _, near = dense(fit_maps(BANDED, read(records)))
    _, whole = dense(fit_maps(replace(BANDED, rank=2), read(records)))
    singular, left = (
        np.linalg.svd(matrix_of(DENSE) - np.asarray(found), compute_uv=False)
        for found in (near, whole)
    )
    np.testing.assert_allclose(left[:6], singular[2:], rtol=0.05)


def test_the_penalty_is_that_which_errs_least_on_unseen_records():
    """With as many numbers as instants and noise, the smallest fits noise."""
    noisy = records_of(0 * matrix_of(DENSE), records=4, frames=3, noise=1.0)
    _, found = dense(fit_maps(DENSE, read(noisy)))
    assert np.abs(found).max() < 10


def test_tiles_are_those_in_which_inputs_vary():
    records = records_of(matrix_of(BANDED))
    records["f"][..., 2:4] = 0.7
    records["f"][..., 6:] = 0
    assert fit_maps(BANDED, read(records)).tiles == Tiles((2,), acting=(0, 2))


def test_several_fields_keep_their_places_and_units():
    records = records_of(matrix_of(DENSE))
    records |= {"v": 1000 * records["u"][..., ::-1] - records["f"], "g": -records["f"]}
    mean = LinearMean(("v", "u"), ("f", "g"), 16, Tiles((4,)))
    found = jax.jit(fit_maps(mean, read(records)).mapped)({n: records[n] for n in "fg"})
    np.testing.assert_allclose(found["u"], records["u"], atol=1e-3)
    np.testing.assert_allclose(found["v"], records["v"], atol=1)


def test_what_nothing_can_be_learned_from_is_refused():
    with pytest.raises(ValueError, match="two records or more"):
        fit_maps(BANDED, read(records_of(matrix_of(BANDED), records=1)))
    records = records_of(matrix_of(BANDED))
    records["f"][:] = 1.0
    with pytest.raises(ValueError, match=r"inputs that vary, but \('f',\) never do"):
        fit_maps(BANDED, read(records))


def test_means_that_others_begin_with_are_fitted():
    records = records_of(matrix_of(BANDED))
    chain = Transport(BANDED, "u", ("u",), (1.0,))
    assert fitted(chain, read(records)).base.maps is not None
    on_top = fitted(replace(BANDED, base=DENSE), read(records))
    assert on_top.maps is not None and on_top.base.maps is not None
    assert fitted(Interpolation(), read(records)) == Interpolation()
    assert fitted(None, read(records)) is None


def test_training_fits_what_has_a_closed_form(tmp_path, monkeypatch):
    """The whole system is linear: the mean is exact, and the denoiser as it is made."""
    recipe = recipe_of(BANDED)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    data = dataset_of(matrix_of(BANDED), noise=1e-3)
    model = pipeline.train_recipe("tiny", data, CONFIG, tmp_path, validation_samples=4)
    held_back = data.isel(sample=slice(-4, None))
    assert float(simulation_error(model, held_back, steps=0).mean()) < 3e-6
    loaded = load(tmp_path / "model")
    for one, other in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.residual.scale == model.residual.scale
    assert max(model.residual.scale) < 0.01
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["validation_error"] < 3e-6
    assert card["residual"]["maps"] is None and not (tmp_path / "denoiser").exists()


def test_plans_and_what_they_bring_about_are_fitted_to_examples(tmp_path):
    """Controls linear in the initial state, later states linear in the controls."""
    matrix, patterns = matrix_of(DENSE), draw(2, 4, POINTS, seed=3)
    truth = dataset_of(matrix, records=16, frames=4)
    begin = draw(16, POINTS, seed=4)
    f = np.einsum("nx,xr,rty->nty", begin, draw(POINTS, 2, seed=5), patterns)
    truth.u.values[:] = np.concatenate([begin[:, None], 1 + f @ matrix.T], axis=1)
    truth.f.values[:, :-1] = f
    plan = RecordMean(("f",), ("u0",), 2, Tiles((2,)))
    recipe = replace(recipe_of(replace(DENSE, base=plan)), task=tasks.control)
    how = {"recipe": recipe, "validation_samples": 4}
    model = pipeline.train_recipe("plan", truth, CONFIG, tmp_path, **how)
    unseen = truth.isel(sample=slice(-4, None))
    assert float(denoising_error(model, unseen, steps=0)) < 1e-6
    known, levels = {"u0": begin}, np.zeros(1)
    found = jax.jit(generate, static_argnums=2)(model, known, ddim(), levels, KEY)
    np.testing.assert_allclose(found["f"], f, atol=1e-3)
    np.testing.assert_allclose(found["u"], truth.u[:, 1:], atol=1e-2)


@pytest.mark.slow
def test_what_is_fitted_is_not_fitted_again(tmp_path, monkeypatch):
    """A run that was stopped after its fit, which takes minutes on large grids."""
    recipe = replace(recipe_of(BANDED), mean_share=0.5)
    data = dataset_of(matrix_of(BANDED), noise=0.1)
    whole = pipeline.train(recipe, data, CONFIG, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "fitted", tmp_path / "stopped" / "fitted")
    monkeypatch.setattr(pipeline.closed_form, "with_closed_forms", None)
    again = pipeline.train(recipe, data, CONFIG, tmp_path / "stopped", resume=True)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_begins_with_what_is_fitted():
    recipe = recipe_of(LearnedMean(FourierConfig((2, 2), 4, 1), base=BANDED))
    data = dataset_of(matrix_of(BANDED), noise=0.1)
    batches, unseen = (WindowBatches(data, recipe, seed) for seed in range(2))
    model = with_closed_forms(build_model(recipe, data, batches), batches, unseen)
    base = model.residual.base
    assert max(base.scale) < 0.5 and base.maps.local.any()
    assert not model.residual.scale
    again = with_scales(model, unseen, count=8).residual.scale
    np.testing.assert_allclose(again, 1, rtol=0.2)  # in units of what is left open


def test_scales_are_those_of_a_mean():
    recipe = recipe_of(None)
    data = dataset_of(matrix_of(BANDED))
    batches = WindowBatches(data, recipe)
    model = build_model(recipe, data, batches)
    assert with_closed_forms(model, batches, batches) is model
    with pytest.raises(ValueError, match="Scales are those of a mean"):
        with_scales(model, batches)


@pytest.mark.slow
def test_a_mean_that_explains_nothing_is_refused():
    recipe = recipe_of(BANDED)
    data = dataset_of(0 * matrix_of(BANDED), records=400, noise=1.0)
    data["u"] = data.u - 1
    batches = WindowBatches(data, recipe)
    model = build_model(recipe, data, batches)
    with pytest.raises(ValueError, match="explains .* of its energy"):
        with_closed_forms(model, batches, batches)
