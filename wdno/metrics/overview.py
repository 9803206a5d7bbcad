"""All scores of a forecast in one table."""

import xarray as xr

from wdno.metrics.bootstrap import Interval, bootstrap_interval
from wdno.metrics.deterministic import (
    exclude_initial,
    mae,
    max_error,
    mse,
    nrmse_per_step,
    relative_l2,
)
from wdno.metrics.ensemble import (
    fair_crps,
    rmse_ensemble_mean,
    rmse_member,
    spread_skill,
    spread_skill_interval,
)
from wdno.metrics.labelled import grid_dims, matched


def summary(
    forecast: xr.DataArray,
    truth: xr.DataArray,
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> xr.Dataset:
    """All scores of whole trajectories, with confidence intervals over samples.

    Drops the first frame (see `exclude_initial`). An ensemble is scored by its mean
    and, where it has two members or more, by its distribution. The scores of a single
    sample have no interval: its bounds are NaN.

    Example:
        >>> scores = summary(forecast.u, truth.u)
        >>> float(scores["value"].sel(metric="relative_l2"))

    Returns:
        Dataset on the dimension ``metric`` with variables ``value``, ``low``, ``high``,
        ``units`` and ``convention``; attributes say what was scored (samples, members,
        grid, excluded frames) and how the interval was made.
    """
    # Checked before any mean over members, which would skip NaN.
    forecast, truth = matched(exclude_initial(forecast), exclude_initial(truth))
    size = forecast.sizes.get("member", 0)
    point = forecast.mean("member") if size else forecast
    draws = {"level": level, "resamples": resamples, "seed": seed}
    measures = (mse, mae, relative_l2, nrmse_per_step, max_error)
    scores = [measure(point, truth) for measure in measures]
    if size:
        for score in scores:
            score.attrs["convention"] += f"; mean of {size} members"
    if size >= 2:
        measures = (rmse_ensemble_mean, rmse_member, fair_crps)
        scores += [measure(forecast, truth) for measure in measures]
    one = truth.sizes["sample"] < 2
    rows = [_alone(s) if one else bootstrap_interval(s, **draws) for s in scores]
    if size >= 2:
        ratio = spread_skill(forecast, truth)
        scores.append(ratio)
        both = forecast, truth
        rows.append(_alone(ratio) if one else spread_skill_interval(*both, **draws))
    columns = {
        "value": [float(row.mean) for row in rows],
        "low": [float(row.low) for row in rows],
        "high": [float(row.high) for row in rows],
        "units": [score.attrs["units"] for score in scores],
        "convention": [score.attrs["convention"] for score in scores],
    }
    return xr.Dataset(
        {name: ("metric", values) for name, values in columns.items()},
        coords={"metric": [score.name for score in scores]},
        attrs={
            "samples": truth.sizes["sample"],
            "members": max(size, 1),
            "grid": ", ".join(f"{dim} {truth.sizes[dim]}" for dim in grid_dims(truth)),
            "excluded": "initial state (first frame)",
            "interval": "none: a single sample"
            if one
            else f"{100 * level:g} % percentile bootstrap over samples, "
            f"{resamples} resamples, seed {seed}",
        },
    )


def _alone(score: xr.DataArray) -> Interval:
    """The score of a single sample, which says nothing of others: no interval."""
    value = score.squeeze("sample") if "sample" in score.dims else score
    unknown = xr.full_like(value, float("nan"))
    return Interval(value, unknown, unknown)
