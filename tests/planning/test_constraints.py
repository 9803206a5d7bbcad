"""Hard constraints: projections, as functions of fields and inside the sampler."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import make_layouts

from wdno.diffusion.guidance import compose, guide, project
from wdno.diffusion.noise import per_row
from wdno.operator import tasks
from wdno.planning.constraints import (
    all_of,
    bounds,
    check_constraint,
    region,
    smooth,
)

MASK = np.array([True] * 3 + [False] * 5)
BOTH = all_of(bounds("f", -0.3, 0.5), region("f", MASK))


def make_fields(rows=3, size=1.0, dtype=float):
    draw = np.random.default_rng(0).normal(size=(2, rows, 4, 8))
    return {
        name: jnp.asarray(size * values, dtype)
        for name, values in zip("uf", draw, strict=True)
    }


def make_layout(**changes):
    layout, _ = make_layouts(task=tasks.control)
    return dataclasses.replace(layout, **changes)


# ------------------------------------------------------------------ the projections


def test_bounds_clamp_one_field():
    fields = make_fields()
    inside = bounds("f", -0.3, 0.5)(fields)
    np.testing.assert_array_equal(inside["f"], np.clip(fields["f"], -0.3, 0.5))
    assert inside["u"] is fields["u"]
    np.testing.assert_array_equal(
        bounds("f", high=0.0)(fields)["f"], np.minimum(fields["f"], 0)
    )


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.7])
def test_bounds_hold_exactly_in_single_precision(bound):
    """float32(0.1) > 0.1 and float32(0.7) < 0.7: rounding may not leave the bounds."""
    fields = make_fields(size=10.0, dtype=np.float32)
    f = bounds("f", -bound, bound)(fields)["f"]
    assert f.dtype == np.float32
    assert float(abs(f).max()) <= bound
    assert float(abs(f).max()) > bound * (1 - 2e-7)


def test_region_is_zero_outside_and_untouched_inside():
    fields = make_fields()
    confined = region("f", MASK)(fields)
    np.testing.assert_array_equal(confined["f"][..., :3], fields["f"][..., :3])
    np.testing.assert_array_equal(confined["f"][..., 3:], 0)
    assert confined["u"] is fields["u"]


def test_region_of_two_space_axes():
    mask = np.arange(12).reshape(3, 4) % 2 == 0
    f = jnp.ones((2, 5, 3, 4))
    confined = region("f", mask)({"f": f})["f"]
    np.testing.assert_array_equal(confined, np.broadcast_to(mask, f.shape))


def test_smooth_keeps_the_slowest_cosines_and_nothing_else():
    time, x = (np.arange(n)[:, None] + 0.5 for n in (4, 8))
    cosines = [np.cos(np.pi * k * time / 4) * np.cos(np.pi * m * x.T / 8)
               for k, m in ((1, 2), (2, 2), (1, 3))]  # fmt: skip
    slow = jnp.asarray(cosines)
    kept = smooth("f", 2, 3)({"f": slow, "u": slow})
    expected = slow * np.array([1.0, 0, 0])[:, None, None]
    np.testing.assert_allclose(kept["f"], expected, atol=1e-12)
    assert kept["u"] is slow
    whole = smooth("f", 4, 8)(make_fields())["f"]
    np.testing.assert_allclose(whole, make_fields()["f"], atol=1e-12)
    draw = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    flat = smooth("f", 1, 1, 1)({"f": draw})["f"]
    means = np.broadcast_to(draw.mean((1, 2, 3), keepdims=True), draw.shape)
    np.testing.assert_allclose(flat, means, atol=1e-12)


@pytest.mark.parametrize("linear", [smooth("f", 2, 3), region("f", MASK)])
def test_a_linear_constraint_projects_the_gradient(linear):
    """grad J(P f) is P grad J at P f, which descents rely on."""
    fields, value = make_fields(), lambda f: (jnp.sin(f) ** 2).sum()
    f = {"f": fields["f"]}
    through = jax.grad(lambda f: value(linear(f)["f"]))(f)
    after = linear({"f": jax.grad(value)(linear(f)["f"])})
    np.testing.assert_allclose(through["f"], after["f"], atol=1e-12)


def test_every_applies_in_order_and_commutes_for_bounds_and_regions():
    fields = make_fields()
    other = all_of(region("f", MASK), bounds("f", -0.3, 0.5))
    jax.tree.map(np.testing.assert_array_equal, BOTH(fields), other(fields))
    up, down = bounds("f", low=1.0), bounds("f", high=-1.0)
    np.testing.assert_array_equal(all_of(up, down)(fields)["f"], -1)
    np.testing.assert_array_equal(all_of(down, up)(fields)["f"], 1)
    assert all_of()(fields) == fields


def test_the_nearest_allowed_field_is_chosen():
    """No allowed field g is nearer: <f - P f, g - P f> <= 0 for all of them."""
    f, allowed = make_fields()["f"], BOTH(make_fields())["f"]
    for seed in range(20):
        other = np.random.default_rng(seed).normal(size=f.shape)
        g = BOTH({"f": jnp.asarray(other)})["f"]
        assert ((f - allowed) * (g - allowed)).sum() <= 1e-12


def test_equal_bounds_are_one_object():
    assert bounds("f", -1.0, 1.0) is bounds("f", -1.0, 1.0)


# --------------------------------------------------------------- at all_of estimate


def shifted(x, sigma):
    return x + per_row(sigma, x)


@pytest.mark.parametrize("wavelet", ["haar", "bior2.4"])
def test_estimates_are_projected_in_physical_space(wavelet):
    layout = make_layout(wavelet=wavelet)
    shape = (3, *layout.coefficient_grid, len(layout.channels))
    x, sigma = jax.random.normal(jax.random.key(0), shape), jnp.array([0.1, 1.0, 9.0])
    before = shifted(x, sigma)
    after = project(BOTH, layout)(shifted)(x, sigma)
    expected = layout.analysis(BOTH(layout.synthesis(before)))
    np.testing.assert_allclose(after, expected, atol=1e-12)
    np.testing.assert_array_equal(  # not one bit of the other field
        layout.select(after, "u"), layout.select(before, "u")
    )
    fields = layout.synthesis(after)["f"]
    assert fields.max() <= 0.5 + 1e-12 and fields.min() >= -0.3 - 1e-12
    np.testing.assert_allclose(fields[..., 3:], 0, atol=1e-12)


def test_a_redundant_transform_keeps_what_synthesis_does_not_see():
    layout = make_layout(wavelet="bior2.4", mode=("symmetric", "symmetric"))
    shape = (2, *layout.coefficient_grid, len(layout.channels))
    x, sigma = jax.random.normal(jax.random.key(0), shape), jnp.ones(2)
    after = project(BOTH, layout)(shifted)(x, sigma)
    allowed = BOTH(layout.synthesis(shifted(x, sigma)))
    jax.tree.map(
        lambda f, g: np.testing.assert_allclose(f, g, atol=1e-12),
        layout.synthesis(after),
        allowed,
    )
    again = project(BOTH, layout)(lambda x, sigma: x)(after, sigma)
    np.testing.assert_allclose(again, after, atol=1e-12)


def test_what_is_allowed_stays_as_it_is():
    layout = make_layout()
    z = layout.analysis(BOTH(make_fields()))
    # up to the rounding of synthesis, which may leave the bounds by an ulp
    kept = project(BOTH, layout)(lambda x, sigma: x)(z, jnp.ones(3))
    np.testing.assert_allclose(kept, z, atol=1e-13)


def test_projection_comes_after_the_objective():
    layout = make_layout(scale=())
    strong = guide(lambda s: s["f"].sum((1, 2)), layout, 100.0)
    wish = compose(strong, project(bounds("f", -1.0, 1.0), layout))
    z = layout.analysis(make_fields())
    guided = wish(lambda x, sigma: x)(z, jnp.ones(3))
    np.testing.assert_allclose(layout.synthesis(guided)["f"], -1.0)


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, -1.0), (1.0, 1.0), (float("nan"), 1.0), (0.0, -np.inf)]
)
def test_bad_bounds(low, high):
    with pytest.raises(ValueError, match="low < high, but are .* one control only"):
        bounds("f", low, high)


def test_bad_masks():
    with pytest.raises(ValueError, match="excludes every control. Is it inverted"):
        region("f", np.zeros(8, bool))
    with pytest.raises(ValueError, match="is boolean, but that of 'f' is float64"):
        region("f", np.ones(8))
    with pytest.raises(ValueError, match=r"\(3, 4, 8\) .* and the mask \(7,\)"):
        region("f", np.ones(7, bool))(make_fields())


def test_bad_waves():
    for waves in ((), (0, 8)):
        with pytest.raises(ValueError, match="one cosine an axis or more, but 'f'"):
            smooth("f", *waves)
    for waves in ((2,), (5, 8)):
        with pytest.raises(ValueError, match=r"has the axes \(4, 8\) and is to keep"):
            smooth("f", *waves)(make_fields())


def test_fields_that_are_not_there():
    for constraint in (bounds("g", 0.0), region("g", MASK), smooth("g", 2, 3)):
        with pytest.raises(ValueError, match=r"acts on 'g', but .* \['f', 'u'\]"):
            constraint(make_fields())


def only(f):
    """A constraint that replaces the control."""
    return lambda fields: {**fields, "f": f(fields["f"])}


def mean_free(f):
    return f - f.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "constraint",
    [
        BOTH,
        only(mean_free),
        smooth("f", 2, 3),
        bounds("f", 50.0, 60.0),
        bounds("u", -0.1, 0.1),
        all_of(),
    ],
    ids=["both", "linear", "smooth", "far from data", "state", "none"],
)
def test_good_constraints_pass(constraint):
    check_constraint(constraint, make_fields(), ("f",))


BAD = {
    "new name": (lambda s: {**s, "g": s["f"]}, "keeps the names"),
    "dropped": (lambda s: {"f": s["f"]}, "keeps the names"),
    "reshaped": (only(lambda f: f.sum(1)), "keeps the names, shapes"),
    "another type": (only(lambda f: f.astype(np.float32)), "shapes and types"),
    "not finite": (only(lambda f: jnp.log(f)), "must be finite, but its 'f'"),
    "scales": (only(lambda f: f / 2), "'f' changed"),
    "shifts a state": (lambda s: {**s, "u": s["u"] + 1}, "'u' changed"),
    "one control": (only(jnp.zeros_like), r"excludes every control \['f'\]"),
    "nothing left": (all_of(region("f", MASK), region("f", ~MASK)), "excludes every"),
}


@pytest.mark.parametrize(("constraint", "message"), BAD.values(), ids=BAD)
def test_bad_constraints_are_found_out(constraint, message):
    with pytest.raises(ValueError, match=message):
        check_constraint(constraint, make_fields(), ("f",))
