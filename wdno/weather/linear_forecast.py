"""A linear forecast: what is near, alike everywhere, and what whole maps say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from wdno.trajectory import named
from wdno.weather.first_guess import SPACE, FirstGuess, size_of_errors
from wdno.weather.grid import is_circle

__all__ = ["LinearForecast"]

_NEGLIGIBLE = 0.01
"""Patterns of less than this share of the penalty would be shrunk to nothing."""
_COLLINEAR = 1e-6
"""Moments of less than this share of the largest say nothing that others do not."""


@dataclass(frozen=True)
class LinearForecast(FirstGuess):
    """An anomaly a and its last change c as a linear map to what comes.

    ``g(τ, x) = Σ_s (w_s G_s a(0) + v_s G_s c)(x) + Σ_k f_k(x) <p_k, (a(0), c)>``

    with w, v and f those of the lead τ, and Gaussian means G_s over neighbours. Weights
    w and v are the same at all places, so that a few days are many samples: air comes
    from near by, and goes on to warm or cool. What that leaves is regressed on whole
    maps, by the patterns p_k of both states, with a penalty that few independent days
    need.

    Attributes:
        near: w and v on (time, state, scale) for each variable.
        patterns: p_k on (pattern, state, latitude, longitude).
        far: f_k on (pattern, time, latitude, longitude).
        before: hours of the change, c = a(0) - a(-before).
    """

    near: dict[str, xr.DataArray]
    patterns: dict[str, xr.DataArray]
    far: dict[str, xr.DataArray]
    before: int

    @classmethod
    def fit(
        cls,
        windows: xr.Dataset,
        variables: Sequence[str],
        *,
        before: int = 1,
        scales: Sequence[float] = (0.0, 3.0, 8.0),
        penalty: float = 0.1,
    ) -> "LinearForecast":
        """Least squares for what is near, then ridge regression on whole maps.

        Ridge regression minimises ``<|r - F z|²> + λ |F|²`` over maps F, with r what is
        left and z the states, each divided so that the mean of its |z|² is 1. With the
        singular values σ_k of all z that shrinks pattern k by ``σ_k² / (σ_k² + λ)``.

        Args:
            windows: anomalies on (sample, time, latitude, longitude) with the
                coordinate x_1h_before (or other hours), of the days of training alone.
            variables: names of the fields, each forecast by itself.
            before: hours of the change.
            scales: standard deviations of G_s in grid points, 0 for the place itself.
            penalty: λ; less of it needs more days.

        Raises:
            ValueError: a variable or its past is missing, something is not finite or
                never varies, there is one window only, or a setting is out of range.
        """
        if 0 not in scales or min(scales) < 0 or not penalty > 0:
            raise ValueError(
                "A linear forecast has the place itself, 0, among its scales, others "
                "above it, and a positive penalty, but got "
                f"{tuple(scales)} and {penalty}. Correct them."
            )
        parts = {
            name: _fitted(_states(windows, name, before), field, scales, penalty)
            for name, field in named(windows, variables).items()
        }
        return cls(
            xr.Dataset({name: part.error for name, part in parts.items()}),
            *({n: part[i] for n, part in parts.items()} for i in range(3)),
            before=before,
        )

    def expected(self, past: xr.Dataset) -> xr.Dataset:
        """Anomalies g(τ, x) on the axes of a(0) and "time"; a(0) itself at the start.

        Raises:
            ValueError: the past lacks x_1h_before, or whichever hours were fitted.
        """
        return xr.Dataset(
            {name: self._of(name, past) for name in map(str, self.error.data_vars)}
        )

    def _of(self, name: str, past: xr.Dataset) -> xr.DataArray:
        start = past[f"{name}_0h_before"]
        states = _stacked(start, _before(past, name, self.before))
        scales = self.near[name]["scale"].values.tolist()
        strength = xr.dot(states, self.patterns[name], dim=["state", *SPACE])
        near = xr.dot(_means(states, scales), self.near[name], dim=["state", "scale"])
        return near + xr.dot(strength, self.far[name], dim="pattern")


class _Maps(NamedTuple):
    """What is fitted for one variable."""

    near: xr.DataArray
    patterns: xr.DataArray
    far: xr.DataArray
    error: xr.DataArray


def _fitted(
    states: xr.DataArray, truth: xr.DataArray, scales: Sequence[float], penalty: float
) -> _Maps:
    states, truth = states.astype(float), truth.astype(float)
    means = _means(states, scales)
    near = _near(means, truth)
    left = truth - xr.dot(means, near, dim=["state", "scale"])
    patterns, far = _far(states, left.transpose("sample", ...), penalty)
    strength = xr.dot(states, patterns, dim=["state", *SPACE])
    off = left - xr.dot(strength, far, dim="pattern")
    unit = float(np.sqrt((truth.isel(time=0) ** 2).mean()))
    return _Maps(near, patterns, far, size_of_errors(off, unit))


def _near(means: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Weights of means over neighbours; of collinear ones the smallest weights."""
    every = ["sample", *SPACE]
    unit = (means**2).sum(every) ** 0.5
    unit = unit.where(unit > 0, 1.0)
    means = means / unit
    both = {"state": "other_state", "scale": "other_scale"}
    moments = xr.dot(means, means.rename(both), dim=every)
    moments = moments.transpose("state", "scale", *both.values())
    wanted = xr.dot(means, truth, dim=every).transpose("state", "scale", "time")
    size = unit.size
    found = np.linalg.lstsq(
        moments.values.reshape(size, size), wanted.values.reshape(size, -1), _COLLINEAR
    )[0]
    weights = wanted.copy(data=found.reshape(wanted.shape)) / unit
    at_start = xr.Variable("time", np.arange(weights.sizes["time"]) == 0)
    itself = (weights["state"] == "start") & (weights["scale"] == 0)
    return weights.where(~at_start, itself.astype(float))


