"""From a recipe and data to batches of windows and a model with fresh parameters."""

import jax
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import Shape, build
from wdno.operator.calibrated import mean_of
from wdno.operator.domain import Domain
from wdno.operator.model import WDNO
from wdno.operator.residual import Residual, residuals
from wdno.training.batches import WindowBatches
from wdno.training.closed_form import SCALED
from wdno.training.recipes import Recipe
from wdno.trajectory import from_first
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.optional import OptionalConditions


def build_model(recipe: Recipe, dataset: xr.Dataset, batches: WindowBatches) -> WDNO:
    """A model with fresh parameters on the grid of `dataset`, scales fitted.

    Args:
        recipe: layouts and network.
        dataset: trajectories, for their axes and coordinates.
        batches: windows that the scales are fitted on, the first 64 of the data's own
            grid.

    Raises:
        ValueError: the wavelet levels cannot halve the grid of a window, or an axis is
            not evenly spaced.
    """
    dims = batches.dims
    grid = (recipe.window, *(dataset.sizes[d] for d in dims[1:]))
    turn = len(recipe.grids)
    task, rngs = recipe.fields(dims), nnx.Rngs(batches.seed)
    targets, given = (
        WaveletLayout(
            quantities, dims, grid, recipe.wavelet, recipe.mode, recipe.levels
        )
        for quantities in task
    )
    steps = range(0, 64 * turn, turn)
    given = given.fit(map(batches, steps))
    untrained = begun_with(recipe.residual)
    if untrained is None:
        targets = targets.fit(map(batches, steps))
    else:

        @jax.jit
        def left_open(fields: Fields) -> Float[Array, "batch *grid channel"]:
            estimate = untrained(fields, given.analysis(fields), targets, given)
            return residuals(targets.analysis(fields), estimate)

        # A generator would see the layout that is being replaced.
        targets = targets.scaled_to([left_open(batches(step)) for step in steps])
    if recipe.dropout.names:
        given = OptionalConditions(given, recipe.dropout.names)
    residual, features = recipe.residual, 0
    if residual is not None:
        residual = residual.built(targets, given, rngs)
        features = residual.channels(targets, given)
    shape = Shape(len(dims), len(targets.channels), len(given.channels) + features)
    network = build(recipe.network, shape, rngs=rngs)
    noise = recipe.noise
    return WDNO(
        targets,
        given,
        Denoiser(freeze(network), recipe.preconditioning),
        Domain.of({dim: from_first(dim, dataset[dim].values) for dim in dims}),
        KarrasSchedule(noise.sigma_min, noise.sigma_max),
        residual,
    )


def begun_with(residual: Residual | None) -> Residual | None:
    """The part of a residual that is known without training or a fit."""
    residual = mean_of(residual)
    while isinstance(residual, SCALED):
        residual = residual.base
    return residual
