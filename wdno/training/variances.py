"""Variances of what a mean leaves open, as sums of local energies.

The model ``r ~ N(0, v)``, ``v = sum_b w_b e_b`` with known e_b ≥ 0 and w_b ≥ 0 has the
likelihood equations ``sum e_b (v - r²)/v² = 0`` wherever w_b > 0. Least squares of r²
on e with weights 1/v² of the last estimate solve them when they stand still: Fisher's
scoring. It needs nothing but sums over places, and non-negative least squares.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.optimize import nnls

from wdno._typing import Fields
from wdno.operator.calibrated import mean_of
from wdno.operator.local_scale import LocalScale
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients
from wdno.training.batches import WindowBatches
from wdno.training.closed_form import wavelet_targets

ITERATIONS = 6
RIDGE = 1e-9
"""Of the normal equations, where two energies are the same."""
PLACES = 400_000
"""Grid points that the weights are fitted to."""
LEAST_VARIANCE = 1e-4
"""Least variance of a place, as a share of the channel's mean: nothing is certain."""
LEAST_ENERGY = 1e-6
"""Root mean square below which an energy is none, and has no part in a variance."""


class Places(NamedTuple):
    """What is known, and what is left open, at some places."""

    energies: Float[np.ndarray, "place energy"]
    squares: Float[np.ndarray, "place channel"]
    times: Float[np.ndarray, " place"]
    """Middle of the instant that each is of, as a share of its window."""

    def of(self, part: int, parts: int) -> "Places":
        """Those in one of so many equal parts of the window."""
        there = np.floor(self.times * parts).astype(int) == part
        return Places(*(values[there] for values in self))


def with_local_scale(
    model: WDNO, batches: WindowBatches, scale: LocalScale, count: int = 32
) -> WDNO:
    """The model with a `LocalScale` around its mean, fitted to what that leaves open.

    Args:
        model: with a trained mean.
        batches: windows, at best of trajectories that the mean has not seen.
        scale: the kind that is fitted, as a recipe has it.
        count: of batches, on the grid of the data.

    Raises:
        ValueError: the model has no mean, or is none of wavelet coefficients.
    """
    residual = mean_of(model.residual)
    if residual is None:
        raise ValueError(
            "A local scale is that of what a mean leaves open, but this model has no "
            "mean. Give the recipe one, or leave the local scale out."
        )
    local, targets = replace(scale, base=residual), wavelet_targets(model)
    places = _places(model, local, batches, count)
    shape, may = local.deviations_shape(targets), local.dependence(targets)
    instants = math.prod(shape[: -may.ndim])
    weights = [
        channel_weights(places.of(n, instants), may, targets.repeats)
        for n in range(instants)
    ]
    found = jnp.asarray(np.sqrt(weights), jnp.float32).reshape(shape)
    return replace(model, residual=replace(local, deviations=found))


def channel_weights(
    places: Places, may: Bool[np.ndarray, "energy channel"], repeats: Sequence[int]
) -> Float[np.ndarray, "energy channel"]:
    """Weights of every channel.

    Args:
        places: what is known and left open.
        may: which energies the variance of a channel may depend on.
        repeats: how often each channel holds the same number.
    """
    weights = np.zeros(may.shape)
    for channel, copies in enumerate(repeats):
        square, own = places.squares[:, channel].astype(float), may[:, channel]
        # Noise of the equal coefficients of a number averages out.
        weights[own, channel] = copies * variance_weights(
            places.energies[:, own], square
        )
    weights[0] = np.where(weights.any(axis=0), weights[0], 1.0)
    return weights


def variance_weights(
    energies: Float[np.ndarray, "place energy"], squares: Float[np.ndarray, " place"]
) -> Float[np.ndarray, " energy"]:
    """Weights w ≥ 0 of the largest likelihood, for variances ``energies @ w``.

    Residuals are no exact normal ones, so that the weights are scaled in the end to
    variances whose mean is that of the squares.

    Args:
        energies: e, the first of them 1.
        squares: r².

    Returns:
        Weights, all 0 where nothing is left open.
    """
    typical = squares.mean()
    units = np.sqrt(np.square(energies.astype(float)).mean(axis=0))
    units[units < LEAST_ENERGY] = np.inf
    if typical == 0:
        return np.zeros_like(units)
    e, r = energies / units, squares / typical
    variance = np.ones_like(r)
    for _ in range(ITERATIONS):
        weighted = e / variance[:, None]
        normal = weighted.T @ weighted
        normal += RIDGE * np.trace(normal) / len(units) * np.eye(len(units))
        root = np.linalg.cholesky(normal)
        right = np.linalg.solve(root, weighted.T @ (r / variance))
        weights, _ = nnls(root.T, right)
        weights[0] = max(weights[0], LEAST_VARIANCE / units[0])
        variance = e @ weights
    return typical / variance.mean() * weights / units


def _places(
    model: WDNO, local: LocalScale, batches: WindowBatches, count: int
) -> Places:
    """A random choice of places of the first batches."""

    @jax.jit
    def looked_at(
        model: WDNO, local: LocalScale, fields: Fields
    ) -> tuple[Float[Array, "batch *grid energy"], Coefficients]:
        targets, condition = wavelet_targets(model), model.given.analysis(fields)
        mean = local.base(fields, condition, targets, model.given).mean
        return local.energies(mean, targets), jnp.square(
            targets.analysis(fields) - mean
        )

    draw, turn, parts = np.random.default_rng(0), len(batches.recipe.grids), []
    for n in range(0, count * turn, turn):
        energies, squares = map(np.asarray, looked_at(model, local, batches(n)))
        # Chosen by number, or the whole grid would be copied to have its instants.
        places = squares[..., 0]
        size = min(places.size, -(-PLACES // count))
        chosen = np.unravel_index(
            draw.choice(places.size, size, replace=False), places.shape
        )
        times = (chosen[1] + 0.5) / places.shape[1]
        parts.append(Places(energies[chosen], squares[chosen], times))
    return Places(*map(np.concatenate, zip(*parts, strict=True)))