def _far(
    states: xr.DataArray, left: xr.DataArray, penalty: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Ridge regression on whole maps by their patterns."""
    count = states.sizes["sample"]
    unit = (states**2).sum(SPACE).mean("sample") ** 0.5
    unit = unit.where(unit > 0, 1.0)
    scaled = (states / unit).transpose("sample", "state", *SPACE)
    z = scaled.values.reshape(count, -1)
    squares, u = np.linalg.eigh(z @ z.T / count)  # σ², of fewer samples than points
    kept = squares > _NEGLIGIBLE * penalty
    squares, u = squares[kept], u[:, kept]
    patterns = xr.DataArray(
        (u.T @ z).reshape(-1, *scaled.shape[1:]),
        {dim: scaled[dim] for dim in scaled.dims[1:]},
        ("pattern", *scaled.dims[1:]),
    )
    # <z, u z / n> / (σ² + λ) is uᵀ σ² / (σ² + λ), in two factors of one size each.
    shrunk = xr.DataArray(u / (squares + penalty) / count, dims=("sample", "pattern"))
    return patterns / unit, xr.dot(shrunk, left, dim="sample")


def _states(windows: xr.Dataset, name: str, before: int) -> xr.DataArray:
    """The anomaly at the start and its last change, once a fit can begin."""
    start = windows[name].isel(time=0, drop=True).reset_coords(drop=True)
    states = _stacked(start, _before(windows, name, before))
    sound = np.isfinite(windows[name]).all() and np.isfinite(states).all()
    if not sound or not (states != 0).any() or states.sizes["sample"] < 2:
        raise ValueError(
            "A linear forecast is fitted to two windows or more of anomalies that are "
            "finite and not all zero at the start and before it, but the "
            f"{states.sizes['sample']} of {name} are not. Take windows of `departures` "
            "from a climatology, of more days."
        )
    return states


def _before(past: xr.Dataset, name: str, before: int) -> xr.DataArray:
    label = f"{name}_{before}h_before"
    if before < 1 or label not in past.variables:
        known = [n for n in past.variables if str(n).endswith("h_before")]
        raise ValueError(
            "A linear forecast needs the anomaly some hours before the start, here "
            f"{label}, but got {known}. Cut windows with a history (`anomaly_windows`, "
            "`forecast_windows`), or choose other hours as `before`."
        )
    return past[label].reset_coords(drop=True)


def _stacked(start: xr.DataArray, earlier: xr.DataArray) -> xr.DataArray:
    """(state, …): the start, and the change that led to it."""
    return xr.concat(
        [start, start - earlier],
        xr.Variable("state", ["start", "change"]),
        coords="minimal",
        compat="override",
    )


def _means(states: xr.DataArray, scales: Sequence[float]) -> xr.DataArray:
    """Gaussian means over neighbours, (…, state, scale); maps go on at their edges."""
    ordered = states.transpose("state", ..., *SPACE)
    round_globe = is_circle(ordered.to_dataset(name="states"))
    modes = ("nearest", "wrap" if round_globe else "nearest")
    parts = [
        ordered.copy(
            data=gaussian_filter(ordered.values, scale, mode=modes, axes=(-2, -1))
        )
        for scale in scales
    ]
    found = xr.concat(parts, xr.Variable("scale", np.asarray(scales, float)))
    return found.transpose(..., "state", "scale")
