"""The score of The Well: errors in units of the spread over space.

Source: Ohana et al. 2024, "The Well", arXiv 2412.00568, section 4 and
``the_well/benchmark/metrics/spatial.py``; written from the formula. The Well gives 4
frames and reports steps of a rollout in windows, such as
``vrmse_over_time(…).isel(time=slice(6, 12)).mean("time")``, as means over variables.
"""

import numpy as np
import xarray as xr

from wdno.metrics.labelled import matched, named, space_dims

EPSILON = 1e-7
"""Added to the variance, in squared units of the field, as the original does."""


def vrmse_over_time(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Error at each step in units of the spread of the truth over space; keeps time.

    sqrt(mean over space of (p - u)² / (var(u) + 1e-7)), with the unbiased variance,
    divided by N - 1. The mean of the truth, as forecast, scores nearly 1, whereas
    `nrmse_over_time` would flatter a field far from zero.
    """
    forecast, truth = matched(forecast, truth)
    space = space_dims(truth)
    if not int(np.prod([truth.sizes[dim] for dim in space])) > 1:
        raise ValueError(
            f"A variance over space needs two points; got {dict(truth.sizes)}. Use "
            "`mse`."
        )
    spread = truth.var(space, ddof=1) + EPSILON
    result = np.sqrt(((forecast - truth) ** 2).mean(space) / spread)
    convention = "The Well: root mean square over space / unbiased std over space"
    return named(result, "vrmse_over_time", "1", convention)


def vrmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """The Well's VRMSE: the mean over steps of `vrmse_over_time`."""
    result = vrmse_over_time(forecast, truth).mean("time")
    return named(result, "vrmse", "1", "The Well: VRMSE per step, mean over time")
