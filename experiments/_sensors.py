"""A state that few noisy sensors see, estimated from what was predicted for it."""

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np

from wdno._typing import Fields


@dataclass(frozen=True)
class Sensors:
    """Optimal interpolation: a prediction, corrected where and as far as it is off.

    ``v + K (y - H v)`` with ``K = B H' (H B H' + noise^2)^-1``, H the choice of the
    seen points and B the covariance of prediction errors, ``spread^2 exp(-d^2 / 2
    reach^2)`` at distance d (Gandin 1963). Without a prediction v is 0, and the spread
    that of the states.

    Attributes:
        points: of the grid.
        every: one point of so many is seen.
        noise: standard deviation of what is seen.
        spread: standard deviation of a prediction.
        states: standard deviation of the states.
        reach: of errors, in units of the flow's width.
    """

    points: int
    every: int
    noise: float
    spread: float = 0.1
    states: float = 0.7
    reach: float = 0.05

    def __call__(self, observed: Fields, predicted: Fields | None) -> Fields:
        """The estimated states."""
        y = observed["u0"][:, :: self.every]
        if predicted is None:
            gain = jnp.asarray(self._gains[1], y.dtype)
            return {"u0": y @ gain}
        v, gain = predicted["u0"], jnp.asarray(self._gains[0], y.dtype)
        return {"u0": v + (y - v[:, :: self.every]) @ gain}

    @cached_property
    def _gains(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.arange(self.points) / self.points
        near = np.exp(-0.5 * ((x[:, None] - x) / self.reach) ** 2)
        seen = near[:: self.every]
        noise = self.noise**2 * np.eye(len(seen))

        def gain(spread: float) -> np.ndarray:
            covariance = spread**2 * seen[:, :: self.every] + noise
            return np.linalg.solve(covariance, spread**2 * seen)

        return gain(self.spread), gain(self.states)


@dataclass(frozen=True)
class Interpolated:
    """What sensors see, joined by straight lines; predictions are not asked.

    Attributes:
        points: of the grid, whose right end is a wall, where the flow vanishes.
        every: one point of so many is seen.
    """

    points: int
    every: int

    def __call__(self, observed: Fields, predicted: Fields | None) -> Fields:
        """The states between the sensors."""
        lines = jnp.asarray(self._lines, observed["u0"].dtype)
        return {"u0": observed["u0"][:, :: self.every] @ lines}

    @cached_property
    def _lines(self) -> np.ndarray:
        places = np.arange(0, self.points + 1, self.every)
        units = np.eye(len(places))[:-1]
        x = np.arange(self.points)
        return np.stack([np.interp(x, places, unit) for unit in units])
