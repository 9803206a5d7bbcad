"""How a released model is made: everything that training needs besides the data.

A recipe is data. `WDNO`s are built from it (`assemble`), trained with it (`train`) and
the experiments vary one of its entries at a time.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

from wdno import tasks
from wdno._typing import Fields
from wdno.denoiser import Denoiser, Karras
from wdno.layout import WaveletLayout
from wdno.networks import NetworkConfig, UNetConfig, build
from wdno.noise import NoiseDistribution, log_normal, mixture, point
from wdno.operator import WDNO, Domain
from wdno.trajectory import windows


@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels seen in training: a share at σ_max, the others log-normal.

    Sampling starts at σ_max. There the condition alone decides the estimate, so its
    share of training decides the error of sampling in one or few steps.

    Attributes:
        sigma_min: smallest level of sampling schedules.
        sigma_max: largest level, where sampling starts.
        share_at_max: probability of σ_max itself.
        mean: mean of ln σ otherwise.
        std: standard deviation of ln σ otherwise.
    """

    sigma_min: float = 0.02
    sigma_max: float = 20.0
    share_at_max: float = 0.7
    mean: float = -1.2
    std: float = 1.5

    def distribution(self) -> NoiseDistribution:
        """The distribution of training noise levels."""
        parts = [point(self.sigma_max), log_normal(self.mean, self.std)]
        return mixture(parts, [self.share_at_max, 1 - self.share_at_max])


@dataclass(frozen=True)
class Recipe:
    """A model and its training, up to data and length of the run.

    Attributes:
        state: names of the state variables.
        control: names of the controls.
        window: frames that are generated at once; longer records are chained.
        wavelet: name of the wavelet.
        mode: boundary treatment of time and of every spatial axis.
        levels: wavelet levels.
        network: shape of the backbone.
        noise: noise levels of training.
        batch_size: windows per update.
        share_at_start: share of windows that begin at t = 0, where the initial state
            is drawn from its own distribution instead of the system's attractor.
    """

    state: tuple[str, ...]
    control: tuple[str, ...]
    window: int
    wavelet: str = "bior2.4"
    mode: tuple[str, ...] = ("periodization", "periodization")
    levels: int = 2
    network: NetworkConfig = field(default_factory=UNetConfig)
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    batch_size: int = 32
    share_at_start: float = 0.2


RECIPES: dict[str, Recipe] = {
    "burgers-simulation": Recipe(
        ("u",), ("f",), window=16, network=UNetConfig((96, 128, 192), blocks=1)
    ),
}
"""The models that ship with the package, by name."""


@dataclass(frozen=True)
class WindowBatches:
    """Random windows of training trajectories: the batch of a step, by its number.

    Attributes:
        arrays: whole trajectories, see `wdno.trajectory.to_arrays`.
        recipe: window length, batch size and share of windows at the start.
        seed: seed of the draws.

    Raises:
        ValueError: the trajectories are shorter than a window.
    """

    arrays: dict[str, np.ndarray]
    recipe: Recipe
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse records that hold no window."""
        frames = self.arrays[self.recipe.state[0]].shape[1]
        if frames < self.recipe.window:
            raise ValueError(
                f"A record holds at least one window of {self.recipe.window} frames, "
                f"but these have {frames}. Use longer records or a shorter window."
            )

    def __call__(self, step: int) -> Fields:
        """Windows drawn with replacement; depends on seed and step alone."""
        draw = np.random.default_rng([self.seed, step])
        rows, frames = self.arrays[self.recipe.state[0]].shape[:2]
        size = self.recipe.batch_size
        starts = draw.integers(0, frames - self.recipe.window + 1, size)
        starts = np.where(draw.random(size) < self.recipe.share_at_start, 0, starts)
        row = draw.integers(0, rows, size)
        cut = windows(self.arrays, self.recipe.window, starts, row)
        return jax.tree.map(jnp.asarray, cut)


def assemble(recipe: Recipe, dataset: xr.Dataset, batches: WindowBatches) -> WDNO:
    """A model with fresh parameters on the grid of `dataset`, scales fitted.

    Args:
        recipe: layouts and network.
        dataset: trajectories, for their axes and coordinates.
        batches: windows that the scales are fitted on (the first 64).

    Raises:
        ValueError: the wavelet levels cannot halve the grid of a window, or an axis is
            not evenly spaced.
    """
    space = tuple(
        d for d in dataset[recipe.state[0]].dims if d not in ("sample", "time")
    )
    dims = ("time", *space)
    grid = (recipe.window, *(dataset.sizes[d] for d in space))
    layouts = [
        WaveletLayout(
            fields, dims, grid, recipe.wavelet, recipe.mode, recipe.levels
        ).fit(batches(step) for step in range(64))
        for fields in tasks.simulation(recipe.state, recipe.control, dims)
    ]
    targets, given = layouts
    network = build(
        recipe.network,
        len(dims),
        len(targets.channels),
        len(given.channels),
        rngs=nnx.Rngs(batches.seed),
    )
    noise = recipe.noise
    return WDNO(
        targets,
        given,
        Denoiser(network, Karras()),
        Domain.of({dim: dataset[dim].values for dim in dims}),
        (noise.sigma_min, noise.sigma_max),
    )
