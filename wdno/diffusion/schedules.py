"""Where a model samples: noise levels for any number of steps, as frozen dataclasses.

A schedule belongs to a model and stands on its card. The discrete ones also tell the
step of the table that a noise level belongs to, which some networks are given.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
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
