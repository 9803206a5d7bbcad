"""The scores of PDEBench: of each step, then averaged over steps.

Source of all: Takamoto et al. 2022, "PDEBench", arXiv 2210.07182, appendix B; written
from the formulas. Its nRMSE is `wdno.metrics.nrmse_per_step`. Conventions that change
the numbers:

- PDEBench gives 10 frames and leaves them out of the scores: apply
  ``exclude_initial(…, frames=10)`` to forecast and truth.
- The original code divides sums over batches by the number of batches less one; here
  means are means.
- Scores whose formula has samples inside a root or a maximum (cRMSE, fRMSE, maximum)
  have no ``sample`` dimension.
- A variable is scored by itself. PDEBench averages over variables.
"""

import numpy as np
import xarray as xr

from wdno.metrics.labelled import matched, named, space_dims, units
from wdno.metrics.spectra import band_means, shell_powers

BANDS = ("low", "mid", "high")


def rmse_per_step(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """PDEBench's RMSE: mean over steps of sqrt(mean over space of (p - u)²)."""
    forecast, truth = matched(forecast, truth)
    squares = ((forecast - truth) ** 2).mean(space_dims(truth))
    result = np.sqrt(squares).mean("time")
    convention = "PDEBench: root mean square over space, mean over time"
    return named(result, "rmse_per_step", units(truth), convention)


def crmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """PDEBench's cRMSE, the error of what is conserved; reduces samples.

    Mean over steps of sqrt(mean over samples of (mean of p - mean of u)²), the inner
    means over space.
    """
    forecast, truth = matched(forecast, truth)
    drift = (forecast - truth).mean(space_dims(truth))
    result = np.sqrt((drift**2).mean("sample")).mean("time")
    convention = (
        "PDEBench: mean over space; root mean square over samples, mean over time"
    )
    return named(result, "crmse", units(truth), convention)


def brmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """PDEBench's bRMSE, the error on the boundary.

    Mean over steps of the root mean square of p - u over the first and the last points
    of every axis of space. A corner counts once for each of its faces, as there.
    """
    forecast, truth = matched(forecast, truth)
    space = space_dims(truth)
    squares = (forecast - truth) ** 2
    total, points = 0.0 * squares.isel({dim: 0 for dim in space}, drop=True), 0
    for dim in space:
        faces = squares.isel({dim: [0, -1]})
        total = total + faces.sum(space)
        points += int(np.prod([faces.sizes[along] for along in space]))
    result = np.sqrt(total / points).mean("time")
    convention = "PDEBench: root mean square over the boundary, mean over time"
    return named(result, "brmse", units(truth), convention)


def max_error_per_step(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """PDEBench's maximum error: mean over steps of the largest error; reduces samples.

    The largest is over samples and space; `max_error` is the largest of each sample.
    """
    forecast, truth = matched(forecast, truth)
    result = abs(forecast - truth).max(["sample", *space_dims(truth)]).mean("time")
    convention = "PDEBench: maximum over samples and space, mean over time"
    return named(result, "max_error_per_step", units(truth), convention)


def frmse(
    forecast: xr.DataArray, truth: xr.DataArray, edges: tuple[int, int] = (4, 12)
) -> xr.DataArray:
    """PDEBench's fRMSE, the error in bands of wavenumbers; reduces samples.

    E_k = sqrt(mean over samples of the sum over a shell of abs(F(p - u))²) / N, with F
    the sum over N points, and the shell the wavenumbers 0 … n/2 - 1 of every axis (on
    one axis also n/2) whose length is in [k, k + 1); then the means over steps and over
    k in [0, 4), [4, 12) and [12, …). Wavenumbers count waves in the domain, whose
    lengths are 1 as in the original evaluation.

    Args:
        forecast: forecast on (sample, time, *space).
        truth: the same without ``member``.
        edges: where the middle band begins and ends.

    Returns:
        Array on ``band``: "low", "mid" and "high".

    Raises:
        ValueError: the grid is so coarse that a band is empty.
    """
    forecast, truth = matched(forecast, truth)
    space = space_dims(truth)
    points = int(np.prod([truth.sizes[dim] for dim in space]))
    powers = shell_powers(forecast - truth, space)
    shells = np.sqrt(powers.mean("sample")) / points
    result = band_means(shells.mean("time"), edges, BANDS)
    convention = f"PDEBench: wavenumbers below {edges[0]}, below {edges[1]}, and above"
    return named(result, "frmse", units(truth), convention)
