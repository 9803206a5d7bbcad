"""Maps of a `RecordMean` from records: ridge regression of reduced rank."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from wdno.operator.record_mean import RecordMaps, RecordMean
from wdno.training.records import Arrays, Records
from wdno.training.reduced_rank import (
    PENALTIES,
    Matrix,
    judges,
    moments_of,
    penalised,
    reduced_rank,
)


class Regression(NamedTuple):
    """What is fitted to what: outputs y on inputs x, one row a record."""

    mean: RecordMean
    records: Records
    space: tuple[int, ...]
    """Points of the grid along each axis."""
    varies: Bool[np.ndarray, "*space input"]
    """Which inputs are no constants."""


def fit_record_maps(mean: RecordMean, records: Records) -> RecordMean:
    """The mean with maps fitted to records, its tiles those in which targets act.

    ``min ⟨(y - b - U D x)²⟩ + λ |U D|²`` of the given rank; the penalty λ is the one of
    `PENALTIES` that errs least on one record of eight, which the fit has not seen, and
    then all records are fitted with it.

    Args:
        mean: which fields, tiles and rank.
        records: inputs (record, *space) and targets (record, frame, *space) by name;
            they are read several times over, a few at a time.

    Raises:
        ValueError: there are fewer than two records, or no input or no target varies.
    """
    if records.count < 2:
        raise ValueError(
            "A mean of records is fitted to two or more, one of which judges the "
            f"penalty, but got {records.count}. Generate more."
        )
    problem = _looked_at(mean, records)
    judging = judges(records.count)
    seen, unseen, whole = map(np.flatnonzero, (~judging, judging, judging | True))
    moments = moments_of(lambda: _rows(problem, seen))
    errors = []
    for penalty in PENALTIES:
        ridge = penalised(moments.xx, penalty)
        down, up = reduced_rank(ridge, moments.xy, mean.rank)
        error = 0.0
        for x, y in _rows(problem, unseen):
            left = y - moments.mean_y - (x - moments.mean_x) @ down @ up
            error += float(np.square(left).sum())
        errors.append(error)
    moments = moments_of(lambda: _rows(problem, whole))
    ridge = penalised(moments.xx, PENALTIES[int(np.argmin(errors))])
    down, up = reduced_rank(ridge, moments.xy, mean.rank)
    offset = moments.mean_y - moments.mean_x @ down @ up
    return replace(problem.mean, maps=_maps(problem, offset, down, up))


def _looked_at(mean: RecordMean, records: Records) -> Regression:
    """The problem, with the tiles in which targets act and the inputs that vary."""
    first = records.read(np.arange(1))
    space = first[mean.targets[0]].shape[2:]
    acts = np.zeros(space, bool)
    varies = np.zeros((*space, len(mean.inputs)), bool)
    for few in records.parts():
        for name in mean.targets:
            acts |= few[name].any(axis=(0, 1))
        for n, name in enumerate(mean.inputs):
            varies[..., n] |= (few[name] != first[name]).any(axis=0)
    if not (acts.any() and varies.any()):
        raise ValueError(
            "A mean of records is fitted to inputs that vary and targets that act, but "
            f"{mean.inputs} never vary, or {mean.targets} are zero. Generate records "
            "that differ."
        )
    everywhere = replace(mean.tiles, acting=())
    cut = everywhere.split(
        jnp.asarray(acts)[None, ..., None], everywhere.acting_on(space)
    )
    acting = np.flatnonzero(np.asarray(cut[0]).any(axis=-1))
    tiles = replace(mean.tiles, acting=tuple(acting.tolist()))
    return Regression(replace(mean, tiles=tiles), records, space, varies)


def _rows(problem: Regression, chosen: np.ndarray) -> Iterator[tuple[Matrix, Matrix]]:
    """Inputs that vary, and outputs in tiles; a row is a record."""
    mean = problem.mean
    numbers = mean.tiles.acting_on(problem.space)
    for few in problem.records.parts(chosen):
        # Few inputs, nearly dependent: their moments need the digits.
        x = _stacked(few, mean.inputs)[:, problem.varies].astype(float)
        y = _stacked(few, mean.targets)
        cut = mean.tiles.split(jnp.asarray(y.reshape(-1, *y.shape[2:])), numbers)
        yield x, np.asarray(cut).reshape(len(x), -1)


def _stacked(few: Arrays, names: tuple[str, ...]) -> np.ndarray:
    return np.stack([few[name] for name in names], axis=-1)


def _maps(
    problem: Regression, offset: np.ndarray, down: Matrix, up: Matrix
) -> RecordMaps:
    """The solution in the order of a mean of records."""
    mean = problem.mean
    tiles = len(mean.tiles.acting_on(problem.space))
    shape = (-1, tiles, mean.tiles.size * len(mean.targets))
    whole = np.zeros((*problem.varies.shape, mean.rank))
    whole[problem.varies] = down
    single = jnp.float32
    return RecordMaps(
        jnp.asarray(offset.reshape(shape), single),
        jnp.asarray(whole, single),
        jnp.asarray(up.reshape(mean.rank, *shape), single),
    )
