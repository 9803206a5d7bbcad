"""Targets over a whole window that are linear maps of how it begins."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import make_fields, make_layouts

from wdno.operator import LinearMean, RecordMean, tasks
from wdno.operator.tiles import Tiles


def make_mean(rank=2, tiles=None, **how):
    """Of the control of `make_layouts`, eight points, from the initial state."""
    return RecordMean(("f",), ("u0",), rank, tiles or Tiles((4,)), **how)


def make_problem():
    return make_layouts(task=tasks.control)


def drawn(mean):
    """With maps that are drawn."""
    built = mean.built(*make_problem(), nnx.Rngs(0))
    draw = np.random.default_rng(0)
    maps = jax.tree.map(lambda m: jnp.asarray(draw.normal(size=m.shape)), built.maps)
    return replace(built, maps=maps)


def test_a_record_is_affine_in_where_it_begins_and_of_low_rank():
    mean = drawn(make_mean())
    unit = jnp.concatenate([jnp.zeros((1, 8)), jnp.eye(8)])
    found = mean.mapped({"u0": unit})["f"]
    np.testing.assert_allclose(found[0].reshape(-1, 2, 4), mean.maps.offset)
    matrix = (found[1:] - found[:1]).reshape(8, -1)
    up = mean.maps.up.reshape(2, -1)
    np.testing.assert_allclose(matrix, mean.maps.down[:, 0] @ up, atol=1e-12)


def test_targets_are_zero_where_nothing_acts():
    mean = drawn(make_mean(tiles=Tiles((2,), acting=(0, 3))))
    found = mean.mapped({"u0": make_fields()["u0"]})["f"]
    assert not found[..., 2:6].any()
    assert found[..., :2].all() and found[..., 6:].all()


def test_what_follows_is_a_map_of_what_is_estimated():
    """A linear mean of a target that its base estimates, not of the true one."""
    targets, given = make_problem()
    plan = drawn(make_mean(scale=(2.0,) * len(targets.channels)))
    state = LinearMean(("u",), ("f",), 0, Tiles((8,)), copied=("f",), base=plan)
    state = replace(state.built(targets, given, nnx.Rngs(0)), base=plan)
    fields = make_fields()
    found = state(fields, given.analysis(fields), targets, given)
    means = targets.synthesis(found.mean)
    np.testing.assert_allclose(means["f"], plan.mapped(fields)["f"], atol=1e-9)
    np.testing.assert_allclose(means["u"], means["f"], atol=1e-9)
    np.testing.assert_allclose(found.scale, 2.0)


def test_a_linear_mean_of_targets_needs_a_base_for_them():
    targets, given = make_problem()
    mean = LinearMean(("u",), ("f",), 0, Tiles((8,)))
    with pytest.raises(ValueError, match="Name others, or add them to the recipe"):
        mean.built(targets, given, nnx.Rngs(0))


def test_descriptions_have_no_maps():
    described = drawn(make_mean()).described()
    assert described.maps is None and not jax.tree.leaves(described)


@pytest.mark.parametrize("change", [{"targets": ("w",)}, {"inputs": ("u",)}])
def test_fields_that_the_model_has_not_are_refused(change):
    with pytest.raises(ValueError, match="Name others, or add them to the recipe"):
        replace(make_mean(), **change).built(*make_problem(), nnx.Rngs(0))


def test_another_grid_or_window_is_refused():
    targets, given = make_problem()
    mean = drawn(make_mean())
    with pytest.raises(ValueError, match=r"fitted on, \(8,\), but got .* \(16,\)"):
        mean.mapped({"u0": jnp.zeros((1, 16))})
    fields, shorter = make_fields(), targets.on((targets.grid[0] // 2, 8))
    with pytest.raises(ValueError, match="as many frames"):
        mean(fields, given.analysis(fields), shorter, given)


def test_what_maps_nothing_is_refused():
    with pytest.raises(ValueError, match="one given field or more"):
        RecordMean((), ("u0",), 1, Tiles((4,)))
    with pytest.raises(ValueError, match="rank from 0"):
        make_mean(rank=-1)
