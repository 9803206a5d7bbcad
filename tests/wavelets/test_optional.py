"""Given fields that may be missing: zeros, and a flag that says so."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import make_layouts

from wdno._json import from_json, to_json
from wdno.operator import OptionalConditions, tasks
from wdno.wavelets.optional import flag, withheld
from wdno.wavelets.protocols import Conditions

ROWS = 3


def layout():
    return make_layouts(task=tasks.reaching)[1]


def fields():
    draw = np.random.default_rng(0)
    return {n: jnp.asarray(draw.normal(size=(ROWS, 8))) for n in ("u0", "uT")}


def test_what_is_given_is_as_it_was_and_flagged():
    plain, optional = layout(), OptionalConditions(layout(), ("uT",))
    z = optional.analysis(fields())
    assert optional.channels == (*plain.channels, "uT:given")
    np.testing.assert_array_equal(z[..., :-1], plain.analysis(fields()))
    np.testing.assert_array_equal(z[..., -1], 1)


def test_rows_without_a_field_do_not_depend_on_it():
    optional = OptionalConditions(layout(), ("uT",))
    known = fields()
    wrong = {**known, "uT": jnp.full_like(known["uT"], jnp.nan)}
    given = jnp.asarray([1.0, 0.0, 0.0])
    z = optional.analysis(withheld(known, ("uT",), given))
    np.testing.assert_array_equal(z[:1], optional.analysis(known)[:1])
    other = optional.analysis(withheld(wrong, ("uT",), given))
    np.testing.assert_array_equal(z[1:], other[1:])
    # Left out for all rows is the same as withheld from all.
    left_out = optional.analysis({"u0": known["u0"]})
    np.testing.assert_array_equal(z[1:], left_out[1:])
    np.testing.assert_array_equal(left_out[..., -1], 0)


def test_it_moves_to_other_grids_and_through_cards():
    optional = OptionalConditions(layout(), ("uT",))
    assert isinstance(optional, Conditions)
    assert optional.on((8, 16)).coefficient_grid == (4, 8)
    assert from_json(to_json(optional), Conditions) == optional


def test_what_is_refused():
    for names in (("u1",), ("u0", "uT")):
        with pytest.raises(ValueError, match="one at least is not.*Name others"):
            OptionalConditions(layout(), names)
    with pytest.raises(ValueError, match="'u0' is missing"):
        OptionalConditions(layout(), ("uT",)).analysis({"uT": fields()["uT"]})


def test_a_plain_layout_takes_no_notice_of_flags():
    known = {**fields(), flag("uT"): jnp.zeros(ROWS)}
    np.testing.assert_array_equal(layout().analysis(known), layout().analysis(fields()))
