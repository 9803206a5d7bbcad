"""Where a model samples: noise levels for any number of steps, as frozen dataclasses.

A schedule belongs to a model and stands on its card. The discrete ones also tell the
step of the table that a noise level belongs to, which some networks are given.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import check_counts
from wdno.diffusion.noise import cosine, cosine_table, karras, sigmoid, sigmoid_table

Levels = Float[Array, " levels"]
Table = Float[np.ndarray, " step"]


@runtime_checkable
class Schedule(Protocol):
    """Noise levels of a sampling run by its number of denoiser calls."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""
        ...

    def __call__(self, steps: int) -> Levels:
        """Decreasing noise levels that end in 0."""
        ...


@register
@dataclass(frozen=True)
class KarrasSchedule:
    """Levels of `noise.karras`; one step is the estimate from pure noise.

    Raises:
        ValueError: the levels are not positive, finite and in this order.
    """

    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        """Refuse levels that no run can visit."""
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise ValueError(
                "Noise levels lie between a smallest, above 0, and a largest, but got "
                f"{self.sigma_min} and {self.sigma_max}. Correct or swap them."
            )

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""
        return self.sigma_min, self.sigma_max

    def __call__(self, steps: int) -> Levels:
        """Levels equidistant in sigma^(1/7), then 0."""
        return karras(steps, self.sigma_min, self.sigma_max)


@register
@dataclass(frozen=True)
class LadderSchedule:
    """Levels that were chosen one by one, such as those of `wdno.stable_schedule`.

    A run begins on the highest rung. With fewer steps than rungs, n, it visits rungs
    spread evenly from the highest to the lowest, the next one where they fall between
    two; with more, step i of s has ``ln sigma`` interpolated linearly between rungs at
    the place ``i (n - 1) / (s - 1)``.

    Attributes:
        levels: noise levels of the rungs, decreasing, without 0.

    Raises:
        ValueError: there is none, or they are not positive, finite and decreasing.

    Example:
        >>> LadderSchedule((10.0, 1.0, 0.1))(2)
        Array([10. ,  0.1,  0. ], dtype=float32)
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse levels that no run can visit."""
        falling = all(high > low for high, low in pairwise(self.levels))
        bounded = all(0 < level < math.inf for level in self.levels)
        if not (self.levels and falling and bounded):
            raise ValueError(
                "The rungs of a ladder are positive, finite noise levels that "
                f"decrease, at least one, but got {self.levels}. Sort them, and leave "
                "out 0, which ends every run."
            )

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""
        return self.levels[-1], self.levels[0]

    def __call__(self, steps: int) -> Levels:
        """So many levels from the highest rung to the lowest, then 0.

        Raises:
            ValueError: there is no step, or several on a ladder of one rung.
        """
        rungs = len(self.levels)
        if steps < 1 or (rungs == 1 and steps > 1):
            most = "one step" if rungs == 1 else "any number of steps from 1"
            raise ValueError(
                f"A run on the ladder {self.levels} has {most}, but {steps} were asked "
                "for. Ask for as many as it has, or give the model another schedule."
            )
        if steps == 1:
            return jnp.asarray([self.levels[0], 0.0])
        if steps <= rungs:
            picked = -(-np.arange(steps) * (rungs - 1) // (steps - 1))
            return jnp.asarray(np.append(np.take(self.levels, picked), 0.0))
        place = np.linspace(0, rungs - 1, steps)
        between = np.exp(np.interp(place, np.arange(rungs), np.log(self.levels)))
        between[[0, -1]] = self.levels[0], self.levels[-1]  # exact in spite of the logs
        return jnp.asarray(np.append(between, 0.0))


@dataclass(frozen=True)
class DiscreteSchedule(ABC):
    """A table of noise levels, of which a run visits some."""

    timesteps: int = 1000

    def __post_init__(self) -> None:
        """Refuse tables that cannot be."""
        check_counts(timesteps=self.timesteps)

    @abstractmethod
    def __call__(self, steps: int) -> Levels:
        """Every (timesteps/steps)-th level of the table, then 0."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """Noise level of each step, increasing."""

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Smallest and largest noise level."""
        return float(self.table[0]), float(self.table[-1])

    def step(self, sigma: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """Number of the step whose level is nearest in ln sigma, from 0."""
        ln = np.log(self.table)
        between = jnp.asarray((ln[1:] + ln[:-1]) / 2, sigma.dtype)
        return jnp.searchsorted(between, jnp.log(sigma)).astype(sigma.dtype)

    def beta(self, sigma: Float[Array, " batch"]) -> Float[Array, " batch"]:
        """``1 - abar(step) / abar(step - 1)`` at that step."""
        abar = 1 / (1 + np.square(np.append(0.0, self.table)))
        betas = jnp.asarray(1 - abar[1:] / abar[:-1], sigma.dtype)
        return betas[self.step(sigma).astype(int)]


@register
@dataclass(frozen=True)
class CosineSchedule(DiscreteSchedule):
    """Levels of `wdno.diffusion.noise.cosine`."""

    @cached_property
    def table(self) -> Table:
        """Noise level of each step, increasing."""
        return cosine_table(self.timesteps)

    def __call__(self, steps: int) -> Levels:
        """Every (timesteps/steps)-th level of the table, then 0."""
        return cosine(steps, self.timesteps)


@register
@dataclass(frozen=True)
class SigmoidSchedule(DiscreteSchedule):
    """Levels of `wdno.diffusion.noise.sigmoid`."""

    @cached_property
    def table(self) -> Table:
        """Noise level of each step, increasing."""
        return sigmoid_table(self.timesteps)

    def __call__(self, steps: int) -> Levels:
        """Every (timesteps/steps)-th level of the table, then 0."""
        return sigmoid(steps, self.timesteps)
