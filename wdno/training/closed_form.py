"""Parts of a mean that are fitted at once, before a network is trained."""

from dataclasses import replace
from functools import singledispatch

import jax
import numpy as np

from wdno._typing import Fields
from wdno.operator.generation import left_open, prepare
from wdno.operator.kernel_mean import KernelMean
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.linear_mean import LinearMean
from wdno.operator.model import WDNO
from wdno.operator.record_mean import RecordMean
from wdno.operator.residual import Coefficients, Residual
from wdno.operator.solved_mean import SolvedMean
from wdno.operator.transport import Transport
from wdno.training.batches import WindowBatches
from wdno.training.kernel_ridge import fit_kernel_maps
from wdno.training.record_ridge import fit_record_maps
from wdno.training.records import Records
from wdno.training.ridge import fit_maps
from wdno.wavelets.layout import WaveletLayout

LEAST_EXPLAINED = 0.02
"""Share of what is generated that a mean has to explain, or it has learned nothing."""

FITTED = (LinearMean, RecordMean, KernelMean, Transport, SolvedMean)
"""Kinds of means that are fitted at once; which part of one is, says `fitted`."""
SCALED = (*FITTED, LearnedMean)
"""Kinds of means that have a scale for each channel."""


def with_closed_forms(
    model: WDNO, batches: WindowBatches, unseen: WindowBatches
) -> WDNO:
    """The model with those parts of its mean fitted that have a closed form.

    Args:
        model: whose mean, or what a network's mean begins with, has such parts.
        batches: trajectories to fit.
        unseen: others, for the scales.

    Raises:
        ValueError: trajectories are too few, inputs do not vary, or the mean leaves
            everything open.
    """
    residual = model.residual
    if isinstance(residual, LearnedMean):
        begun = replace(model, residual=residual.base)
        base = with_closed_forms(begun, batches, unseen).residual
        return replace(model, residual=replace(residual, base=base))
    if not isinstance(residual, FITTED):
        return model
    found = fitted(residual, batches.records)
    return with_scales(replace(model, residual=found), unseen)


def has_closed_forms(residual: Residual | None) -> bool:
    """Whether a residual, or what a network's mean begins with, is fitted at once."""
    if isinstance(residual, LearnedMean):
        return has_closed_forms(residual.base)
    return isinstance(residual, FITTED)


@singledispatch
def fitted(residual: Residual | None, records: Records) -> Residual | None:
    """The residual with fitted parts; of most kinds there are none.

    Args:
        residual: of a model.
        records: whole trajectories.
    """
    return residual


@fitted.register
def _(residual: LinearMean, records: Records) -> LinearMean:
    return fit_maps(replace(residual, base=fitted(residual.base, records)), records)


@fitted.register
def _(residual: RecordMean, records: Records) -> RecordMean:
    base = fitted(residual.base, records)
    return fit_record_maps(replace(residual, base=base), records)


@fitted.register
def _(residual: KernelMean, records: Records) -> KernelMean:
    base = fitted(residual.base, records)
    return fit_kernel_maps(replace(residual, base=base), records)


@fitted.register(Transport)
@fitted.register(SolvedMean)
def _(residual: Transport | SolvedMean, records: Records) -> Transport | SolvedMean:
    return replace(residual, base=fitted(residual.base, records))


def with_scales(model: WDNO, batches: WindowBatches, count: int = 64) -> WDNO:
    """The model with the scales of its mean fitted to what that leaves open.

    Args:
        model: with a trained mean of a kind that is `SCALED`.
        batches: windows, at best of trajectories that the mean has not seen.
        count: of batches, on the grid of the data.

    Raises:
        ValueError: the mean has no scales, or leaves everything open.
    """
    residual = model.residual
    if not isinstance(residual, SCALED):
        raise ValueError(
            f"Scales are those of a mean, one of {[kind.__name__ for kind in SCALED]}, "
            f"but the residual of this model is {residual}. Give the recipe one."
        )
    plain = replace(model, residual=replace(residual, scale=()))
    targets = wavelet_targets(model)

    @jax.jit
    def left(plain: WDNO, fields: Fields) -> Coefficients:
        return left_open(plain, prepare(plain, fields), fields)

    turn = len(batches.recipe.grids)
    steps = range(0, count * turn, turn)
    scale = targets.scaled_to(left(plain, batches(n)) for n in steps).scale
    some = np.asarray(left(plain, batches(0))).reshape(-1, len(scale))
    weight = np.asarray(targets.energy_share) * some.any(axis=0)  # others are certain
    explained = 1 - float(np.square(scale) @ weight / max(weight.sum(), 1e-30))
    if explained < LEAST_EXPLAINED:
        raise ValueError(
            "A mean is worth its calls if it explains something of what is generated, "
            f"but it explains {explained:.1%} of its energy. Train it longer, give it "
            "a larger share of the run, or leave it out."
        )
    return replace(model, residual=replace(residual, scale=scale))


def wavelet_targets(model: WDNO) -> WaveletLayout:
    """The layout of the targets.

    Raises:
        ValueError: it is none of wavelet coefficients.
    """
    if not isinstance(model.targets, WaveletLayout):
        raise ValueError(
            "Scales are fitted to wavelet coefficients, but the targets of this model "
            f"have the layout {model.targets}. Train it without a mean."
        )
    return model.targets
