"""Noise levels that fit a model: a ladder of stable transitions."""

import numpy as np
import xarray as xr
from jaxtyping import Bool, PRNGKeyArray

from wdno.diffusion.schedules import LadderSchedule
from wdno.operator.model import WDNO
from wdno.training.held_out import held_windows, on_points_of
from wdno.training.noise_levels import Levels, level_grid, transition_ratios

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

    A transition from ``high`` to ``low`` is stable if `transition_ratios` is at most
    the limit. The ladder is built from the lowest level upwards, each rung the highest
    from which the one below is reached by a stable transition, up to the largest level
    of the model. Levels that no stable transition leads to from there are no rungs.
    If none is left below the largest, the ladder has that rung alone: one call is best.
    After Le Cleï et al. 2026, Bias-Constrained Diffusion Schedules for PDE Emulations
    (arXiv 2604.08357), who train on the levels found; it judges by the squared error,
    to which a sample of a broad distribution costs more than its mean.

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
    if candidates < 2 or not limit >= 1:
        raise ValueError(
            "A ladder is chosen from two candidates or more by a limit from 1, but got "
            f"candidates={candidates} and limit={limit}. Raise them."
        )
    model = on_points_of(model, truth)
    levels = level_grid(model, candidates)
    high, low = np.tril_indices(candidates, -1)
    how = {"batch_size": batch_size, "key": key}
    ratios = np.full((candidates, candidates), np.inf)
    ratios[high, low] = transition_ratios(
        model, held_windows(model, truth), levels, high, low, **how
    )
    return LadderSchedule(stable_rungs(levels, ratios <= limit))


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
