"""Scores of one forecast, or of each member of an ensemble on its own."""

import numpy as np
import xarray as xr

from wdno.metrics.labelled import grid_dims, matched, named, nonzero, units
from wdno.trajectory import check_labelled


def exclude_initial(trajectories: xr.DataArray, frames: int = 1) -> xr.DataArray:
    """Trajectories without their first frames, which are given and not forecast.

    Keeping the initial state would flatter a forecast of M steps by the factor
    M / (M + 1). PDEBench gives 10 frames and The Well 4.

    Args:
        trajectories: whole trajectories on (sample, time, *space).
        frames: how many are given.

    Raises:
        ValueError: no frame would be left.
    """
    check_labelled(trajectories=trajectories)
    if not 1 <= frames < trajectories.sizes.get("time", 0):
        raise ValueError(
            f"Excluding {frames} initial frames needs a `time` dimension of at least "
            f"{max(frames, 1) + 1} frames; got {dict(trajectories.sizes)}. Pass whole "
            "trajectories."
        )
    return trajectories.isel(time=slice(frames, None))


def mse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Mean squared error: mean over time and space of (p - u)².

    WDNO's "simulation MSE" is this, after `exclude_initial`, averaged over samples.
    """
    forecast, truth = matched(forecast, truth)
    result = ((forecast - truth) ** 2).mean(grid_dims(truth))
    return named(result, "mse", units(truth, 2), "mean over time and space")


def mae(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Mean absolute error: mean over time and space of abs(p - u)."""
    forecast, truth = matched(forecast, truth)
    result = abs(forecast - truth).mean(grid_dims(truth))
    return named(result, "mae", units(truth), "mean over time and space")


def max_error(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Largest absolute error of each sample, over time and space.

    PDEBench's "maximum error" is another number: `max_error_per_step`.
    """
    forecast, truth = matched(forecast, truth)
    result = abs(forecast - truth).max(grid_dims(truth))
    return named(result, "max_error", units(truth), "maximum over time and space")


def relative_l2(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Frobenius relative error: norm of p - u over norm of u, over time and space.

    Not the same as `nrmse_per_step`, which normalises each step on its own and so
    weighs the steps in which the truth has decayed as much as all others.
    """
    forecast, truth = matched(forecast, truth)
    norm = nonzero((truth**2).sum(grid_dims(truth)), "a sample")
    result = np.sqrt(((forecast - truth) ** 2).sum(grid_dims(truth)) / norm)
    return named(result, "relative_l2", "1", "Frobenius norms over time and space")


def nrmse_over_time(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Error at each step, relative to the truth there; keeps time.

    sqrt(mean over space of (p - u)² / mean over space of u²).
    """
    forecast, truth = matched(forecast, truth)
    space = [dim for dim in grid_dims(truth) if dim != "time"]
    power = nonzero((truth**2).mean(space), "a step")
    result = np.sqrt(((forecast - truth) ** 2).mean(space) / power)
    return named(result, "nrmse_over_time", "1", "root mean squares over space")


def nrmse_per_step(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """PDEBench's nRMSE: the mean over steps of `nrmse_over_time`.

    Averages over samples divide by their number; the original code divides by the
    number of batches less one. Reference: Takamoto et al. 2022, PDEBench.
    """
    result = nrmse_over_time(forecast, truth).mean("time")
    return named(result, "nrmse_per_step", "1", "PDEBench: per step, mean over time")
