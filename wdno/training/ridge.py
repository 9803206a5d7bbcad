"""Maps of a `LinearMean` from records: ridge regression, near first, then low rank."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, solve

from wdno.operator.linear_mean import LinearMaps, LinearMean
from wdno.training.records import Arrays, Records
from wdno.training.reduced_rank import (
    PENALTIES,
    Matrix,
    Moments,
    judges,
    moments_of,
    penalised,
    reduced_rank,
)

MOST_JUDGED = 1024
"""Instants that judge: more of them change nothing and cost as much as a fit."""


class Regression(NamedTuple):
    """What is fitted to what: outputs y on inputs x, both as rows."""

    mean: LinearMean
    records: Records
    space: tuple[int, ...]
    """Points of the grid along each axis."""
    unit: Float[np.ndarray, " target"]
    """What targets are divided by."""


class Solution(NamedTuple):
    """Matrices from inputs to outputs about their means: ``near + down up``."""

    near: Matrix
    down: Matrix
    up: Matrix


def fit_maps(mean: LinearMean, records: Records) -> LinearMean:
    """The mean with maps fitted to records, its tiles those in which inputs vary.

    With moments ``C = ⟨x xᵀ⟩ + λ`` and ``B = ⟨x yᵀ⟩``, y in units of each target's own,
    the map S between tiles that touch is the regression of each tile's outputs on the
    inputs near it. Of what that leaves, ``R = B - C S``, the map of low rank is
    ``L⁻ᵀ U Uᵀ L⁻¹ R`` with ``C = L Lᵀ`` and the first left singular vectors U of
    ``L⁻¹ R``, the best of its rank (reduced-rank regression: Izenman, J. Multivariate
    Anal. 5 (1975), 248). The penalty λ is the one of `PENALTIES` that errs least on one
    record of eight, which the fit has not seen.

    Args:
        mean: which fields, tiles and rank.
        records: inputs and targets by name, (record, frame, *space); they are read
            five times over, a few at a time.

    Raises:
        ValueError: there are fewer than two records, or no input varies.
    """
    count = records.count
    if count < 2:
        raise ValueError(
            "A linear mean is fitted to two records or more, one of which judges the "
            f"penalty, but got {count}. Generate more."
        )
    judging = judges(count)
    first = records.read(np.arange(1))
    problem = Regression(
        _where_inputs_vary(mean, records, first),
        records,
        first[mean.inputs[0]].shape[2:],
        _units(mean, records),
    )
    moments = moments_of(lambda: _rows(problem, np.flatnonzero(~judging)))
    x, y = _judged(problem, np.flatnonzero(judging), moments)
    errors, solutions = [], []
    for penalty in PENALTIES:
        try:
            found = _solved(problem, moments, penalty)
        except LinAlgError:  # rounded moments of inputs that nearly depend
            continue
        left = y - x @ found.near - (x @ found.down) @ found.up
        errors.append(float(np.square(left).mean()))
        # One at a time: each is as large as all that is known of the problem.
        solutions = [found] if errors[-1] == min(errors) else solutions
    if not solutions:
        raise ValueError(
            "A linear mean is fitted to inputs that are not nearly the same at all "
            f"instants, but the moments of {mean.inputs} are singular up to rounding. "
            "Generate records with different inputs."
        )
    return replace(problem.mean, maps=_maps(problem, moments, solutions[0]))


def _where_inputs_vary(mean: LinearMean, records: Records, first: Arrays) -> LinearMean:
    """The mean whose tiles are those in which an input is no constant."""
    varies = np.zeros(first[mean.inputs[0]].shape[2:], bool)
    for few in records.parts():
        for name in mean.inputs:
            varies |= (few[name] != first[name][0, 0]).any(axis=(0, 1))
    everywhere = replace(mean.tiles, acting=())
    cut = everywhere.split(
        jnp.asarray(varies)[None, ..., None], everywhere.acting_on(varies.shape)
    )
    acting = np.flatnonzero(np.asarray(cut[0]).any(axis=-1))
    if not acting.size:
        raise ValueError(
            f"A linear mean is fitted to inputs that vary, but {mean.inputs} never do. "
            "Generate records with different inputs."
        )
    return replace(mean, tiles=replace(mean.tiles, acting=tuple(acting.tolist())))


def _units(mean: LinearMean, records: Records) -> Float[np.ndarray, " target"]:
    """Root mean square of each target, 1 where that is 0."""
    squares, values = np.zeros(len(mean.targets)), 0
    for few in records.parts():
        fields = [few[name] for name in mean.targets]
        squares += [np.square(field, dtype=float).sum() for field in fields]
        values += fields[0].size
    rms = np.sqrt(squares / values)
    return np.where(rms > 0, rms, 1.0)


def _rows(problem: Regression, chosen: np.ndarray) -> Iterator[tuple[Matrix, Matrix]]:
    """Inputs in tiles, and outputs in their units without what they begin with."""
    mean = problem.mean
    numbers = mean.tiles.acting_on(problem.space)
    for few in problem.records.parts(chosen):

        def stacked(names: tuple[str, ...], few: Arrays = few) -> np.ndarray:
            parts = [few[name].reshape(-1, *problem.space) for name in names]
            return np.stack(parts, axis=-1)

        x, y = stacked(mean.inputs), stacked(mean.targets)
        if mean.copied:
            y = y - stacked(mean.copied)
        y = (y / problem.unit).astype(x.dtype)
        split = np.asarray(mean.tiles.split(jnp.asarray(x), numbers))
        yield split.reshape(len(x), -1), y.reshape(len(y), -1)


def _judged(
    problem: Regression, chosen: np.ndarray, moments: Moments
) -> tuple[Matrix, Matrix]:
    """Inputs and outputs of some instants, about the means of the others."""
    frames = problem.records.read(chosen[:1])[problem.mean.inputs[0]].shape[1]
    every = max(1, len(chosen) * frames // MOST_JUDGED)
    judged, passed = [], 0
    for pair in _rows(problem, chosen):
        judged.append([side[-passed % every :: every] for side in pair])
        passed += len(pair[0])
    x, y = map(np.concatenate, zip(*judged, strict=True))
    return x - moments.mean_x, y - moments.mean_y


def _solved(problem: Regression, moments: Moments, penalty: float) -> Solution:
    """Maps under a penalty: near first, then what is of low rank."""
    ridge = penalised(moments.xx, penalty)
    near, left = np.zeros_like(moments.xy), moments.xy.copy()
    for sources, outputs in _near(problem):
        place = np.ix_(sources, outputs)
        near[place] = solve(
            ridge[np.ix_(sources, sources)], left[place], assume_a="pos"
        )
        left[:, outputs] -= ridge[:, sources] @ near[place]
    down, up = reduced_rank(ridge, left, problem.mean.rank)
    return Solution(near, down, up)


def _near(problem: Regression) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each acting tile the inputs of tiles that touch it, and its outputs."""
    mean, space = problem.mean, problem.space
    numbers, pairs = mean.tiles.acting_on(space), mean.tiles.pairs(space)
    width = mean.tiles.size * len(mean.inputs)
    place = np.arange(np.prod(space) * len(mean.targets))
    place = jnp.asarray(place.reshape(1, *space, -1))
    outputs = np.asarray(mean.tiles.split(place, numbers))[0]
    for tile, found in enumerate(outputs):
        touching = np.asarray([source for to, source in pairs if to == tile])
        yield (touching[:, None] * width + np.arange(width)).reshape(-1), found


def _maps(problem: Regression, moments: Moments, found: Solution) -> LinearMaps:
    """The solution in the order and the units of a linear mean."""
    mean, space = problem.mean, problem.space
    shape = (*space, len(mean.targets))
    tiles = len(mean.tiles.acting_on(space))
    width = mean.tiles.size * len(mean.inputs)
    unit = np.broadcast_to(problem.unit, shape).reshape(-1)
    near, up = found.near * unit, found.up * unit
    offset = moments.mean_y * unit - moments.mean_x @ near
    offset -= (moments.mean_x @ found.down) @ up
    sides = list(_near(problem))
    local = [
        near[np.ix_(source * width + np.arange(width), sides[to][1])]
        for to, source in mean.tiles.pairs(space)
    ]
    single = jnp.float32
    return LinearMaps(
        jnp.asarray(offset.reshape(shape), single),
        jnp.asarray(np.stack(local), single),
        jnp.asarray(found.down.reshape(tiles, width, mean.rank), single),
        jnp.asarray(up.reshape(mean.rank, *shape), single),
    )
