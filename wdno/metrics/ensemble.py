"""Scores of the distribution that the members of an ensemble stand for."""

import numpy as np
import xarray as xr

from wdno.metrics.bootstrap import Interval, central_quantiles, resampled_means
from wdno.metrics.labelled import finite, grid_dims, matched, members, named, units


def rmse_ensemble_mean(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Root mean square error of the ensemble mean; the root is taken per sample."""
    members(ensemble, at_least=1)
    ensemble, truth = matched(ensemble, truth)
    squares = (ensemble.mean("member") - truth) ** 2
    convention = "ensemble mean; root of the mean over time and space"
    result = np.sqrt(squares.mean(grid_dims(truth)))
    return named(result, "rmse_ensemble_mean", units(truth), convention)


def rmse_member(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Root mean square error of one member, averaged over the members."""
    members(ensemble, at_least=1)
    ensemble, truth = matched(ensemble, truth)
    roots = np.sqrt(((ensemble - truth) ** 2).mean(grid_dims(truth)))
    convention = "single member; root of the mean over time and space"
    return named(roots.mean("member"), "rmse_member", units(truth), convention)


def fair_crps(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Fair continuous ranked probability score, mean over time and space.

    CRPS = mean_m abs(x_m - y) - sum over m, n of abs(x_m - x_n) / (2 M (M - 1)).

    The factor M (M - 1) makes its expectation independent of the ensemble size M; the
    biased form divides by M². For a deterministic forecast the score is `mae`.
    Reference: Ferro 2014, "Fair scores for ensemble forecasts".
    """
    size = members(ensemble, at_least=2)
    result = crps_at_points(ensemble, truth).mean(grid_dims(truth))
    convention = f"fair, 1/(M(M-1)) with M = {size}; mean over time and space"
    return named(result, "fair_crps", units(truth), convention)


def crps_at_points(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """`fair_crps` of every sample, time and grid point."""
    size = members(ensemble, at_least=2)
    ensemble, truth = matched(ensemble, truth)
    error = (ensemble - truth).transpose(..., "member")
    # Sorting turns the pairwise sum into one weighted sum, O(M log M); it runs on
    # errors since differences of members are differences of errors, with less rounding.
    rank = xr.DataArray(2.0 * np.arange(size) - size + 1.0, dims="member")
    ordered = error.drop_vars("member", errors="ignore").copy(
        data=np.sort(error.values, axis=-1)
    )
    half_pairwise = (ordered * rank).sum("member") / (size * (size - 1))
    return abs(error).mean("member") - half_pairwise


def energy_score(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Fair energy score of whole trajectories, which sees correlation unlike the CRPS.

    ES = mean_m norm(x_m - y) - sum over m, n of norm(x_m - x_n) / (2 M (M - 1)), where
    the norm is the root mean square over time and space. Reference: Gneiting and
    Raftery 2007, "Strictly proper scoring rules", section 4.3, there with the root of
    the sum of squares: √N times as large on N points.
    """
    size = members(ensemble, at_least=2)
    ensemble, truth = matched(ensemble, truth)
    dims = grid_dims(truth)
    error = (ensemble - truth).drop_vars("member", errors="ignore")
    skill = np.sqrt((error**2).mean(dims)).mean("member")
    spread = 0.0 * skill
    for shift in range(1, size):
        spread = spread + np.sqrt(
            ((error - error.roll(member=shift)) ** 2).mean(dims)
        ).sum("member")
    result = skill - spread / (2 * size * (size - 1))
    convention = f"fair with M = {size}; root mean squares over time and space"
    return named(result, "energy_score", units(truth), convention)


def ensemble_variance(ensemble: xr.DataArray) -> xr.DataArray:
    """Unbiased variance over members (divided by M - 1), mean over time and space."""
    size = members(ensemble, at_least=2)
    finite("forecast", ensemble)
    variance = ensemble.astype(float).var("member", ddof=1)
    convention = f"unbiased with M = {size}; mean over time and space"
    result = variance.mean(grid_dims(variance))
    return named(result, "ensemble_variance", units(ensemble, 2), convention)


def unbiased_mse_ensemble_mean(
    ensemble: xr.DataArray, truth: xr.DataArray
) -> xr.DataArray:
    """Squared error of the mean of infinitely many members: MSE - variance / M.

    May be slightly negative, as unbiased estimates of small positive numbers are.
    """
    size = members(ensemble, at_least=2)
    ensemble, truth = matched(ensemble, truth)
    raw = ((ensemble.mean("member") - truth) ** 2).mean(grid_dims(truth))
    result = raw - ensemble_variance(ensemble) / size
    convention = f"ensemble mean, less variance / M with M = {size}"
    name = "unbiased_mse_ensemble_mean"
    return named(result, name, units(truth, 2), convention)


def spread_skill(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Spread over skill, one number for all samples; ideally 1, overconfident below.

    sqrt(mean `ensemble_variance` / mean `unbiased_mse_ensemble_mean`), with the means
    over samples inside: a mean of ratios would be biased, so that this score alone has
    no ``sample`` dimension. Infinite where the error does not exceed sampling noise;
    NaN where spread and error are both zero. Reference: WeatherBench-X,
    "unbiased spread-skill ratio".
    """
    skill = unbiased_mse_ensemble_mean(ensemble, truth).mean("sample")
    spread = ensemble_variance(ensemble).mean("sample")
    result = skill.copy(data=spread_over_skill(spread.values, skill.values))
    return named(result, "spread_skill", "1", "unbiased; ratio of means over samples")


def spread_skill_interval(
    ensemble: xr.DataArray,
    truth: xr.DataArray,
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of `spread_skill`; spread and skill are resampled as pairs."""
    spread = ensemble_variance(ensemble)
    skill = unbiased_mse_ensemble_mean(ensemble, truth)
    ratios = spread_over_skill(
        resampled_means(spread, resamples, seed),
        resampled_means(skill, resamples, seed),
    )
    # Interpolating between two infinite ratios would make NaN: take a drawn value.
    low, high = np.quantile(ratios, central_quantiles(level), method="nearest")
    value = spread_skill(ensemble, truth)
    return Interval(value, value.copy(data=low), value.copy(data=high))


def rank_histogram(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Share of grid points at which the truth exceeds 0, 1, … M members.

    Flat (1 / (M + 1)) for a reliable ensemble, a cup for an overconfident one. A truth
    tied with k members, as on a boundary with fixed values, counts 1 / (k + 1) in each
    of the k + 1 ranks that it may take.

    Returns:
        Array with dims ``(sample, rank)``; sums to one over ``rank``.
    """
    size = members(ensemble, at_least=1)
    ensemble, truth = matched(ensemble, truth)
    below = (ensemble < truth).sum("member")
    ties = (ensemble == truth).sum("member")
    shares = [
        (((below <= rank) & (rank <= below + ties)) / (ties + 1.0)).mean(
            grid_dims(truth)
        )
        for rank in range(size + 1)
    ]
    result = xr.concat(shares, xr.Variable("rank", np.arange(size + 1)))
    result = result.transpose("sample", "rank")
    return named(result, "rank_histogram", "1", "share of time and space; ties split")


def spread_over_skill(spread: np.ndarray, skill: np.ndarray) -> np.ndarray:
    """Root of spread / skill, where a skill estimated below zero counts as zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(spread / np.maximum(skill, 0.0)))
