"""Windows that begin from the rests of a planner's own plans, as they are learned."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from waves import waves

from wdno._json import from_json
from wdno.diffusion.noise import point
from wdno.diffusion.samplers import ddim
from wdno.networks import FourierConfig
from wdno.operator import tasks
from wdno.operator.generation import Start, generate
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.denoising import denoising_of
from wdno.training.loss import loss_of_begun, training_loss
from wdno.training.own_plans import OwnPlans, roll_out
from wdno.training.recipes import Recipe

KEY = jax.random.key(0)
RECIPE = Recipe(
    ("u",),
    ("f",),
    window=8,
    task=tasks.reaching,
    wavelet="haar",
    levels=1,
    network=FourierConfig((2, 2), width=4, depth=1),
    batch_size=16,
)
OWN = OwnPlans(tick=2, updates=2, surprise=0.0)


@pytest.fixture(scope="module")
def planner():
    """A planner that is not trained, but no zero, and a batch of its windows."""
    data = waves(3)
    batches = WindowBatches(data, RECIPE)
    model = build_model(RECIPE, data, batches)
    model = jax.tree.map(lambda leaf: leaf + 0.05, model)
    return model, batches(0)


@pytest.fixture(scope="module")
def rolled(planner):
    model, fields = planner
    return jax.jit(roll_out(model, OWN))(model.denoiser.backbone, fields, KEY)


def test_each_window_is_the_rest_of_the_one_before(planner, rolled):
    _, fields = planner
    assert [len(window) for window, _ in rolled] == [len(fields)] * 3
    for n, (window, _) in enumerate(rolled):
        for name in ("u", "f"):
            np.testing.assert_array_equal(window[name], fields[name][:, 2 * n :])
        np.testing.assert_array_equal(window["uT"], fields["uT"])
    for n in (1, 2):
        state = fields["u"][:, 2 * n - 1]
        np.testing.assert_array_equal(rolled[n][0]["u0"], state)


def test_starts_are_rests_of_plans_made_by_the_backbone_that_rolls_out(planner, rolled):
    model, fields = planner
    first, *later = rolled
    assert first[1] is None
    _, key = jax.random.split(KEY)
    own = jax.random.split(key, OWN.updates)[0]
    drawn = jax.random.split(own, 4)[2]
    plan = generate(model, fields, ddim(), model.levels(1), drawn)
    for name in ("u", "f"):
        np.testing.assert_allclose(
            later[0][1].fields[name], plan[name][:, 2:], rtol=1e-4, atol=1e-5
        )
    levels = np.concatenate([start.sigma for _, start in later])
    assert {*np.float32(levels).tolist()} == {np.float32(0.4), np.inf}
    assert 0.2 < np.isinf(levels).mean() < 0.8


def test_no_gradient_reaches_the_roll_out(planner):
    model, fields = planner

    def total(backbone):
        how = replace(OWN, updates=1)
        _, (_, start) = roll_out(model, how)(backbone, fields, KEY)
        return start.fields["f"].sum() + start.fields["u"].sum()

    gradient = jax.jit(jax.grad(total))(model.denoiser.backbone)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_a_surprise_is_planned_for_and_what_is_observed_is_learned(planner, rolled):
    model, fields = planner

    def double(fields, key):
        return {**fields, "u0": 2 * fields["u0"]}

    how = replace(OWN, updates=1, surprise=0.5)
    backbone = model.denoiser.backbone
    windows = jax.jit(roll_out(model, how, double))(backbone, fields, KEY)
    for (window, _), (usual, _) in zip(windows, rolled, strict=False):
        np.testing.assert_array_equal(window["u0"], 2 * usual["u0"])
        np.testing.assert_array_equal(window["u"], usual["u"])
    assert not np.allclose(windows[1][1].fields["f"], rolled[1][1].fields["f"])


def test_a_start_at_infinite_noise_is_none(planner):
    """And at a small one the loss is that of the rest, noise included."""
    model, fields = planner
    backbone, noise = model.denoiser.backbone, point(2.0)
    other = {name: 0 * fields[name] for name in ("u", "f")}
    usual = jax.jit(training_loss(model, noise))(backbone, fields, KEY)
    begun = jax.jit(loss_of_begun(model, noise))

    def loss(sigma):
        start = Start(other, jnp.full(len(fields["u"]), sigma))
        return begun(backbone, ((fields, start),), KEY)

    np.testing.assert_allclose(loss(jnp.inf), usual, rtol=1e-6)
    assert abs(loss(1.0) - usual) > 1e-3 * usual


def test_a_recipe_says_whether_a_planner_learns_from_its_own_plans(planner, rolled):
    model, fields = planner
    assert denoising_of(RECIPE, model)[1] is None
    recipe = replace(RECIPE, own_plans=OWN)
    assert from_json(recipe.notes()["own_plans"], OwnPlans) == OWN
    loss, prepare = denoising_of(recipe, model)
    windows = jax.jit(prepare)(model.denoiser.backbone, fields, KEY)
    jax.tree.map(np.testing.assert_array_equal, windows, rolled)
    assert 0 < jax.jit(loss)(model.denoiser.backbone, windows[2:], KEY) < np.inf


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tick": 0}, "1 or more"),
        ({"sigma": 0.0}, "positive"),
        ({"surprise": -1.0}, "not negative"),
        ({"share_of_noise": 1.5}, "between 0 and 1"),
    ],
)
def test_numbers_that_make_no_roll_out_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(OWN, **wrong)


def test_updates_fit_into_the_window(planner):
    with pytest.raises(ValueError, match="4 ticks of 2 leave none of 8"):
        roll_out(planner[0], replace(OWN, updates=4))
