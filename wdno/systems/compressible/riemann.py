"""The exact solution of Riemann's problem for an ideal gas: a reference for solvers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar

from wdno.systems.base import check_positive

__all__ = ["Gas", "contact", "riemann"]

Speeds = Float[np.ndarray, " speed"]


class Gas(NamedTuple):
    """Uniform density ρ, velocity v and pressure p on one side of a jump."""

    density: float
    velocity: float
    pressure: float


def riemann(
    left: Gas, right: Gas, speed: Speeds, ratio: float = 5 / 3
) -> dict[str, Speeds]:
    """Solve for the gas that a jump at x = 0 has become, along x = speed · t.

    Toro, Riemann Solvers and Numerical Methods for Fluid Dynamics, 3rd ed., chapter 4:
    between two waves, each a shock (eqs. 4.50 to 4.52) or a rarefaction (eqs. 4.53 to
    4.56), pressure and velocity are uniform, and density jumps at the contact. Gases
    that part too fast leave a vacuum, with the velocity of its nearer edge.

    Args:
        left: gas at x < 0 and t = 0.
        right: gas at x > 0 and t = 0.
        speed: x / t.
        ratio: γ.

    Returns:
        ``density``, ``velocity`` and ``pressure`` at every speed.

    Raises:
        ValueError: If a density or a pressure is not positive.

    Example:
        >>> sod = Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.1)
        >>> riemann(*sod, np.linspace(-1, 1, 5), ratio=1.4)["density"].round(3)
        array([1.   , 0.688, 0.426, 0.266, 0.266])
    """
    pressure, _ = contact(left, right, ratio)
    mirrored = right._replace(velocity=-right.velocity)
    before = _behind(left, pressure, speed, ratio)
    after = _behind(mirrored, pressure, -speed, ratio)
    after["velocity"] = -after["velocity"]
    edges = _edge(left, pressure, ratio), -_edge(mirrored, pressure, ratio)
    is_left = speed < sum(edges) / 2
    return {name: np.where(is_left, before[name], after[name]) for name in before}


def contact(left: Gas, right: Gas, ratio: float = 5 / 3) -> tuple[float, float]:
    """Pressure and velocity between the waves (Toro, eqs. 4.5 and 4.9).

    Returns:
        p* and v*; in a vacuum zero, and the mean velocity of its edges.
    """
    for side, gas in (("left", left), ("right", right)):
        numbers = {f"{side}_{name}": getattr(gas, name) for name in gas._fields}
        del numbers[f"{side}_velocity"]
        check_positive(**numbers, ratio_less_one=ratio - 1)
    mirrored = right._replace(velocity=-right.velocity)

    def approach(pressure: float) -> float:
        """How fast the edges of both waves move into each other."""
        return _edge(left, pressure, ratio) + _edge(mirrored, pressure, ratio)

    pressure = 0.0
    if approach(0.0) > 0:
        high = float(max(left.pressure, right.pressure))
        while approach(high) > 0:
            high *= 2
        # Falls monotonically. The logarithm finds pressures of any size.
        low = high
        while approach(low) < 0:
            low /= 2
        root = root_scalar(
            lambda logarithm: approach(float(np.exp(logarithm))),
            bracket=(np.log(low), np.log(high) + 1e-9),
            xtol=1e-15,
            rtol=1e-15,
        ).root
        pressure = float(np.exp(root))
    edges = _edge(left, pressure, ratio), -_edge(mirrored, pressure, ratio)
    return pressure, sum(edges) / 2


def _sound(gas: Gas, ratio: float) -> float:
    return float(np.sqrt(ratio * gas.pressure / gas.density))


def _edge(gas: Gas, pressure: float, ratio: float) -> float:
    """Velocity of a gas on the left once a wave has brought it to this pressure."""
    if pressure > gas.pressure:  # a shock, eqs. 4.6 and 4.8
        a = 2 / (ratio + 1) / gas.density
        b = (ratio - 1) / (ratio + 1) * gas.pressure
        return gas.velocity - (pressure - gas.pressure) * np.sqrt(a / (pressure + b))
    fall = (pressure / gas.pressure) ** ((ratio - 1) / (2 * ratio))
    return gas.velocity - 2 * _sound(gas, ratio) / (ratio - 1) * (fall - 1)


def _behind(
    gas: Gas, pressure: float, speed: Speeds, ratio: float
) -> dict[str, Speeds]:
    """The gas on the left of the contact, with its wave into ``gas``."""
    sound, velocity = _sound(gas, ratio), _edge(gas, pressure, ratio)
    rise = pressure / gas.pressure
    if rise > 1:
        weak = (ratio - 1) / (ratio + 1)
        density = gas.density * (rise + weak) / (weak * rise + 1)  # eq. 4.50
        strength = (ratio + 1) * rise + ratio - 1
        head = tail = gas.velocity - sound * np.sqrt(strength / (2 * ratio))
    else:
        density = gas.density * rise ** (1 / ratio)  # eq. 4.53
        head = gas.velocity - sound
        tail = velocity - sound * rise ** ((ratio - 1) / (2 * ratio))
    # Within the fan, eq. 4.56: sound is slower by this factor.
    within = np.clip(speed, head, tail)
    slower = (2 + (ratio - 1) / sound * (gas.velocity - within)) / (ratio + 1)
    slower = np.maximum(slower, 0)
    fan = {
        "density": gas.density * slower ** (2 / (ratio - 1)),
        "velocity": 2 / (ratio + 1) * (sound + within)
        + (ratio - 1) / (ratio + 1) * gas.velocity,
        "pressure": gas.pressure * slower ** (2 * ratio / (ratio - 1)),
    }
    behind = {"density": density, "velocity": velocity, "pressure": pressure}
    return {
        name: np.where(
            speed < head,
            getattr(gas, name),
            np.where(speed < tail, fan[name], behind[name]),
        )
        for name in fan
    }
