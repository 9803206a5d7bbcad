"""What is wrong with a model, in numbers: its noise levels and its ensembles."""

from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno import metrics
from wdno._arguments import check_sampler, is_whole
from wdno.diffusion.samplers import Sampler, dpmpp_2m
from wdno.inference.batching import check_call
from wdno.operator.model import WDNO
from wdno.training.ensembles import COEFFICIENTS, ensemble
from wdno.training.held_out import held_windows, on_points_of
from wdno.training.noise_levels import (
    errors_of_levels,
    level_grid,
    transition_errors,
    transition_ratios,
)


def diagnose(
    model: WDNO,
    truth: xr.Dataset,
    *,
    calls: int = 4,
    members: int = 8,
    levels: int = 12,
    sampler: Sampler | None = None,
    batch_size: int = 64,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Errors of single calls at each noise level, and what ensembles are worth.

    Every window is taken by itself, from the true state before it: what a record
    gathers over windows is not in these numbers. Channels are the subbands of each
    field, ``u:aa`` and so on.

    Args:
        model: a model of any task; of planners only the first two numbers say much,
            since no single plan is right.
        truth: trajectories on (sample, time, *space) that it was not trained on; every
            window of theirs is used.
        calls: denoiser calls of the ensemble, per window.
        members: size of the ensemble.
        levels: noise levels at which the denoiser is tried.
        sampler: of the ensemble; by default `samplers.dpmpp_2m`, whose spread is right
            in few calls.
        batch_size: windows computed at once; bounds the memory, changes nothing else.
        key: randomness of all noise.

    Returns:
        A dataset with, by noise level, `noise_levels.errors_of_levels` and
        ``transition_ratio``, that of the transition to each level from the next higher
        one (`noise_levels.transition_ratios`). Of the ensemble: ``member_error`` and
        ``mean_error``, the mean squared error of a member and of the mean of all;
        ``fair_crps``, and ``crps_over_mae``, that over the mean absolute error of the
        mean; ``spread_skill``, with the ends of its 95 % bootstrap interval over
        trajectories, ``spread_skill_low`` and ``spread_skill_high`` (NaN of one), and
        ``spread_skill_by_channel`` and ``spread_skill_by_time``; ``rank_histogram``;
        and ``energy_ratio``, the mean square of the members' coefficients over that of
        the truth's, by channel.

    Raises:
        ValueError: fewer than two members or levels, or data for another model.

    Example:
        >>> found = wdno.diagnose(model, held_out, key=jax.random.key(0))
        >>> found.energy_ratio.to_series()
    """
    check_call(model, key, truth=truth)
    if not (is_whole(members, 2) and is_whole(levels, 2)):
        raise ValueError(
            "A diagnosis takes two members or more, and as many noise levels, but got "
            f"members={members} and levels={levels}. Ask for more."
        )
    model = on_points_of(model, truth)
    sigmas = model.levels(calls)
    sampler = dpmpp_2m() if sampler is None else sampler
    check_sampler(sampler)
    fields = held_windows(model, truth)
    key_errors, key_ratios, key_members = jax.random.split(key, 3)
    tried = level_grid(model, levels)
    how = {"batch_size": batch_size, "key": key_errors}
    errors = errors_of_levels(model, fields, tried, **how)
    low = np.arange(len(tried) - 1)
    how["key"] = key_ratios
    transitions = transition_errors(model, fields, tried, low + 1, low, **how)
    ratios = transition_ratios(transitions, low)
    errors["transition_ratio"] = "sigma", np.append(ratios, np.nan)
    drawn, true = ensemble(
        model,
        fields,
        sigmas,
        members,
        sampler,
        batch_size=batch_size,
        key=key_members,
    )
    scores = ensemble_scores(drawn, true, truth.sizes.get("sample", 1))
    units = [str(truth[n].attrs.get("units", "1")) for n in scores["field"].values]
    return xr.Dataset(
        {**errors.data_vars, **scores.data_vars},
        coords={"units": ("field", units)},
        attrs={
            "calls": calls,
            "members": members,
            "windows": len(true[COEFFICIENTS]),
            "levels_of_ensemble": [float(sigma) for sigma in sigmas],
        },
    )


def ensemble_scores(
    drawn: dict[str, xr.DataArray], true: dict[str, xr.DataArray], records: int
) -> xr.Dataset:
    """Scores of `ensemble` against the truth; see `diagnose`.

    Args:
        drawn: members of each window.
        true: windows of the truth, as many of each record, one record after another.
        records: trajectories that these are of. Windows of one are alike, so that an
            interval is one over these.
    """
    by_field: list[xr.Dataset] = []
    for name in (name for name in true if name != COEFFICIENTS):
        cast, truth = drawn[name], true[name]
        mean = cast.mean("member")
        crps, absolute = metrics.fair_crps(cast, truth), metrics.mae(mean, truth)
        ratio = _spread_skill_interval(*(of_records(f, records) for f in (cast, truth)))
        scores = {
            "member_error": metrics.mse(cast, truth).mean(),
            "mean_error": metrics.mse(mean, truth).mean(),
            "fair_crps": crps.mean(),
            "crps_over_mae": crps.mean() / absolute.mean(),
            "spread_skill": ratio.mean,
            "spread_skill_low": ratio.low,
            "spread_skill_high": ratio.high,
            "spread_skill_by_time": _spread_skill_along("time", cast, truth),
            "rank_histogram": metrics.rank_histogram(cast, truth).mean("sample"),
        }
        by_field.append(xr.Dataset(scores).expand_dims(field=[name]))
    scores = xr.concat(by_field, "field")
    coefficients = [part[COEFFICIENTS].astype(float) for part in (drawn, true)]
    energies = [
        np.square(z).mean([dim for dim in z.dims if dim != "channel"])
        for z in coefficients
    ]
    return scores.assign(
        spread_skill_by_channel=_spread_skill_along("channel", *coefficients),
        energy_ratio=energies[0] / energies[1],
    )


def _spread_skill_interval(cast: xr.DataArray, truth: xr.DataArray) -> metrics.Interval:
    """Over trajectories; without ends where there is one alone."""
    if truth.sizes["sample"] > 1:
        return metrics.spread_skill_interval(cast, truth)
    ratio = metrics.spread_skill(cast, truth)
    return metrics.Interval(ratio, np.nan * ratio, np.nan * ratio)


def as_notes(diagnosis: xr.Dataset) -> dict[str, Any]:
    """A diagnosis as notes of a model card: numbers with four digits, None for NaN.

    Example:
        >>> wdno.annotate(folder, diagnosis=as_notes(wdno.diagnose(model, held_out)))
    """
    notes = dict(diagnosis.attrs)
    for name, values in diagnosis.variables.items():
        notes[str(name)] = jax.tree.map(_rounded, values.values.tolist())
    return notes


def of_records(windows: xr.DataArray, records: int) -> xr.DataArray:
    """Windows on (sample, …) by record and window, (sample, window, …)."""
    shape = (records, -1, *windows.shape[1:])
    dims = ("sample", "window", *windows.dims[1:])
    return xr.DataArray(windows.values.reshape(shape), dims=dims)


def _spread_skill_along(
    dim: str, drawn: xr.DataArray, truth: xr.DataArray
) -> xr.DataArray:
    """`metrics.spread_skill` at each place of an axis."""
    ratios = [
        metrics.spread_skill(drawn.isel({dim: [place]}), truth.isel({dim: [place]}))
        for place in range(truth.sizes[dim])
    ]
    return xr.concat(ratios, truth[dim].variable).assign_coords({dim: truth[dim]})


def _rounded(value: Any) -> Any:
    """Four digits; None for what JSON has no word for."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if np.isfinite(value) else None
