"""Training by a recipe: what a released model carries with it."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr
from oracles import DIMS, NAMES
from waves import waves

from wdno.inference import simulate
from wdno.networks import FourierConfig
from wdno.operator import Interpolation, checkpoint, tasks
from wdno.operator.generation import prepare
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.residual import residuals
from wdno.systems import Burgers
from wdno.training import pipeline, recipes
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.config import TrainingConfig
from wdno.training.loss import mean_loss
from wdno.training.recipes import Recipe, TrainingGrid
from wdno.training.validation import VALIDATIONS, simulation_error
from wdno.wavelets.field import Field

TINY = Recipe(
    ("u",), ("f",), 4, levels=1, network=FourierConfig((2, 2), 4, 1), batch_size=2
)
THREE_STEPS = TrainingConfig(steps=3, learning_rate=0.01, log_every=0.0, seed=3)


@pytest.fixture(scope="module")
def dataset():
    return waves(6)


@pytest.fixture(scope="module")
def released(dataset, tmp_path_factory):
    """A model trained for three steps, and its folder."""
    folder = tmp_path_factory.mktemp("release")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "tiny", TINY)
        model = pipeline.train_recipe(
            "tiny", dataset, THREE_STEPS, folder, validation_samples=2
        )
    return model, folder / "model"


def test_saved_model_is_the_trained_one(released, dataset, compilations):
    """Down to its structure: programs compiled for one serve the other."""
    model, folder = released
    loaded, forecasts = checkpoint.load(folder), []
    for name in ("u0", "f"):
        assert name in {quantity.name for quantity in loaded.given.fields}

    def run(model):
        start, key = dataset.u.isel(time=0), jax.random.key(0)
        forecasts.append(simulate.simulate(model, start, dataset.f, key=key).u)

    run(model)
    assert compilations(lambda: run(loaded)) == 0
    np.testing.assert_array_equal(*forecasts)


def test_validation_error_is_that_of_the_trajectories_held_back(released, dataset):
    model, folder = released
    card = checkpoint.read_card(folder)
    held_back = dataset.isel(sample=slice(-2, None))
    forecast = simulate.simulate(
        model, held_back.u.isel(time=0), held_back.f, key=jax.random.key(0)
    )
    difference = (forecast.u - held_back.u).isel(time=slice(1, None))
    expected = float((difference**2).mean())
    assert card["validation_error"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_scales_come_from_the_training_part_alone(
    released, dataset, tmp_path, monkeypatch
):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    altered = dataset.copy(deep=True)
    altered["u"][-2:] *= 100
    config = replace(THREE_STEPS, steps=1)
    other = pipeline.train_recipe(
        "tiny", altered, config, tmp_path, validation_samples=2
    )
    assert other.targets.scale == released[0].targets.scale


def test_start_continues_from_a_given_model(released, dataset, tmp_path):
    model, folder = released
    start = checkpoint.load(folder)
    before = jax.tree.leaves(start)
    config = TrainingConfig(steps=1, learning_rate=1e-12)
    after = pipeline.train(TINY, dataset, config, tmp_path, start=start)
    for a, b in zip(before, jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.slow
def test_the_card_tells_the_recipe_followed_and_the_clock(dataset, tmp_path):
    other = replace(TINY, wavelet="lazy")
    ticks = iter(range(100))

    def metronome():
        return float(next(ticks))

    config = TrainingConfig(budget=2.0)
    model = pipeline.train_recipe(
        "tiny",
        dataset,
        config,
        tmp_path,
        recipe=other,
        clock=metronome,
        validation_samples=2,
    )
    assert model.targets.wavelet == "lazy"
    card = checkpoint.read_card(tmp_path / "model")
    assert card["recipe"]["wavelet"] == "lazy" and card["name"] == "tiny"
    assert card["training"]["clock"] == "metronome"
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").open()]
    assert max(steps) == 2  # of one tick each


@pytest.mark.slow
def test_names_of_fields_say_nothing_of_their_part(dataset, tmp_path):
    """As "c0" of a control beside the state "c", or "uT" of a state.

    The same data under other names gives the same model and the same forecasts.
    """
    dims = ("sample", "time", "x")
    other = (0.5 * dataset.u.roll(x=1, roll_coords=False)).assign_attrs(dataset.u.attrs)
    share = dataset.u.mean("x").where(dataset.time > dataset.time[0])
    plain = dataset[["u", "f"]].assign(
        v=other.transpose(*dims),
        share=share.assign_attrs(cell_methods="time: point"),
    )
    rate = np.float32([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    plain = plain.assign_coords(rate=("sample", rate))
    odd = {"u": "c", "v": "uT", "f": "c0", "share": "heat", "rate": "u0"}
    forecasts = []
    for names in ({name: name for name in odd}, odd):
        u, v, f, beside, static = names.values()
        recipe = replace(
            TINY,
            state=(u, v),
            control=(f,),
            beside=tasks.Task((Field(beside, ("time",)),), tasks.static((static,), ())),
        )
        data, config = plain.rename(names), TrainingConfig(steps=2)
        model = pipeline.train(recipe, data, config, tmp_path / u)
        assert (model.state, model.control) == ((u, v), (f,))
        assert (model.auxiliary, list(model.static)) == ((beside,), [static])
        start = data[[u, v]].isel(time=0)
        forecast = simulate.simulate(model, start, data[f], key=jax.random.key(0))
        forecasts.append(forecast.rename({new: old for old, new in names.items()}))
    xr.testing.assert_identical(*forecasts)
    np.testing.assert_array_equal(forecasts[0].f, plain.f)
    np.testing.assert_array_equal(forecasts[0].v[:, 0], plain.v[:, 0])


@pytest.mark.slow
def test_a_validation_compiles_nothing_that_the_one_before_did(
    dataset, tmp_path, compilations, monkeypatch
):
    counts = []

    def counted(model, truth, steps):
        counts.append(compilations(lambda: simulation_error(model, truth, steps)))
        return xr.DataArray(0.0)

    monkeypatch.setitem(VALIDATIONS, TINY.task, counted)
    config = TrainingConfig(steps=2, validate_every=0.0)
    pipeline.train(TINY, dataset, config, tmp_path, held_back=dataset)
    assert len(counts) == 3 and counts[0] > 0
    assert counts[1:] == [0, 0]


def test_holding_back_everything_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    with pytest.raises(ValueError, match="6 of 6 were asked for. Hold back fewer"):
        pipeline.train_recipe(
            "tiny", dataset, TrainingConfig(steps=1), tmp_path, validation_samples=6
        )


def test_three_steps_of_training_make_a_model_that_simulates(released, dataset):
    model, folder = released
    lines = (folder.parent / "log.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    forecast = simulate.simulate(
        model, dataset.u.isel(time=0), dataset.f, key=jax.random.key(0)
    )
    assert forecast.sizes == dataset.sizes
    assert np.isfinite(forecast.u).all()
    np.testing.assert_array_equal(forecast.u[:, 0], dataset.u[:, 0])


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(tasks.refinement, marks=pytest.mark.slow),
        pytest.param(tasks.control, marks=pytest.mark.slow),
        pytest.param(tasks.reaching, marks=pytest.mark.slow),
    ],
)
def test_refiners_and_planners_are_trained_by_the_same_code(task, tmp_path):
    dataset = waves(3, Burgers(duration=1.6, frames=16, points=32))
    recipe = replace(
        TINY, task=task, residual=Interpolation(), more_grids=(TrainingGrid(2, 8),)
    )
    config = TrainingConfig(steps=4, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "tiny", recipe)
        model = pipeline.train_recipe(
            "tiny", dataset, config, tmp_path, validation_samples=1
        )
    card = checkpoint.read_card(tmp_path / "model")
    error = VALIDATIONS[task](model, dataset.isel(sample=slice(-1, None)))
    assert card["validation_error"] == pytest.approx(float(error.mean()), rel=1e-5)
    known = {quantity.name for quantity in task(*NAMES, DIMS).given}
    loaded = checkpoint.load(tmp_path / "model")
    assert {quantity.name for quantity in loaded.given.fields} == known


# Two stages

MEAN = FourierConfig((2, 2), width=4, depth=1)
TWO_STAGES = replace(
    TINY, residual=LearnedMean(MEAN), mean_share=0.75, uniform_weight=0.5
)


@pytest.fixture(scope="module")
def staged(dataset, tmp_path_factory):
    """A run of two stages, and its folder."""
    folder = tmp_path_factory.mktemp("staged")
    config = TrainingConfig(steps=80, learning_rate=0.02)
    part, unseen = dataset.isel(sample=slice(4)), dataset.isel(sample=slice(4, None))
    model = pipeline.train(TWO_STAGES, part, config, folder, held_back=unseen)
    return model, folder, (TWO_STAGES, part, config, unseen)


def steps_of(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [entry["step"] for entry in map(json.loads, lines) if "loss" in entry]


@pytest.mark.slow
def test_the_mean_is_trained_first_then_the_denoiser(staged):
    model, folder, (recipe, part, config, unseen) = staged
    assert steps_of(folder / "mean")[-1] == 60
    assert steps_of(folder / "denoiser")[-1] == 20
    mean = pipeline.train(
        replace(recipe, mean_share=1.0),
        part,
        replace(config, steps=60),
        folder.parent / "mean_alone",
        held_back=unseen,
    )
    for one, other in zip(
        jax.tree.leaves(mean.residual), jax.tree.leaves(model.residual), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert mean.residual.scale == model.residual.scale
    fresh = build_model(recipe, part, WindowBatches(part, recipe, config.seed))
    for one, other in zip(
        jax.tree.leaves(mean.denoiser), jax.tree.leaves(fresh.denoiser), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_scales_are_what_the_mean_leaves_open_of_unseen_windows(staged):
    model, _, (recipe, _, config, unseen) = staged
    batches = map(WindowBatches(unseen, recipe, config.seed + 1), range(64))
    fields = jax.tree.map(lambda *parts: np.concatenate(parts), *batches)

    @jax.jit
    def left_open(model, fields):
        return residuals(
            model.targets.analysis(fields), prepare(model, fields).estimate
        )

    left = left_open(model, fields)
    rms = np.sqrt(np.mean(np.square(left), axis=(0, 1, 2)))
    np.testing.assert_allclose(rms, 1, rtol=1e-4)


def test_the_mean_is_nearer_to_the_truth_than_nothing(staged):
    model, _, (_, _, _, unseen) = staged
    fields = unseen.u.isel(time=slice(1, None))
    assert simulation_error(model, unseen, steps=0).mean() < 0.8 * (fields**2).mean()


def test_either_stage_is_resumed(staged, monkeypatch):
    """A run that is stopped between its stages ends as if it had not been."""
    model, folder, (recipe, part, config, unseen) = staged
    stopped = folder.parent / "stopped"
    shutil.copytree(folder / "mean", stopped / "mean")
    again = pipeline.train(recipe, part, config, stopped, held_back=unseen, resume=True)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_run_does_not_go_on_with_what_an_earlier_one_fitted(
    dataset, tmp_path, monkeypatch
):
    """Also if it dies before it has fitted anything, and is resumed."""

    def dies(*arguments):
        raise KeyboardInterrupt

    card = tmp_path / "fitted" / "card.json"
    card.parent.mkdir()
    card.write_text("of an earlier run")
    monkeypatch.setattr(pipeline, "build_model", dies)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(TINY, dataset, TrainingConfig(steps=2), tmp_path)
    assert (tmp_path / "begun.json").exists() and not card.exists()


def test_the_second_stage_goes_on_from_a_mean(staged, tmp_path):
    model, _, (recipe, part, _, _) = staged
    alone = replace(recipe, mean_share=0.0)
    after = pipeline.train(alone, part, TrainingConfig(steps=2), tmp_path, start=model)
    assert after.residual is model.residual
    assert steps_of(tmp_path / "denoiser")[-1] == 2


def test_a_mean_that_has_learned_nothing_is_refused(dataset, tmp_path):
    config = TrainingConfig(steps=2, learning_rate=1e-9)
    with pytest.raises(ValueError, match="explains .*of its energy. Train it longer"):
        pipeline.train(TWO_STAGES, dataset, config, tmp_path)


def test_models_without_a_mean_to_learn_have_none_to_train(released):
    with pytest.raises(ValueError, match="Give the recipe a `LearnedMean`"):
        mean_loss(released[0])


@pytest.mark.slow
def test_the_card_of_two_stages_says_both(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TWO_STAGES)
    config = TrainingConfig(steps=60, learning_rate=0.02)
    model = pipeline.train_recipe(
        "tiny", dataset, config, tmp_path, validation_samples=2
    )
    card = checkpoint.read_card(tmp_path / "model")
    assert card["residual"]["kind"] == card["recipe"]["residual"]["kind"]
    assert card["residual"]["scale"] == list(model.residual.scale)
    assert card["recipe"]["mean_share"] == 0.75
    loaded = checkpoint.load(tmp_path / "model")
    expected, found = (simulation_error(m, dataset, steps=3) for m in (model, loaded))
    np.testing.assert_array_equal(found, expected)
