"""The scores of RealPDEBench, of flows that were measured or simulated in a plane.

Source: Hu et al. 2025, "RealPDEBench", and ``realpdebench/utils/metrics.py``; written
from the formulas. Its relative L2 and MAE are `wdno.metrics.relative_l2` and
`wdno.metrics.mae`, its RMSE the root of the mean over samples of `mse`. The original
scores all measured variables at once and averages its ratios over batches; to do so
here, join them by ``dataset.to_dataarray("component")``, a dimension like those of
space. Frames that are given are left out beforehand (`exclude_initial`).
"""

import numpy as np
import xarray as xr

from wdno.metrics.labelled import matched, named, nonzero, space_dims, units
from wdno.metrics.pdebench import BANDS
from wdno.metrics.spectra import band_means, shell_powers


def r2(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """RealPDEBench's R², the share of variance that is explained; reduces samples.

    1 - sum of (p - u)² / sum of (u - mean over samples of u)², sums over samples, time
    and space. The mean that the truth is compared with is one of samples at each
    instant and point, not of all values; predicting it scores 0.

    Raises:
        ValueError: there is one sample only, or all are equal.
    """
    forecast, truth = matched(forecast, truth)
    dims = ["sample", "time", *space_dims(truth)]
    if truth.sizes["sample"] < 2:
        raise ValueError(
            "R² compares with the mean over samples and needs at least 2; got "
            f"{dict(truth.sizes)}. Score more trajectories."
        )
    total = nonzero(((truth - truth.mean("sample")) ** 2).sum(dims), "all samples")
    result = 1 - ((forecast - truth) ** 2).sum(dims) / total
    convention = "RealPDEBench: against the mean over samples at each point"
    return named(result, "r2", "1", convention)


def kinetic_energy_error(
    forecast: xr.DataArray, truth: xr.DataArray, component: str = "component"
) -> xr.DataArray:
    """RealPDEBench's KE, the error of the energy of fluctuations.

    Mean over space of abs(k_p - k_u), where k = ½ sum over components of the variance
    over time, divided by the number of frames.

    Args:
        forecast: velocity on (sample, time, component, *space).
        truth: the same without ``member``.
        component: dimension of the components, 2 or more.

    Raises:
        ValueError: there is no such dimension, or one component only.
    """
    forecast, truth = matched(forecast, truth)
    if truth.sizes.get(component, 0) < 2:
        raise ValueError(
            f"Kinetic energy needs a dimension {component!r} of at least 2 velocities; "
            f"got {dict(truth.sizes)}. Join them: dataset[['u', 'v']].to_dataarray("
            f"{component!r})."
        )
    ours, theirs = (0.5 * v.var("time").sum(component) for v in (forecast, truth))
    space = [dim for dim in space_dims(truth) if dim != component]
    result = abs(ours - theirs).mean(space)
    convention = "RealPDEBench: variance over time (biased), mean over space"
    return named(result, "kinetic_energy_error", units(truth, 2), convention)


def frequency_error(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """RealPDEBench's FE, the error of the frequencies of the total.

    Mean over frequencies of abs(F(sum over space of p) - F(sum over space of u)), with
    F the sum over time, at all frequencies, positive and negative. It grows with the
    numbers of points and frames: compare on one grid only.
    """
    forecast, truth = matched(forecast, truth)
    total = (forecast - truth).sum(space_dims(truth)).transpose(..., "time")
    modes = total.copy(data=abs(np.fft.fft(total.values)))
    convention = "RealPDEBench: sum over space, mean over frequencies"
    return named(modes.mean("time"), "frequency_error", units(truth), convention)


def frmse_spacetime(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """RealPDEBench's fRMSE: as `frmse`, in shells of time and space; reduces samples.

    The shells are those of `frmse` over (time, *space), n of them for the shortest axis
    of 2 n points; the bands end at n / 3 and 2 n / 3, rounded. One variable at a time:
    the original averages over them.

    Returns:
        Array on ``band``: "low", "mid" and "high".

    Raises:
        ValueError: the grid is so coarse that a band is empty.
    """
    forecast, truth = matched(forecast, truth)
    dims = ["time", *space_dims(truth)]
    powers = shell_powers(forecast - truth, dims)
    points = int(np.prod([truth.sizes[dim] for dim in dims]))
    shells = np.sqrt(powers.mean("sample")) / points
    count = powers.sizes["wavenumber"]
    edges = (int(np.round(count / 3)), int(np.round(count * 2 / 3)))
    result = band_means(shells, edges, BANDS)
    convention = f"RealPDEBench: shells of time and space, below {edges[0]} and "
    convention += f"{edges[1]}, and above"
    return named(result, "frmse_spacetime", units(truth), convention)
