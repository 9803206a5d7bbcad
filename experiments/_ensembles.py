"""What ensembles of a model are worth on trajectories; some are held at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from _cases import Case
from jaxtyping import PRNGKeyArray

import wdno
from wdno import metrics
from wdno.metrics.bootstrap import central_quantiles, resampled_means
from wdno.metrics.ensemble import (
    ensemble_variance,
    spread_over_skill,
    unbiased_mse_ensemble_mean,
)
from wdno.training.diagnosis import of_records
from wdno.training.ensembles import COEFFICIENTS, ensemble
from wdno.training.held_out import held_windows, on_points_of

ERRORS = ("mse_of_mean", "mse_of_member", "fair_crps")
PARTS = ("absolute", "variance", "unbiased")
"""Of which ratios of means are made."""


@dataclass(frozen=True)
class Size:
    """Of what is drawn."""

    members: int = 8
    at_once: int = 64
    """Trajectories whose ensembles are held at once."""
    batch_size: int = 16
    """Windows that are computed at once."""


def interval(values: xr.DataArray) -> list[float]:
    """Mean over records with its 95 % bootstrap interval."""
    return rounded(*metrics.bootstrap_interval(values))


def rounded(*found: xr.DataArray | np.floating) -> list[float]:
    """Value and ends, to four digits."""
    return [float(f"{value:.4g}") for value in map(float, found)]


def ratio(
    above: xr.DataArray,
    below: xr.DataArray,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.divide,
) -> list[float]:
    """Function of two means over records, which are resampled as pairs."""
    pairs = (resampled_means(part, 5000, 0) for part in (above, below))
    ends = central_quantiles(0.95)
    # Between two infinite ratios there is none: take a drawn value.
    low, high = np.quantile(function(*pairs), ends, method="nearest")
    means = (part.mean("sample").values for part in (above, below))
    return rounded(function(*means), low, high)


def in_spreads(cast: xr.DataArray, right: xr.DataArray) -> np.ndarray:
    """Errors of the mean in units of the members' spread, of all points and windows."""
    spread = cast.std("member", ddof=1)
    r = ((right - cast.mean("member")) / spread.where(spread > 0)).values.ravel()
    return r[np.isfinite(r)]


def of_shape(r: np.ndarray) -> float:
    """CRPS over mean absolute error of a right ensemble with errors of this shape.

    With errors `in_spreads` as the distribution at each point: ``E|r - r'| / 2 E|r|``,
    0.707 of a normal one, more of heavy tails.
    """
    r = np.sort(r.astype(float))
    rank = 2 * np.arange(len(r)) - len(r) + 1.0
    return round(float((r * rank).sum() / len(r) / np.abs(r).sum()), 4)


def of_each(
    model: wdno.WDNO, truth: xr.Dataset, case: Case, size: Size, key: PRNGKeyArray
) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    """Scores of each record, windows taken by themselves, and errors `in_spreads`."""
    fields, records = held_windows(model, truth), truth.sizes["sample"]
    how = {"batch_size": size.batch_size, "key": key}
    levels = model.levels(case.calls)
    drawn, true = ensemble(model, fields, levels, size.members, case.sampler, **how)
    found, errors = {}, {}
    for stage, part in (("drawn", drawn), ("true", true)):
        squares = of_records(part[COEFFICIENTS], records) ** 2
        rest = [dim for dim in squares.dims if dim not in ("sample", "channel")]
        labels = part[COEFFICIENTS]["channel"].values
        energy = squares.mean(rest, dtype=float).assign_coords(channel=labels)
        found[f"energy_{stage}"] = energy
    for name in (quantity.name for quantity in model.targets.fields):
        cast, right = (of_records(part[name], records) for part in (drawn, true))
        mean = cast.mean("member")
        of_field = {
            "mse_of_mean": metrics.mse(mean, right),
            "mse_of_member": metrics.mse(cast, right).mean("member"),
            "fair_crps": metrics.fair_crps(cast, right),
            "absolute": metrics.mae(mean, right),
            "variance": ensemble_variance(cast),
            "unbiased": unbiased_mse_ensemble_mean(cast, right),
        }
        found |= {f"{score} of {name}": value for score, value in of_field.items()}
        errors[name] = in_spreads(cast, right)
    return xr.Dataset(found), errors


def scores(
    model: wdno.WDNO, truth: xr.Dataset, case: Case, size: Size
) -> dict[str, Any]:
    """Errors, spread and energies of ensembles over all records.

    Energies are of members over that of the truth, in the subbands where that is least
    and most. What one call is off by is what cards promise (`promises.py`).
    """
    placed, parts = on_points_of(model, truth), []
    for n in range(0, truth.sizes["sample"], size.at_once):
        some, key = slice(n, n + size.at_once), jax.random.key(2)
        key = jax.random.fold_in(key, n)
        parts.append(of_each(placed, truth.isel(sample=some), case, size, key))
    each = xr.concat([part for part, _ in parts], "sample")
    above, below = (each[f"energy_{stage}"] for stage in ("drawn", "true"))
    energies = np.asarray(above.mean("sample") / below.mean("sample"))
    found: dict[str, Any] = {
        "energy_ratio": {
            model.targets.channels[n]: ratio(above[:, n], below[:, n])
            for n in (energies.argmin(), energies.argmax())
        }
    }
    for name in (quantity.name for quantity in placed.targets.fields):
        of = {score: each[f"{score} of {name}"] for score in (*ERRORS, *PARTS)}
        shape = of_shape(np.concatenate([errors[name] for _, errors in parts]))
        found[name] = {
            **{score: interval(of[score]) for score in ERRORS},
            "crps_over_mae": round(
                float(of["fair_crps"].sum() / of["absolute"].sum()), 4
            ),
            "crps_over_mae_of_shape": shape,
            "spread_skill": ratio(of["variance"], of["unbiased"], spread_over_skill),
        }
    return found
