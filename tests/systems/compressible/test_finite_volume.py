"""Reconstruction, fluxes, boundaries and steps against exact values and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.systems.compressible.finite_volume import (
    OUTGOING,
    PERIODIC,
    WALL,
    Conserved,
    Primitive,
    fluxes,
    hllc,
    reconstruct,
    sound_speed,
    strong_stability_step,
    to_conserved,
    to_primitive,
)
from wdno.systems.compressible.riemann import Gas, riemann

RATIO = 1.4


def random_gas(seed, cells=20, batch=3):
    draw = np.random.default_rng(seed)
    ranges = ((0.1, 2), (-2, 2), (0.1, 2))
    return Primitive(*(jnp.asarray(draw.uniform(*r, (batch, cells))) for r in ranges))


def flux_of(gas):
    """Mass, momentum and energy that a uniform gas carries through a face."""
    energy = to_conserved(gas, RATIO).energy
    mass = gas.density * gas.velocity
    work = gas.velocity * (energy + gas.pressure)
    return Conserved(mass, mass * gas.velocity + gas.pressure, work)


def assert_same(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def davis(left, right):
    """Outer waves from both gases."""
    sides = [(g.velocity, sound_speed(g, RATIO)) for g in (left, right)]
    return (
        jnp.minimum(*(v - c for v, c in sides)),
        jnp.maximum(*(v + c for v, c in sides)),
    )


def test_conserved_and_primitive_are_inverse():
    gas = random_gas(0)
    assert_same(to_primitive(to_conserved(gas, RATIO), RATIO), gas, rtol=1e-12)
    one = Primitive(*(jnp.full((1, 1), value) for value in (2.0, 3.0, 4.0)))
    assert_same(to_conserved(one, RATIO), ([[2]], [[6]], [[4 / 0.4 + 9]]), rtol=1e-12)


def test_boundaries_copy_the_right_cells():
    gas = Primitive(*(jnp.arange(1.0, 6.0)[None] + k for k in (0, 10, 20)))
    v = gas.velocity[0]
    cells = {
        PERIODIC: ([3, 4], [0, 1], 1),
        OUTGOING: ([0, 0], [4, 4], 1),
        WALL: ([1, 0], [4, 3], -1),
    }
    for boundary, (before, after, sign) in cells.items():
        extended = boundary.extend(gas)
        for name in ("density", "pressure"):
            values, inner = getattr(extended, name)[0], getattr(gas, name)[0]
            rows = np.array([*before, *range(5), *after])
            np.testing.assert_array_equal(values, inner[rows])
        expected = [*(sign * v[np.array(before)]), *v, *(sign * v[np.array(after)])]
        np.testing.assert_array_equal(extended.velocity[0], expected)


def test_reconstruction_is_exact_for_parabolas():
    """From means over cells, where the parabola has no extremum nearby."""
    edges = np.arange(11.0)
    integral = edges**3 / 3 + edges**2
    left, right = reconstruct(jnp.asarray(np.diff(integral))[None])
    exact = (edges**2 + 2 * edges)[2:-2]
    np.testing.assert_allclose(left[0], exact, rtol=1e-12)
    np.testing.assert_allclose(right[0], exact, rtol=1e-12)


def test_reconstruction_makes_no_new_extremum():
    values = jnp.asarray(np.random.default_rng(0).normal(size=(4, 500)))
    left, right = (np.asarray(side) for side in reconstruct(values))
    values = np.asarray(values)
    low = np.minimum(values[:, 1:-2], values[:, 2:-1])
    high = np.maximum(values[:, 1:-2], values[:, 2:-1])
    for side in (left, right):
        assert (side >= low - 1e-12).all() and (side <= high + 1e-12).all()
    peak = np.diff(values)[:, :-1] * np.diff(values)[:, 1:] <= 0
    np.testing.assert_array_equal(left[peak[:, :-1]], values[:, 1:-2][peak[:, :-1]])


def test_reconstruction_has_a_mirror_image():
    values = jnp.asarray(np.random.default_rng(1).normal(size=(2, 50)))
    left, right = reconstruct(values)
    turned_left, turned_right = reconstruct(values[:, ::-1])
    np.testing.assert_allclose(turned_left, right[:, ::-1], rtol=1e-12)
    np.testing.assert_allclose(turned_right, left[:, ::-1], rtol=1e-12)


def test_flux_between_equal_gases_is_theirs():
    gas = random_gas(2)
    assert_same(hllc(gas, gas, *davis(gas, gas), RATIO), flux_of(gas), rtol=1e-11)


def test_a_contact_is_exact():
    """Gases of one velocity and pressure: what lies upwind flows through."""
    one, two = random_gas(3), random_gas(4)
    other = one._replace(density=two.density)
    flux = hllc(one, other, *davis(one, other), RATIO)
    upwind = jax.tree.map(
        lambda a, b: jnp.where(one.velocity > 0, a, b), flux_of(one), flux_of(other)
    )
    assert_same(flux, upwind, rtol=1e-10, atol=1e-11)


def test_a_lone_shock_is_exact():
    """HLLC has the exact flux if one of its waves is the only one."""
    left, right = Gas(1.0, 0.9, 1.0), Gas(0.4, 0.1, 0.2)
    speed = 0.0
    behind = riemann(left, right, np.array([1.6]), RATIO)  # behind the right shock
    shocked = Primitive(*(jnp.full((1, 1), float(v[0])) for v in behind.values()))
    ahead = Primitive(*(jnp.full((1, 1), v) for v in right))
    jump = shocked.density - ahead.density
    speed = (flux_of(shocked).mass - flux_of(ahead).mass) / jump
    slowest = shocked.velocity - sound_speed(shocked, RATIO)
    for drift in (0.0, -float(speed[0, 0]) - 0.1):  # the shock goes right, then left
        moved = [g._replace(velocity=g.velocity + drift) for g in (shocked, ahead)]
        flux = hllc(*moved, slowest + drift, speed + drift, RATIO)
        expected = flux_of(moved[0] if speed + drift > 0 else moved[1])
        assert_same(flux, expected, rtol=1e-9)


def test_supersonic_flow_is_upwind():
    left, right = random_gas(5), random_gas(6)
    fast = [g._replace(velocity=g.velocity + 20) for g in (left, right)]
    assert_same(hllc(*fast, *davis(*fast), RATIO), flux_of(fast[0]), rtol=1e-12)
    fast = [g._replace(velocity=g.velocity - 20) for g in (left, right)]
    assert_same(hllc(*fast, *davis(*fast), RATIO), flux_of(fast[1]), rtol=1e-12)


def test_flux_has_a_mirror_image():
    left, right = random_gas(7), random_gas(8)
    turned = [g._replace(velocity=-g.velocity) for g in (right, left)]
    there = hllc(left, right, *davis(left, right), RATIO)
    back = hllc(*turned, *davis(*turned), RATIO)
    expected = Conserved(-there.mass, there.momentum, -there.energy)
    assert_same(back, expected, rtol=1e-9, atol=1e-11)


def test_viscous_stress_and_its_work():
    """A linear velocity: stress friction v_x, whose work is that times v."""
    x = (jnp.arange(12.0)[None] - 1.5) * 0.1
    gas = Primitive(jnp.ones_like(x), 0.3 * x, jnp.ones_like(x))
    viscous, free = (fluxes(gas, RATIO, friction, 0.1) for friction in (0.7, 0.0))
    np.testing.assert_array_equal(viscous.mass, free.mass)
    stress = 0.7 * 0.3
    np.testing.assert_allclose(free.momentum - viscous.momentum, stress, rtol=1e-10)
    at_faces = 0.3 * (np.arange(9) * 0.1)[None]
    np.testing.assert_allclose(
        free.energy - viscous.energy, stress * at_faces, atol=1e-14
    )


@pytest.mark.parametrize(
    ("weights", "taylor"),
    [((0.0, 1 / 2), [1 / 2, 1, 1]), ((0.0, 3 / 4, 1 / 3), [1 / 6, 1 / 2, 1, 1])],
)
def test_steps_are_of_their_order(weights, taylor):
    """For y' = y a step is Taylor's polynomial of e^h."""
    h = 0.3
    start = Conserved(*(jnp.ones((1, 1)) for _ in range(3)))

    def euler(state):
        return jax.tree.map(lambda value: value + h * value, state)

    step = strong_stability_step(euler, start, weights)
    for values in step:
        np.testing.assert_allclose(values, np.polyval(taylor, h), rtol=1e-14)
