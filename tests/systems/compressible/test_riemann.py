"""The exact Riemann solver against Toro's numbers, tables and the jump conditions."""

import numpy as np
import pytest

from wdno.systems.compressible.riemann import Gas, contact, riemann

AIR = 1.4
SOD = Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.1)
# Toro, 3rd ed., tables 4.1 to 4.3: left, right, p*, v*, densities at the contact.
TORO = {
    "sod": (*SOD, 0.30313, 0.92745, 0.42632, 0.26557),
    "123": (Gas(1, -2, 0.4), Gas(1, 2, 0.4), 0.00189, 0.0, 0.02185, 0.02185),
    "blast left": (
        Gas(1, 0, 1000),
        Gas(1, 0, 0.01),
        460.894,
        19.5975,
        0.57506,
        5.99924,
    ),
    "blast right": (
        Gas(1, 0, 0.01),
        Gas(1, 0, 100),
        46.0950,
        -6.19633,
        5.99242,
        0.57511,
    ),
    "collision": (
        Gas(5.99924, 19.5975, 460.894),
        Gas(5.99242, -6.19633, 46.0950),
        1691.64,
        8.68975,
        14.2823,
        31.0426,
    ),
}


@pytest.mark.parametrize("name", TORO)
def test_toros_table(name):
    left, right, pressure, velocity, before, after = TORO[name]
    star = contact(left, right, AIR)
    np.testing.assert_allclose(star, (pressure, velocity), rtol=6e-6, atol=6e-6)
    beside = velocity + np.array([-1e-4, 1e-4])
    density = riemann(left, right, beside, AIR)["density"]
    np.testing.assert_allclose(density, (before, after), rtol=2e-4)


@pytest.mark.parametrize(
    ("file", "gases", "time"),
    [
        ("sod-exact.out", SOD, 0.2),
        ("test2-exact.out", (Gas(1, -2, 0.4), Gas(1, 2, 0.4)), 0.15),
    ],
)
def test_an_independent_solver_agrees(shared, file, gases, time):
    table = np.loadtxt(shared / "data" / "shock" / file)
    exact = riemann(*gases, ((np.arange(128) + 0.5) / 128 - 0.5) / time, AIR)
    for name, column in (("density", 1), ("velocity", 2), ("pressure", 3)):
        np.testing.assert_allclose(exact[name], table[:, column], atol=6e-7)


@pytest.mark.parametrize("name", TORO)
@pytest.mark.parametrize("ratio", [AIR, 5 / 3])
def test_mass_momentum_and_energy_are_balanced(name, ratio):
    """d/dt of what is between -X t and X t is what flows in at both ends."""
    left, right = TORO[name][:2]
    reach = 1.05 * max(abs(g.velocity) + 4 * np.sqrt(g.pressure) for g in (left, right))
    speed = (np.arange(2_000_000) + 0.5) / 1_000_000 - 1
    exact = riemann(left, right, reach * speed, ratio)

    def densities(density, velocity, pressure):
        energy = pressure / (ratio - 1) + density * velocity**2 / 2
        return np.array([density, density * velocity, energy])

    def flux(gas):
        mass, momentum, energy = densities(*gas)
        work = (energy + gas.pressure) * gas.velocity
        return np.array([momentum, momentum * gas.velocity + gas.pressure, work])

    inside = 2 * reach * densities(*exact.values()).mean(axis=1)
    before = reach * (densities(*left) + densities(*right))
    scale = np.abs(inside) + np.abs(before) + np.abs(flux(left)) + np.abs(flux(right))
    balance = (inside - before - flux(left) + flux(right)) / scale
    np.testing.assert_allclose(balance, 0, atol=2e-5)


@pytest.mark.parametrize("name", TORO)
def test_a_mirror_turns_the_solution_round(name):
    left, right = TORO[name][:2]
    speed = np.linspace(-30, 30, 997)
    there = riemann(left, right, speed, AIR)
    turned = riemann(
        right._replace(velocity=-right.velocity),
        left._replace(velocity=-left.velocity),
        -speed,
        AIR,
    )
    sign = {"density": 1, "velocity": -1, "pressure": 1}
    for key, values in there.items():
        np.testing.assert_allclose(
            turned[key], sign[key] * values, rtol=1e-9, atol=1e-12
        )


def test_uniform_gas_stays():
    gas = Gas(0.7, -0.3, 1.9)
    assert contact(gas, gas) == pytest.approx((1.9, -0.3), rel=1e-9)
    for key, values in riemann(gas, gas, np.linspace(-3, 3, 50)).items():
        np.testing.assert_allclose(values, getattr(gas, key), rtol=1e-9)


def test_a_rarefaction_keeps_entropy_and_invariant():
    speed = np.linspace(-1.1, 0.5, 100)
    exact = riemann(*SOD, speed, AIR)
    entropy = exact["pressure"] / exact["density"] ** AIR
    sound = np.sqrt(AIR * exact["pressure"] / exact["density"])
    np.testing.assert_allclose(entropy, 1, rtol=1e-12)
    np.testing.assert_allclose(
        exact["velocity"] + 5 * sound, 5 * np.sqrt(AIR), rtol=1e-12
    )


def test_gases_that_part_too_fast_leave_a_vacuum():
    """The edges move with v ± 2 c / (γ - 1) (Toro, section 4.6)."""
    left, right = Gas(1.0, -6.0, 0.6), Gas(1.0, 6.0, 0.6)
    assert contact(left, right) == (0, 0)
    speed = np.array([-8, -3.1, -2.9, 0, 2.9, 3.1, 8])
    exact = riemann(left, right, speed)
    np.testing.assert_array_equal(exact["density"] == 0, np.abs(speed) < 3)
    np.testing.assert_array_equal(exact["pressure"] == 0, np.abs(speed) < 3)
    np.testing.assert_allclose(exact["velocity"][[2, 4]], [-3, 3])


@pytest.mark.parametrize("name", ["density", "pressure"])
def test_density_and_pressure_are_positive(name):
    with pytest.raises(ValueError, match=f"right_{name} is 0"):
        contact(SOD[0], SOD[1]._replace(**{name: 0.0}))
