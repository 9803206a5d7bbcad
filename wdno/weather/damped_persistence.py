"""Damped persistence: anomalies that fade, and departures from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from wdno.trajectory import named

__all__ = ["DampedPersistence"]

_SPACE = ("latitude", "longitude")


@dataclass(frozen=True)
class DampedPersistence:
    """The forecast r(τ) a(0) of an anomaly a, and how far it is off.

    An anomaly persists at first and is forgotten later, so that this forecast goes from
    persistence, r = 1, to the climatology, r = 0. Where it is off by s(τ, x) on
    average, a model of the departures d(τ, x) = (a(τ, x) - r(τ) a(0, x)) / s(τ, x)
    has errors of the same weight at all leads, on land and at sea, and the forecast
    that it begins with is a good one.

    Attributes:
        share: r, what is left of the anomaly, on (time) for each variable.
        error: s, root mean square error of the forecast on (time, latitude, longitude)
            in the units of the variable; 1 at the start, where nothing is off.
    """

    share: xr.Dataset
    error: xr.Dataset

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
        mean = ["sample", *_SPACE]
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
            fitted = (anomaly * start).mean(mean) / square
            at_start = xr.Variable("time", np.arange(anomaly.sizes["time"]) == 0)
            share[name] = fitted.where(~at_start, 1.0)  # free of rounding
            squares = ((anomaly - share[name] * start) ** 2).mean("sample")
            off = np.sqrt(squares).transpose("time", *_SPACE)
            error[name] = off.where(off > 1e-6 * np.sqrt(square), 1.0)
        return cls(xr.Dataset(share), xr.Dataset(error))

    def forecast(self, windows: xr.Dataset) -> xr.Dataset:
        """Anomalies r(τ) a(0) on the axes of the windows, in the units of the variable.

        Args:
            windows: anomalies from the start on; only those at the start are used.
        """
        variables = list(map(str, self.share.data_vars))
        return xr.Dataset(
            {
                name: self._faded(name, field.isel(time=0, drop=True), field)
                for name, field in named(windows, variables).items()
            },
            windows.coords,
        )

    def departures(self, windows: xr.Dataset) -> xr.Dataset:
        """Windows with d(τ) in place of a(τ), and a(0) as the coordinate x_0h_before.

        Departures are zero at the start, so that a model needs the anomaly besides; it
        is of the past, such as ``t2m_1h_before``, and never changes in a window.

        Args:
            windows: anomalies from the start on.
        """
        moved, before = {}, {}
        for name, field in self.forecast(windows).data_vars.items():
            off = (windows[name] - field) / self.error[name]
            moved[name] = off.transpose(*windows[name].dims).astype(field.dtype)
            moved[name].attrs = {**windows[name].attrs, "units": "1"}
            start = windows[name].isel(time=0, drop=True)
            before[f"{name}_0h_before"] = start.drop_vars(
                [label for label in start.coords if label not in start.dims]
            )
        return windows.assign(moved).assign_coords(before)

    def from_departures(self, forecast: xr.Dataset) -> xr.Dataset:
        """Anomalies a(τ) of departures: the inverse of `departures`.

        Args:
            forecast: departures with the coordinates x_0h_before, which
                `wdno.simulate` hands on to what it returns.

        Raises:
            ValueError: such a coordinate is missing.
        """
        moved = {}
        for name in map(str, self.share.data_vars):
            if f"{name}_0h_before" not in forecast.coords:
                raise ValueError(
                    "Departures carry the anomaly that they start from, but the "
                    f"coordinate {name}_0h_before is missing. Add it by "
                    "`.assign_coords`."
                )
            start = forecast[f"{name}_0h_before"]
            field = forecast[name]
            faded = self._faded(name, start, field)
            whole = faded + field * self.error[name]
            moved[name] = whole.transpose(*field.dims).astype(field.dtype)
        return forecast.assign(moved)

    def _faded(
        self, name: str, start: xr.DataArray, like: xr.DataArray
    ) -> xr.DataArray:
        """r(τ) a(0) on the axes of `like`, but for those of an ensemble."""
        dims = [dim for dim in like.dims if dim != "member"]
        faded = (self.share[name] * start.reset_coords(drop=True)).transpose(*dims)
        return faded.astype(like.dtype).assign_attrs(like.attrs)
