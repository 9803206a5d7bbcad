"""Random initial states of a gas: jumps and waves.

They are in the spirit of PDEBench (Takamoto et al., NeurIPS 2022, arXiv 2210.07182,
appendix on compressible flow in one dimension), of which only the description was used.
"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.systems.base import check_positive

__all__ = ["InitialStates", "Jumps", "Waves"]

Range = tuple[float, float]

EDGE = 0.01
"""Half the thickness of the edges of a window, as a share of the domain."""


@runtime_checkable
class InitialStates(Protocol):
    """A distribution of initial states, a frozen dataclass."""

    def draw(self, key: PRNGKeyArray, samples: int, points: int) -> Fields:
        """Density, velocity and pressure, each (samples, points), under name + "0"."""
        ...


@dataclass(frozen=True)
class Jumps:
    """Constant gas between jumps at random places; one jump is a shock tube.

    Between any two jumps density, velocity and pressure are uniform in their ranges,
    independently. By default no jump opens a vacuum: velocities differ by less than
    2 (c + c') / (γ - 1) at γ = 5/3 (Toro, section 4.3.1).

    Attributes:
        jumps: Their number.
        density: Range of the density.
        velocity: Range of the velocity.
        pressure: Range of the pressure.
        places: Where jumps may be, as a share of the domain. A jump moves to the
            nearest border of two cells.

    Raises:
        ValueError: If there is no jump or a range makes no sense.

    Example:
        >>> Jumps(jumps=4).draw(jax.random.key(0), samples=2, points=128)
    """

    jumps: int = 1
    density: Range = (0.2, 2.0)
    velocity: Range = (-1.0, 1.0)
    pressure: Range = (0.2, 2.0)
    places: Range = (0.25, 0.75)

    def __post_init__(self) -> None:
        """Refuse a negative density or pressure, and ranges that are not."""
        check_positive(
            jumps=self.jumps,
            lowest_density=self.density[0],
            lowest_pressure=self.pressure[0],
        )
        for name in ("density", "velocity", "pressure", "places"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(
                    f"A range goes from its low end to its high end, but {name} is "
                    f"({low}, {high}). Turn it round."
                )

    def draw(self, key: PRNGKeyArray, samples: int, points: int) -> Fields:
        """Draw states on so many equal cells.

        Returns:
            ``density0``, ``velocity0`` and ``pressure0``, (samples, points), float32.
        """
        keys = jax.random.split(key, 4)
        draw = partial(jax.random.uniform, dtype=jnp.float32)
        low, high = self.places
        place = draw(keys[0], (samples, self.jumps), minval=low, maxval=high)
        passed = (_centres(points)[None, :, None] > place[:, None, :]).sum(axis=-1)
        fields = {}
        for name, one in zip(
            ("density", "velocity", "pressure"), keys[1:], strict=True
        ):
            low, high = getattr(self, name)
            value = draw(one, (samples, self.jumps + 1), minval=low, maxval=high)
            fields[f"{name}0"] = jnp.take_along_axis(value, passed, axis=1)
        return fields


@dataclass(frozen=True)
class Waves:
    """Smooth periodic fields around a uniform gas at rest, some of them in a window.

    Each of density, velocity and pressure has a perturbation of its own,

    ``w(s) = Σ_i a_i sin(2π n_i s + φ_i) / waves``,  0 < s < 1 along the domain,

    with a_i uniform between 0 and 1, n_i a whole number up to ``wavenumber`` and φ_i
    any phase, so that |w| ≤ 1. With the probability ``windowed`` the perturbations of a
    sample are zero outside of an interval around the middle, with soft edges. The gas
    has density ρ0 (1 + contrast w), velocity speed w' and pressure p0 (1 + contrast
    w''). A value belongs to the centre of its cell.

    Attributes:
        waves: Terms of each perturbation.
        wavenumber: Largest number of waves in the domain.
        density: ρ0.
        speed: Bound of the velocity.
        pressure: p0.
        contrast: Bound of the relative perturbation of density and pressure.
        windowed: Probability of a window.

    Raises:
        ValueError: If a number is not positive, contrast not below 1 or windowed not
            from 0 to 1.
    """

    waves: int = 4
    wavenumber: int = 4
    density: float = 1.0
    speed: float = 1.0
    pressure: float = 1.0
    contrast: float = 0.8
    windowed: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what could make a density or a pressure negative."""
        numbers = dict(vars(self))
        windowed = numbers.pop("windowed")
        check_positive(**numbers)
        if not (self.contrast < 1 and 0 <= windowed <= 1):
            raise ValueError(
                "Waves leave density and pressure positive, and a probability is at "
                f"most 1, but contrast is {self.contrast} and windowed {windowed}. "
                "Choose a contrast below 1 and a probability from 0 to 1."
            )

    def draw(self, key: PRNGKeyArray, samples: int, points: int) -> Fields:
        """Draw states on so many equal cells.

        Returns:
            ``density0``, ``velocity0`` and ``pressure0``, (samples, points), float32.
        """
        terms, present, edges = jax.random.split(key, 3)
        s = _centres(points)
        window = _window(present, edges, samples, s, self.windowed)
        w = self._perturbation(terms, samples, s) * window[:, None]
        return {
            "density0": self.density * (1 + self.contrast * w[:, 0]),
            "velocity0": self.speed * w[:, 1],
            "pressure0": self.pressure * (1 + self.contrast * w[:, 2]),
        }

    def _perturbation(
        self, key: PRNGKeyArray, samples: int, s: Float[Array, " x"]
    ) -> Float[Array, "samples 3 x"]:
        """Sums of sines with values from -1 to 1."""
        keys, shape = jax.random.split(key, 3), (samples, 3, self.waves)
        height = jax.random.uniform(keys[0], shape, jnp.float32)
        count = jax.random.randint(keys[1], shape, 1, self.wavenumber + 1)
        phase = jax.random.uniform(keys[2], shape, jnp.float32)
        turns = (
            count.astype(jnp.float32)[..., None] * s[None, None, None]
            + phase[..., None]
        )
        return (height[..., None] * jnp.sin(2 * jnp.pi * turns)).mean(axis=2)


def _window(
    present: PRNGKeyArray,
    edges: PRNGKeyArray,
    samples: int,
    s: Float[Array, " x"],
    probability: float,
) -> Float[Array, "samples x"]:
    """One everywhere or, for some samples, within an interval around the middle."""
    low, high = jnp.float32([0.1, 0.6]), jnp.float32([0.4, 0.9])
    ends = jax.random.uniform(edges, (samples, 2), jnp.float32)
    begin, end = jnp.split(low[None] + (high - low)[None] * ends, 2, axis=1)
    inside = (jnp.tanh((s[None] - begin) / EDGE) - jnp.tanh((s[None] - end) / EDGE)) / 2
    windowed = jax.random.bernoulli(present, probability, (samples, 1))
    return jnp.where(windowed, inside, 1)


def _centres(points: int) -> Float[Array, " x"]:
    """Centres of equal cells between 0 and 1."""
    return (jnp.arange(points, dtype=jnp.float32) + 0.5) / points
