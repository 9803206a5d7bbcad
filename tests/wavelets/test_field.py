"""Quantities of a layout: what they must say, and walls at which they vanish."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdno.wavelets.field import DERIVED, CellMeans, Field, Role
from wdno.wavelets.layout import WaveletLayout

DIMS = ("time", "y", "x")


def test_a_quantity_vanishes_at_the_first_position_along_its_walls_only():
    x = jnp.ones((2, 3, 4, 5))
    expected = np.ones((2, 3, 4, 5))
    expected[..., 0] = 0
    bounded = Field("u", DIMS, walls=("x",))
    np.testing.assert_array_equal(bounded.between_walls(x), expected)
    expected[:, :, 0] = 0
    bounded = Field("u", DIMS, walls=("y", "x"))
    np.testing.assert_array_equal(bounded.between_walls(x), expected)
    assert Field("u", DIMS).between_walls(x) is x


def test_what_is_not_finite_at_a_wall_is_replaced():
    x = jnp.full((1, 3), jnp.nan)
    bounded = Field("u", ("x",), walls=("x",))
    np.testing.assert_array_equal(bounded.between_walls(x), [[0, np.nan, np.nan]])


def test_walls_along_an_axis_of_others_are_refused():
    with pytest.raises(ValueError, match=r"axes of its own, but 'u0' .* \['time'\]"):
        Field("u0", ("x",), walls=("time",))


@pytest.mark.parametrize("role", Role)
def test_derived_fields_and_no_others_name_what_they_are_of(role):
    of, other = ("u", "") if role in DERIVED else ("", "u")
    assert Field("v", ("x",), role, of).of == of
    message = f"'v' is {role.value} and of '{other}'. Correct one of the two"
    with pytest.raises(ValueError, match=message):
        Field("v", ("x",), role, other)


@pytest.mark.parametrize(("name", "level"), [("", 0), ("u", -1)])
def test_a_quantity_has_a_name_and_a_level(name, level):
    with pytest.raises(ValueError, match=f"name '{name}' and level {level}. Correct"):
        Field(name, ("x",), level=level)


@pytest.mark.parametrize("level", [0, 1])
def test_layouts_are_inverses_between_walls_and_projections_elsewhere(level):
    bounded = Field("u", ("time", "x"), level=level, walls=("x",))
    layout = WaveletLayout(
        (bounded,), ("time", "x"), (8, 16), "bior2.4", ("periodization",) * 2
    )
    extents = (3, 8 // 2**level, 16 // 2**level)
    u = jnp.asarray(np.random.default_rng(0).normal(size=extents))
    came = layout.synthesis(layout.analysis({"u": u}))["u"]
    np.testing.assert_allclose(came, bounded.between_walls(u), atol=1e-12)
    np.testing.assert_array_equal(came[..., 0], 0)


# --- means over cells -----------------------------------------------------------------

CELLS = CellMeans("u", DIMS)


def test_means_over_larger_cells_are_those_over_smaller_ones_at_the_same_instants():
    u = np.random.default_rng(0).normal(size=(2, 3, 8, 4))
    coarse = CELLS.coarsened(u, {"time": 1, "y": 4, "x": 2})
    np.testing.assert_allclose(coarse, u.reshape(2, 3, 2, 4, 2, 2).mean(axis=(3, 5)))
    twice = CELLS.coarsened(CELLS.coarsened(u, {"y": 2}), {"y": 2, "x": 2})
    np.testing.assert_allclose(twice, coarse)


def test_points_are_every_second_from_the_first_and_instants_up_to_the_last():
    u = np.arange(2 * 4 * 6.0).reshape(2, 4, 6)
    coarse = Field("u", ("time", "x")).coarsened(u, {"time": 2, "x": 3})
    np.testing.assert_array_equal(coarse, u[:, 1::2, ::3])


def test_coarse_means_have_all_instants_in_a_layout():
    layout = WaveletLayout(
        (CellMeans("v", DIMS, Role.COARSE, of="u", level=1), CELLS),
        DIMS,
        (4, 6, 8),
        "haar",
        ("periodization",) * 3,
    )
    assert layout.refinement == (1, 2, 2)
    draw = np.random.default_rng(0)
    given = {"v": draw.normal(size=(2, 4, 3, 4)), "u": draw.normal(size=(2, 4, 6, 8))}
    given = {name: jnp.asarray(values) for name, values in given.items()}
    back = layout.synthesis(layout.analysis(given))
    for name, values in given.items():
        np.testing.assert_allclose(back[name], values, atol=1e-12)


def test_points_and_cells_do_not_share_an_axis_and_cells_have_no_walls():
    fields = CELLS, Field("v", ("x",))
    with pytest.raises(ValueError, match=r"on 'x' only \['u'\] are such means"):
        WaveletLayout(fields, DIMS, (4, 4, 4), "haar", ("periodization",) * 3)
    with pytest.raises(ValueError, match=r"walls along \('x',\). Drop these"):
        CellMeans("u", DIMS, walls=("x",))
