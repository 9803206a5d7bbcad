"""Confidence intervals of means over samples, by the bootstrap."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from wdno.metrics.labelled import finite


class Interval(NamedTuple):
    """A mean over samples with the bounds of its confidence interval."""

    mean: xr.DataArray
    low: xr.DataArray
    high: xr.DataArray


def bootstrap_interval(
    per_sample: xr.DataArray,
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of the mean over samples; other dimensions are kept.

    Samples are drawn with replacement as wholes, so that correlation in time and space
    does no harm. Reference: Efron and Tibshirani 1993, chapter 13.

    Args:
        per_sample: scores with a dimension ``sample`` of at least two.
        level: probability that the interval aims to cover.
        resamples: number of draws.
        seed: of NumPy's generator; the same seed gives the same interval.

    Raises:
        ValueError: for fewer than two samples, a score that is not finite, a level
            outside (0, 1) or no resamples.

    Example:
        >>> errors = xr.DataArray([0.1, 0.2, 0.3], dims="sample")
        >>> mean, low, high = bootstrap_interval(errors)
    """
    means = resampled_means(per_sample, resamples, seed)
    low, high = np.quantile(means, central_quantiles(level), axis=0)
    mean = per_sample.astype(float).mean("sample")
    return Interval(mean, mean.copy(data=low), mean.copy(data=high))


def resampled_means(per_sample: xr.DataArray, resamples: int, seed: int) -> np.ndarray:
    """Means over samples drawn with replacement, shape (resamples, ...).

    Equal seeds draw equal samples, so that two scores of the same samples can be
    resampled as pairs.
    """
    samples = per_sample.sizes.get("sample", 0)
    if samples < 2:
        raise ValueError(
            "A bootstrap over samples needs a `sample` dimension of at least 2; got "
            f"{dict(per_sample.sizes)}. Score more trajectories."
        )
    if resamples < 1:
        raise ValueError(f"`resamples` must be positive; got {resamples}. Try 5000.")
    finite("score", per_sample)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(samples, np.full(samples, 1 / samples), size=resamples)
    values = per_sample.transpose("sample", ...).values.astype(float)
    return np.tensordot(counts / samples, values, axes=1)


def central_quantiles(level: float) -> tuple[float, float]:
    """The two quantiles that bound a central interval of probability ``level``."""
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1; got {level}. Try 0.95.")
    return (1 - level) / 2, (1 + level) / 2
