"""Damped persistence: anomalies that fade."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from wdno.trajectory import named
from wdno.weather.first_guess import SPACE, FirstGuess, size_of_errors

__all__ = ["DampedPersistence"]


@dataclass(frozen=True)
class DampedPersistence(FirstGuess):
    """The forecast g(τ, x) = r(τ) a(0, x) of an anomaly a.

    An anomaly persists at first and is forgotten later, so that this forecast goes from
    persistence, r = 1, to the climatology, r = 0.

    Attributes:
        share: r, what is left of the anomaly, on (time) for each variable.
    """

    share: xr.Dataset

    @classmethod
    def fit(cls, windows: xr.Dataset, variables: Sequence[str]) -> "DampedPersistence":
        """Least squares over samples and places, r(τ) = Σ a(τ) a(0) / Σ a(0)².

        Args:
            windows: anomalies on (sample, time, latitude, longitude) from the start on,
                of the days of training alone; see `forecast_windows` and `departures`.
            variables: names of the fields.

        Raises:
            ValueError: a variable is missing, or all of its anomalies at the start are
                zero or one is not finite.
        """
        share, error = {}, {}
        for name, anomaly in named(windows, variables).items():
            start = anomaly.isel(time=0, drop=True)
            square = float((start**2).mean())
            if not (square > 0 and np.isfinite(anomaly).all()):
                raise ValueError(
                    "Damped persistence is fitted to anomalies that are finite and not "
                    f"all zero at the start, but those of {name} are not. Take windows "
                    "of `departures` from a climatology."
                )
            fitted = (anomaly * start).mean(["sample", *SPACE]) / square
            at_start = xr.Variable("time", np.arange(anomaly.sizes["time"]) == 0)
            share[name] = fitted.where(~at_start, 1.0)  # free of rounding
            error[name] = size_of_errors(anomaly - share[name] * start, square**0.5)
        return cls(xr.Dataset(error), xr.Dataset(share))

    def expected(self, past: xr.Dataset) -> xr.Dataset:
        """Anomalies r(τ) a(0) on the axes of a(0) and "time"."""
        return xr.Dataset(
            {name: r * past[f"{name}_0h_before"] for name, r in self.share.items()}
        )
