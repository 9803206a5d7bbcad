"""Targets that are linear maps of given fields."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import make_fields, make_layouts

from wdno.operator import Interpolation, tasks
from wdno.operator.linear_mean import LinearMean
from wdno.operator.tiles import Tiles


def make_mean(rank=2, tiles=None, **how):
    """Of the states of `make_layouts`, eight points, from their control."""
    return LinearMean(("u",), ("f",), rank, tiles or Tiles((4,)), **how)


def drawn(mean, targets, given):
    """With maps that are drawn."""
    built = mean.built(targets, given, nnx.Rngs(0))
    draw = np.random.default_rng(0)
    maps = jax.tree.map(lambda m: jnp.asarray(draw.normal(size=m.shape)), built.maps)
    return replace(built, maps=maps)


def dense(mean, points):
    """Offset and matrix of a mean, one column a point of the control."""
    unit = jnp.concatenate([jnp.zeros((1, points)), jnp.eye(points)])
    found = mean.mapped({"f": unit[None]})["u"][0]
    return found[0], (found[1:] - found[:1]).T


def test_maps_are_those_between_tiles_and_of_low_rank():
    targets, given = make_layouts()
    mean = drawn(make_mean(), targets, given)
    offset, matrix = dense(mean, 8)
    np.testing.assert_allclose(offset, mean.maps.offset[:, 0])
    low = mean.maps.up[..., 0].T @ mean.maps.down.reshape(8, 2).T
    local = np.block(
        [[mean.maps.local[2 * i + j].T for j in range(2)] for i in range(2)]
    )
    np.testing.assert_allclose(matrix, local + low, atol=1e-12)


def test_copies_are_added_and_instants_alone():
    targets, given = make_layouts()
    plain = drawn(make_mean(), targets, given)
    fields = make_fields()
    found = plain.mapped(fields)["u"]
    copied = replace(plain, copied=("f",)).mapped(fields)["u"]
    np.testing.assert_allclose(copied - found, fields["f"], atol=1e-12)
    later = plain.mapped({"f": fields["f"][:, 2:]})["u"]
    np.testing.assert_allclose(later, found[:, 2:], atol=1e-12)


def test_tiles_where_nothing_acts_have_the_low_rank_alone():
    targets, given = make_layouts()
    mean = drawn(make_mean(0, Tiles((2,), acting=(0, 1))), targets, given)
    _, matrix = dense(mean, 8)
    assert not matrix[4:].any() and not matrix[:, 4:].any()
    assert matrix[:4, :4].all()


def test_the_base_gives_the_rest_and_features():
    targets, given = make_layouts(task=tasks.refinement)
    base = Interpolation()
    mean = drawn(make_mean(base=base, scale=(2.0,) * 4), targets, given)
    assert mean.channels(targets, given) == base.channels(targets, given)
    fields = make_fields()
    fields["u_coarse"] = fields["u"][:, 1::2, ::2]
    condition = given.analysis(fields)
    found, first = (m(fields, condition, targets, given) for m in (mean, base))
    np.testing.assert_allclose(found.scale, 2 * first.scale)
    np.testing.assert_allclose(found.features, first.features)
    expected = mean.mapped(fields)["u"]
    np.testing.assert_allclose(targets.synthesis(found.mean)["u"], expected, atol=1e-9)


def test_rows_are_alone_and_compiled_alike():
    targets, given = make_layouts()
    mean, fields = drawn(make_mean(), targets, given), make_fields()
    alone = jax.jit(jax.vmap(lambda f: mean.mapped({"f": f[None]})["u"][0]))
    found = mean.mapped(fields)["u"]
    np.testing.assert_allclose(alone(fields["f"]), found, atol=1e-12)


def test_descriptions_have_no_maps():
    targets, given = make_layouts()
    described = drawn(make_mean(), targets, given).described()
    assert described.maps is None and not jax.tree.leaves(described)


@pytest.mark.parametrize(
    "change", [{"targets": ("w",)}, {"inputs": ("u0",)}, {"inputs": ("u",)}]
)
def test_fields_that_the_model_has_not_are_refused(change):
    targets, given = make_layouts()
    with pytest.raises(ValueError, match="Name others, or add them to the recipe"):
        replace(make_mean(), **change).built(targets, given, nnx.Rngs(0))


def test_another_grid_is_refused():
    targets, given = make_layouts()
    mean = drawn(make_mean(), targets, given)
    fields = make_fields(points=16)
    with pytest.raises(ValueError, match=r"fitted on, \(8,\), but got .* \(16,\)"):
        mean.mapped(fields)
    with pytest.raises(ValueError, match="do not fill a grid"):
        make_mean(tiles=Tiles((3,))).built(targets, given, nnx.Rngs(0))


def test_what_maps_nothing_is_refused():
    targets, given = make_layouts()
    with pytest.raises(ValueError, match="one given field or more"):
        LinearMean((), ("f",), 1, Tiles((4,)))
    with pytest.raises(ValueError, match="rank from 0"):
        make_mean(rank=-1)
    with pytest.raises(ValueError, match="Name one a target"):
        make_mean(copied=("u0",))
    with pytest.raises(ValueError, match="positive and finite"):
        make_mean(scale=(0.0,))
    with pytest.raises(ValueError, match="one scale per channel"):
        make_mean(scale=(1.0,)).built(targets, given, nnx.Rngs(0))
