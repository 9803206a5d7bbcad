"""From a recipe and data to batches of windows and a model with fresh parameters."""

import xarray as xr
from flax import nnx

from wdno._typing import Fields
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import Shape, build
from wdno.operator.domain import Domain
from wdno.operator.model import WDNO
from wdno.operator.residual import residuals
from wdno.training.batches import WindowBatches
from wdno.training.recipes import Recipe
from wdno.wavelets.layout import WaveletLayout


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
    task, residual = recipe.fields(dims), recipe.residual
    targets, given = (
        WaveletLayout(
            quantities, dims, grid, recipe.wavelet, recipe.mode, recipe.levels
        )
        for quantities in task
    )

    def seen(step: int) -> Fields:
        fields = batches(step)
        if residual is None:
            return fields
        return residuals(fields, residual(fields, targets, given))

    targets, given = (
        layout.fit(map(seen, range(0, 64 * turn, turn))) for layout in (targets, given)
    )
    features = 0 if residual is None else residual.channels(targets, given)
    shape = Shape(len(dims), len(targets.channels), len(given.channels) + features)
    network = build(recipe.network, shape, rngs=nnx.Rngs(batches.seed))
    noise = recipe.noise
    return WDNO(
        targets,
        given,
        Denoiser(freeze(network), recipe.preconditioning),
        Domain.of({dim: dataset[dim].values for dim in dims}),
        KarrasSchedule(noise.sigma_min, noise.sigma_max),
        residual,
    )
