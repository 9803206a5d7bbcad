"""Maps of a `KernelMean` from records: ridge regression in the space of its kernel."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve

from wdno.operator.kernel_mean import KernelMaps, KernelMean, similarity, slowest
from wdno.training.records import Arrays, Records
from wdno.training.reduced_rank import leading

PENALTY = 1e-2
"""Of the weights, in units of the kernel of an example with itself."""


def fit_kernel_maps(mean: KernelMean, records: Records) -> KernelMean:
    """The mean with maps fitted to the first records, each window to their ends.

    ``w = (K + λ)⁻¹ (y - b) Pᵀ`` with the kernel K of all pairs of examples and the
    leading patterns P of what is mapped, each target in units of its spread. An end of
    a trajectory under the best control is one itself (Bellman), so that one set of
    records serves windows of all lengths.

    Args:
        mean: which fields, windows and examples.
        records: targets (record, frame, *space) by name, and initial states.

    Raises:
        ValueError: there are fewer records than examples, or shorter ones than windows.
    """
    few = records.read(np.arange(min(mean.centres, records.count)))
    frames = few[mean.targets[0]].shape[1]
    if records.count < mean.centres or max(mean.windows) > frames:
        raise ValueError(
            f"A kernel mean of {mean.centres} examples and windows {mean.windows} is "
            f"fitted to as many records of that length, but there are {records.count} "
            f"of {frames} frames. Ask for less, or generate more."
        )
    maps = {str(window): _fitted(mean, few, window) for window in mean.windows}
    return replace(mean, maps=maps)


def _fitted(mean: KernelMean, few: Arrays, window: int) -> KernelMaps:
    """Maps of the last frames of records."""
    state, key = mean.initial
    before = few[state].shape[1] - window
    begins = few[state][:, before - 1] if before else few[key]
    ends = few[mean.final[0]][:, -1]
    x = jnp.concatenate(
        [slowest(jnp.asarray(u), mean.waves) for u in (begins, ends)], axis=1
    )
    # As half precision will have them: the weights belong to these.
    centres = np.asarray(x.astype(jnp.float16), np.float32)
    values = np.stack([few[name][:, before:] for name in mean.targets], axis=-1)
    offset = values.mean(axis=0)
    spread = np.square(values - offset).reshape(-1, values.shape[-1]).mean(axis=0)
    spread = np.sqrt(spread)
    spread = np.where(spread > 0, spread, 1).astype(np.float32)
    y = ((values - offset) / spread).reshape(len(values), -1)
    patterns = leading(y.T, mean.rank)
    same = jnp.asarray(centres)
    kernel = np.asarray(similarity(same, same, mean.width), float)
    kernel[np.diag_indices_from(kernel)] += PENALTY
    weights = solve(kernel, (y @ patterns).astype(float), assume_a="pos")
    # Of even size, as half precision has its digits.
    size = np.abs(weights).max(axis=0) / 2**10
    coarse = (weights / size).astype(np.float16).astype(float)
    shapes = patterns.T * size[:, None]
    return KernelMaps(
        jnp.asarray(centres),
        jnp.asarray(np.stack([coarse, weights / size - coarse]), jnp.float32),
        jnp.asarray(shapes.reshape(-1, *values.shape[1:]) * spread, jnp.float32),
        jnp.asarray(offset, jnp.float32),
    )
