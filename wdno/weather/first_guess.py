"""What a forecast begins with, and departures from it in units of its own errors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import xarray as xr

from wdno.trajectory import named

__all__ = ["SPACE", "FirstGuess", "size_of_errors"]

SPACE = ("latitude", "longitude")


@dataclass(frozen=True)
class FirstGuess(ABC):
    """A forecast g(τ, x) of anomalies from the last ones, and how far it is off.

    A model of the departures ``d(τ, x) = (a(τ, x) - g(τ, x)) / s(τ, x)`` begins with a
    good forecast, and its errors have the same weight at all leads, on land and at sea.

    Attributes:
        error: s, root mean square error of the forecast on (time, latitude, longitude)
            in the units of the variable; 1 at the start, where nothing is off. Errors
            on days that the forecast was fitted to are too small, see `cross_fitted`.
    """

    error: xr.Dataset

    @abstractmethod
    def expected(self, past: xr.Dataset) -> xr.Dataset:
        """Anomalies g(τ, x) on the axes of `past` and "time".

        Args:
            past: anomalies at and before the start, ``t2m_0h_before``,
                ``t2m_1h_before`` and so on.
        """

    def forecast(self, windows: xr.Dataset) -> xr.Dataset:
        """Anomalies g(τ, x) on the axes of the windows, in the units of the variable.

        Args:
            windows: anomalies from the start on; what comes after it is not used.
        """
        fields = named(windows, list(map(str, self.error.data_vars)))
        found = self.expected(_past(windows, fields))
        return xr.Dataset(
            {name: _like(found[name], field) for name, field in fields.items()},
            windows.coords,
        )

    def departures(self, windows: xr.Dataset) -> xr.Dataset:
        """Windows with d(τ) in place of a(τ), and a(0) as the coordinate x_0h_before.

        Departures are zero at the start, so that a model needs the anomaly besides; it
        is of the past, such as ``t2m_1h_before``, and never changes in a window.

        Args:
            windows: anomalies from the start on.
        """
        guess = self.forecast(windows)
        moved = {}
        for name, field in guess.data_vars.items():
            off = (windows[name] - field) / self.error[name]
            moved[name] = off.transpose(*field.dims).astype(field.dtype)
            moved[name].attrs = {**field.attrs, "units": "1"}
        fields = {str(name): windows[name] for name in guess.data_vars}
        past = _past(windows, fields)
        return windows.assign(moved).assign_coords(dict(past.data_vars))

    def from_departures(self, forecast: xr.Dataset) -> xr.Dataset:
        """Anomalies a(τ) of departures: the inverse of `departures`.

        Args:
            forecast: departures with the coordinates x_0h_before and the like, as
                `departures` made them. `wdno.simulate` hands on those that its model
                is given; the others have to be added.

        Raises:
            ValueError: such a coordinate is missing.
        """
        fields = named(forecast, list(map(str, self.error.data_vars)))
        past = _past(forecast, {})
        if lost := [name for name in fields if f"{name}_0h_before" not in past]:
            raise ValueError(
                "Departures carry the anomaly that they start from, but the "
                f"coordinate {lost[0]}_0h_before is missing. Add it by "
                "`.assign_coords`."
            )
        guess, moved = self.expected(past), {}
        for name, field in fields.items():
            whole = guess[name] + field * self.error[name]
            moved[name] = whole.transpose(*field.dims).astype(field.dtype)
            moved[name].attrs = field.attrs
        return forecast.assign(moved)


def size_of_errors(off: xr.DataArray, unit: float) -> xr.DataArray:
    """Root mean square over samples, 1 where it is nothing in this unit."""
    size = ((off**2).mean("sample") ** 0.5).transpose("time", *SPACE)
    return size.where(size > 1e-6 * unit, 1.0)


def _past(windows: xr.Dataset, fields: dict[str, xr.DataArray]) -> xr.Dataset:
    """Anomalies before the start, and of these fields those at the start."""
    known = {
        str(name): windows[name].reset_coords(drop=True)
        for name in windows.coords
        if str(name).endswith("h_before")
    }
    for name, field in fields.items():
        start = field.isel(time=0, drop=True).reset_coords(drop=True)
        known[f"{name}_0h_before"] = start
    return xr.Dataset(known)


def _like(field: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
    """On the same axes, of the same kind."""
    return field.transpose(*other.dims).astype(other.dtype).assign_attrs(other.attrs)
