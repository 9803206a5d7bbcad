"""Scores of forecasts against truth, on labelled arrays.

Conventions, the same everywhere in this module:

- truth has dims ``(sample, time, *space)``; a forecast has the same and may have
  ``member``. Order does not matter, names do.
- A score reduces time and space and *keeps* ``sample`` (and ``member``); aggregation
  over samples is separate: `bootstrap_interval`. Means weigh all grid points alike.
- A score uses every frame that it is given. The published WDNO numbers exclude the
  initial state, which is given and not forecast: apply `exclude_initial` to forecast
  and truth first. `summary` does so.
- Arithmetic is in double precision whatever the data; attributes of the result carry
  ``units`` and ``convention``.

All raise `ValueError` where dims, sizes or coordinates of forecast and truth differ
(arithmetic on labelled arrays would silently keep the overlap only) or where a value
is not finite.
"""

from wdno.metrics.bootstrap import Interval, bootstrap_interval
from wdno.metrics.deterministic import (
    exclude_initial,
    mae,
    max_error,
    mse,
    nrmse_over_time,
    nrmse_per_step,
    relative_l2,
)
from wdno.metrics.ensemble import (
    ensemble_variance,
    fair_crps,
    rank_histogram,
    rmse_ensemble_mean,
    rmse_member,
    spread_skill,
    spread_skill_interval,
    unbiased_mse_ensemble_mean,
)
from wdno.metrics.overview import summary

__all__ = [
    "Interval",
    "bootstrap_interval",
    "ensemble_variance",
    "exclude_initial",
    "fair_crps",
    "mae",
    "max_error",
    "mse",
    "nrmse_over_time",
    "nrmse_per_step",
    "rank_histogram",
    "relative_l2",
    "rmse_ensemble_mean",
    "rmse_member",
    "spread_skill",
    "spread_skill_interval",
    "summary",
    "unbiased_mse_ensemble_mean",
]
