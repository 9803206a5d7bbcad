"""Scores of forecasts against truth, on labelled arrays.

Conventions, the same everywhere in this module:

- truth has dims ``(sample, time, *space)``; a forecast has the same and may have
  ``member``. Order does not matter, names do.
- A score reduces time and space and *keeps* ``sample`` (and ``member``); aggregation
  over samples is separate: `bootstrap_interval`. Means weigh all grid points alike.
  Where a published formula has samples inside a root, a ratio or a maximum, the score
  has no ``sample``, and says so. Those of weather keep time and weigh by area.
- A score uses every frame that it is given. The published WDNO numbers exclude the
  initial state, which is given and not forecast: apply `exclude_initial` to forecast
  and truth first. `summary` does so.
- Numbers under one name differ between benchmarks. `wdno.metrics.pdebench`, `the_well`,
  `realpdebench` and `weather` have those of each, by its formulas.
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
    energy_score,
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
from wdno.metrics.pdebench import brmse, crmse, frmse, max_error_per_step, rmse_per_step
from wdno.metrics.realpdebench import (
    frequency_error,
    frmse_spacetime,
    kinetic_energy_error,
    r2,
)
from wdno.metrics.spectra import energy_spectrum, spectrum_ratio
from wdno.metrics.the_well import vrmse, vrmse_over_time
from wdno.metrics.weather import (
    anomaly_correlation,
    area_mean,
    climatology_at,
    latitude_weighted_crps,
    latitude_weighted_mse,
    latitude_weighted_rmse,
    latitude_weighted_spread_skill,
    latitude_weights,
    zonal_energy_spectrum,
)

__all__ = [
    "Interval",
    "anomaly_correlation",
    "area_mean",
    "bootstrap_interval",
    "brmse",
    "climatology_at",
    "crmse",
    "energy_score",
    "energy_spectrum",
    "ensemble_variance",
    "exclude_initial",
    "fair_crps",
    "frequency_error",
    "frmse",
    "frmse_spacetime",
    "kinetic_energy_error",
    "latitude_weighted_crps",
    "latitude_weighted_mse",
    "latitude_weighted_rmse",
    "latitude_weighted_spread_skill",
    "latitude_weights",
    "mae",
    "max_error",
    "max_error_per_step",
    "mse",
    "nrmse_over_time",
    "nrmse_per_step",
    "r2",
    "rank_histogram",
    "relative_l2",
    "rmse_ensemble_mean",
    "rmse_member",
    "rmse_per_step",
    "spectrum_ratio",
    "spread_skill",
    "spread_skill_interval",
    "summary",
    "unbiased_mse_ensemble_mean",
    "vrmse",
    "vrmse_over_time",
    "zonal_energy_spectrum",
]
