"""The loss of dynamic grain: of the choice, of what is refined, and its gradient."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import filled

from wdno import WDNO, Domain, WaveletLayout
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.noise import log_uniform
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import DynamicGrainConfig, Shape, build
from wdno.operator import tasks
from wdno.training.denoising import denoising_of
from wdno.training.grain import choice_loss, grain_loss, true_cells
from wdno.training.own_plans import OwnPlans
from wdno.training.recipe import Recipe
from wdno.training.recipe_file import load_recipe, save_recipe
from wdno.wavelets.grain import fine_channels

RECIPE = Recipe(("u",), (), window=8, wavelet="haar", residual=None)
DIMS, GRID = ("time", "x"), (8, 16)
TARGETS, GIVEN = (
    WaveletLayout(fields, DIMS, GRID, "haar", ("periodization",) * 2, levels=2)
    for fields in tasks.simulation(("u",), (), DIMS)
)
CONFIG = DynamicGrainConfig(
    (1, 1), 8, depth=1, heads=2, fine=fine_channels(TARGETS), kept=2, reach=(0, 0)
)


@pytest.fixture(scope="module")
def network():
    shape = Shape(2, len(TARGETS.channels), len(GIVEN.channels))
    return filled(lambda: build(CONFIG, shape, rngs=nnx.Rngs(0)))


def model(network):
    denoiser = Denoiser(freeze(network), EDMPreconditioning())
    domain = Domain((0.0, 0.0), (0.1, 0.1))
    return WDNO(TARGETS, GIVEN, denoiser, domain, KarrasSchedule(0.02, 10.0))


def test_true_cells_are_those_with_most_energy_of_fine_details(network):
    z = jnp.full((2, 2, 4, 16), 0.1).at[0, 1, 2, 7].set(5.0).at[0, 0, 3, 9].set(3.0)
    z = z.at[0, 0, 0, 2].set(50.0)  # coarse
    assert set(true_cells(network, z)[0].tolist()) == {6, 3}


def test_the_choice_costs_nothing_where_it_is_right_and_log_2_where_it_is_open():
    cells, right = jnp.array([[6, 3]]), jnp.full((1, 2, 4), -40.0)
    right = right.at[0, 1, 2].set(40.0).at[0, 0, 3].set(40.0)
    assert float(choice_loss(right, cells)) < 1e-6
    np.testing.assert_allclose(choice_loss(0 * right, cells), np.log(2), 1e-6)
    np.testing.assert_allclose(choice_loss(-right, cells), 40, 1e-6)


@pytest.mark.slow
def test_every_parameter_is_trained(network):
    """The choice of cells among them, which the error alone would leave as it is."""
    fields = jax.random.normal(jax.random.key(0), (4, *GRID), jnp.float32)
    batch = {"u": fields, "u0": fields[:, 0]}
    loss = grain_loss(model(network), log_uniform(0.1, 5.0))
    slope = nnx.jit(nnx.grad(lambda m: loss(m, batch, jax.random.key(1))))(network)
    for path, leaf in jax.tree.leaves_with_path(slope):
        assert np.isfinite(leaf).all() and abs(leaf).max() > 1e-7, path


def test_a_recipe_whose_network_refines_cells_is_trained_by_its_own_loss(
    network, tmp_path
):
    recipe = replace(RECIPE, network=CONFIG, uniform_weight=0.25)
    save_recipe(recipe, tmp_path / "recipe.json")
    loss, prepare = denoising_of(load_recipe(tmp_path / "recipe.json"), model(network))
    fields = jax.random.normal(jax.random.key(0), (4, *GRID), jnp.float32)
    batch, key = {"u": fields, "u0": fields[:, 0]}, jax.random.key(1)
    direct = grain_loss(model(network), recipe.noise.distribution(), 0.25)
    assert prepare is None
    found, expected = (nnx.jit(each)(network, batch, key) for each in (loss, direct))
    assert float(found) == float(expected)


def test_windows_of_plans_are_refused_where_cells_are_refined():
    with pytest.raises(ValueError, match="Take another network"):
        replace(
            RECIPE, network=CONFIG, own_plans=OwnPlans(tick=2, updates=2, surprise=0.0)
        )
