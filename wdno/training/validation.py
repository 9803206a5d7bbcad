"""One number a trajectory that says how well a model does its task."""

from collections.abc import Callable

import jax
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray

from wdno import metrics
from wdno._typing import Fields
from wdno.diffusion.noise import log_uniform
from wdno.inference.simulate import simulate
from wdno.inference.super_resolution import super_resolve
from wdno.operator import tasks
from wdno.operator.model import WDNO
from wdno.training.held_out import held_windows
from wdno.training.loss import mean_error, training_loss
from wdno.trajectory import coarsen


def simulation_error(model: WDNO, truth: xr.Dataset, steps: int = 1) -> xr.DataArray:
    """Mean squared error of one simulation per sample, without the initial state.

    The convention of WDNO: the mean over the states' later instants and positions of
    one sample of the model, windows chained.

    Args:
        model: a model of the simulation task.
        truth: reference trajectories, from their initial states on.
        steps: denoiser calls per window.
    """
    forecast = simulate(
        model,
        truth[list(model.state)].isel(time=0, drop=True),
        truth[list(model.control)],
        frames=truth.sizes["time"] - 1,
        steps=steps,
        key=jax.random.key(0),
    )
    return _error_of_states(model, forecast, truth)


def refinement_error(model: WDNO, truth: xr.Dataset, steps: int = 1) -> xr.DataArray:
    """Mean squared error per sample of doubling the resolution of exact coarse states.

    Args:
        model: a model of the refinement task.
        truth: reference trajectories, which are coarsened by two and refined.
        steps: denoiser calls per window.
    """
    by_two = dict(zip(model.targets.dims, model.targets.refinement, strict=True))
    fine = super_resolve(
        model,
        coarsen(truth, by_two)[list(model.coarse)],
        truth[list(model.state)].isel(time=0, drop=True),
        truth[list(model.control)],
        factor=2,
        steps=steps,
        key=jax.random.key(0),
    )
    return _error_of_states(model, fine, truth)


def denoising_error(model: WDNO, truth: xr.Dataset, steps: int = 1) -> xr.DataArray:
    """Denoising loss at noise levels spread evenly over the model's range.

    For models whose targets their conditions do not determine, such as planners: no
    single trajectory is right for these.

    Args:
        model: a model of any task.
        truth: reference trajectories; their first window is used.
        steps: 0 for the squared error of the mean instead.
    """
    fields = held_windows(model, truth.isel(time=slice(model.window + 1)))
    if not steps:
        return xr.DataArray(jax.jit(mean_error)(model, fields))
    return xr.DataArray(_denoising_loss(model, fields, jax.random.key(0)))


@jax.jit
def _denoising_loss(model: WDNO, fields: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
    loss = training_loss(model, log_uniform(*model.schedule.sigma_range))
    return loss(model.denoiser.backbone, fields, key)


def _error_of_states(
    model: WDNO, forecast: xr.Dataset, truth: xr.Dataset
) -> xr.DataArray:
    """Mean over the later instants, the positions and the states."""
    errors = [
        metrics.mse(
            metrics.exclude_initial(forecast[name]),
            metrics.exclude_initial(truth[name]),
        )
        for name in model.state
    ]
    return xr.concat(errors, "variable").mean("variable")


VALIDATIONS: dict[Callable[..., tasks.Task], Callable[..., xr.DataArray]] = {
    tasks.simulation: simulation_error,
    tasks.refinement: refinement_error,
    tasks.cell_refinement: refinement_error,
    tasks.control: denoising_error,
    tasks.reaching: denoising_error,
}
"""The error that is watched while a model of each task trains."""


def error(
    task: Callable[..., tasks.Task], model: WDNO, truth: xr.Dataset, steps: int
) -> float:
    """Mean over the trajectories of what is watched in this task."""
    return float(VALIDATIONS[task](model, truth, steps).mean())
