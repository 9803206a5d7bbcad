"""Noise levels that fit a model: a ladder of stable transitions."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, PRNGKeyArray

from wdno._arguments import is_whole
from wdno.diffusion.schedules import LadderSchedule
from wdno.inference.batching import check_call
from wdno.operator.model import WDNO
from wdno.training.held_out import held_windows, on_points_of
from wdno.training.noise_levels import Levels, level_grid, transition_errors

LIMIT = 1.05
"""Largest ratio of a transition that counts as stable (arXiv 2604.08357)."""


def stable_schedule(
    model: WDNO,
    truth: xr.Dataset,
    *,
    candidates: int = 16,
    limit: float = LIMIT,
    batch_size: int = 64,
    key: PRNGKeyArray,
) -> LadderSchedule:
    """Noise levels between which a model can step without harm from its own errors.

    A transition is stable if the error after it is at most the limit times that of one
    call on the truth, both at the level that it leads to and at the one that it comes
    from: ``own(σ_high, σ_low) <= limit min(E(σ_low), E(σ_high))``, see
    `noise_levels.transition_errors`. The ladder is built from the lowest level upwards,
    each rung the highest from which the one below is reached by a stable transition, up
    to the largest level of the model. Levels that no stable transitions lead to from
    there are no rungs. If none is left below the largest, the ladder has that rung
    alone: one call is best.

    The rule for the lower level is that of Le Cleï et al. 2026, Bias-Constrained
    Diffusion Schedules for PDE Emulations (arXiv 2604.08357), who train on the levels
    found. It implies the other one if E rises with σ, as that of an exact denoiser
    does. Judged by the squared error, a mean is better than a sample of what is
    uncertain: a ladder ends where noise no longer hides that.

    Args:
        model: a model of any task.
        truth: trajectories on (sample, time, *space) that it was not trained on; every
            window of theirs is used.
        candidates: number of levels to choose from, evenly in ln σ over the range of
            the model's schedule. The cost is the square of it in denoiser calls.
        limit: largest ratio that is stable, from 1.
        batch_size: windows computed at once; bounds the memory and changes nothing
            else.
        key: randomness of the noise.

    Raises:
        ValueError: there are less than two candidates, the limit is below 1, or the
            data are not for this model.

    Example:
        >>> ladder = wdno.stable_schedule(model, held_out, key=jax.random.key(0))
        >>> model = dataclasses.replace(model, schedule=ladder)
    """
    check_call(model, key, truth=truth)
    if not is_whole(candidates, 2) or not limit >= 1:
        raise ValueError(
            "A ladder is chosen from two candidates or more by a limit from 1, but got "
            f"candidates={candidates} and limit={limit}. Raise them."
        )
    model = on_points_of(model, truth)
    levels = level_grid(model, candidates)
    high, low = np.tril_indices(len(levels), -1)
    fields = held_windows(model, truth)
    how = {"batch_size": batch_size, "key": key}
    own, once = transition_errors(model, fields, levels, high, low, **how)
    stable = np.zeros((len(levels),) * 2, bool)
    stable[high, low] = own <= limit * np.minimum(once[low], once[high])
    return LadderSchedule(stable_rungs(levels, stable))


def stable_rungs(
    levels: Levels, stable: Bool[np.ndarray, "high low"]
) -> tuple[float, ...]:
    """The rungs of a ladder, from the largest level down to the lowest within reach.

    Args:
        levels: candidates, increasing.
        stable: whether the transition from each level (rows) to each lower one
            (columns) is stable.
    """
    top = len(levels) - 1
    reached = {top}
    for low in range(top - 1, -1, -1):
        if any(stable[high, low] for high in reached):
            reached.add(low)
    rungs = [min(reached)]
    while rungs[-1] != top:
        above = (n for n in reached if n > rungs[-1] and stable[n, rungs[-1]])
        rungs.append(max(above))
    return tuple(float(levels[rung]) for rung in reversed(rungs))
