"""Checks and labels of labelled arrays, shared by scores and pictures."""

import re

import numpy as np
import xarray as xr

from wdno._arrays import contrast, same_points, working_type
from wdno.trajectory import check_labelled

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def matched(
    forecast: xr.DataArray, truth: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Forecast and truth in double precision, proven to lie on the same grid.

    A single trajectory gets the dim ``sample``. The forecast takes over the coordinates
    of the truth, which equal its own up to rounding: arithmetic on labelled arrays
    would drop points that differ in a last bit.

    Raises:
        ValueError: for a whole dataset, dims other than ``(sample, time, *space)`` plus
            ``member`` in the forecast, other sizes or coordinates, or values that are
            not finite real numbers.
    """
    for role, field in (("forecast", forecast), ("truth", truth)):
        check_labelled(**{role: field})
        if isinstance(field, xr.Dataset):
            raise ValueError(
                f"Scores compare one field; the {role} is a dataset of "
                f"{sorted(map(str, field.data_vars))}. Pass one of them, such as `.u`."
            )
    forecast, truth = (
        field if "sample" in field.dims else field.expand_dims("sample")
        for field in (forecast, truth)
    )
    if "member" in truth.dims or "time" not in truth.dims:
        raise ValueError(
            "Truth must have dims (sample, time, *space) and no `member`; got "
            f"{truth.dims}. Rename or select dims; a single trajectory needs no sample."
        )
    if set(forecast.dims) - {"member"} != set(truth.dims):
        raise ValueError(
            f"A forecast must have the dims of the truth, {truth.dims}, and at most "
            f"`member` besides; got {forecast.dims}. Rename or select dims to match."
        )
    for dim in truth.dims:
        same_grid(forecast, truth, str(dim))
    finite("forecast", forecast)
    finite("truth", truth)
    own = [name for name in forecast.coords if name != "member"]
    grid = {dim: truth[dim] for dim in truth.dims if dim in truth.coords}
    forecast = forecast.drop_vars(own).assign_coords(grid)
    return forecast.astype(float), truth.astype(float)


def finite(role: str, field: xr.DataArray) -> None:
    """Raises `ValueError` unless all values are finite real numbers."""
    working_type(f"the {role}", field.dtype)
    bad = ~np.isfinite(field.values.astype(float))
    if bad.any():
        place = dict(zip(field.dims, np.argwhere(bad)[0].tolist(), strict=True))
        raise ValueError(
            f"The {role} must be finite; got {bad.sum()} NaN or infinite values, the "
            f"first at index {place}. Drop that sample or find where it diverged."
        )


def members(ensemble: xr.DataArray, *, at_least: int) -> int:
    """Number of ensemble members M; raises `ValueError` if there are too few."""
    number = ensemble.sizes.get("member", 0)
    if number < at_least:
        raise ValueError(
            f"This score needs a `member` dimension of at least {at_least}; got "
            f"{dict(ensemble.sizes)}. Draw more samples of the forecast, or use `mae` "
            "for a deterministic one."
        )
    return number


def nonzero(norm: xr.DataArray, part: str) -> xr.DataArray:
    """A norm to divide by; raises `ValueError` where it vanishes."""
    zero = norm.values == 0
    if zero.any():
        place = dict(zip(norm.dims, np.argwhere(zero)[0].tolist(), strict=True))
        raise ValueError(
            f"A relative error needs a truth that is not zero throughout {part}; it is "
            f"at index {place}. Leave that out, or use `mse`."
        )
    return norm


def grid_dims(field: xr.DataArray) -> list[str]:
    """Time and space: every dimension but ``sample`` and ``member``."""
    return [str(dim) for dim in field.dims if dim not in ("sample", "member")]


def units(field: xr.DataArray, power: int = 1) -> str:
    """Units of a field or of its power; "1" where the field carries none."""
    unit = str(field.attrs.get("units", "")) or "1"
    return unit if power == 1 or unit == "1" else f"({unit})^{power}"


def label(coordinate: xr.DataArray) -> str:
    """Axis label: long name, and units where there are any, as in "speed [m s⁻¹]"."""
    name = str(coordinate.attrs.get("long_name", coordinate.name or "value"))
    unit = typeset(units(coordinate))
    return name if unit == "1" else f"{name} [{unit}]"


def typeset(unit: str) -> str:
    """Units with raised powers and spaces that do not break: "m s-1" as "m s⁻¹"."""
    powers = re.compile(r"(?<=[A-Za-z)])\^?(-?\d+)")
    raised = powers.sub(lambda power: power[1].translate(_SUPERSCRIPTS), unit)
    return raised.replace(" ", "\N{NO-BREAK SPACE}")


def space_dims(field: xr.DataArray) -> list[str]:
    """Space: every dimension but ``sample``, ``member`` and ``time``.

    Raises:
        ValueError: there is none.
    """
    space = [dim for dim in grid_dims(field) if dim != "time"]
    if not space:
        raise ValueError(
            f"This score needs dimensions of space; got {field.dims}. Use one that "
            "reduces time only."
        )
    return space


def named(result: xr.DataArray, name: str, unit: str, convention: str) -> xr.DataArray:
    """A score with its name, its units and the convention it was computed by."""
    result = result.rename(name)
    result.attrs = {"units": unit, "convention": convention}
    return result


def same_grid(
    forecast: xr.DataArray, truth: xr.DataArray, dim: str, role: str = "Forecast"
) -> None:
    """Raises `ValueError` unless size and coordinates agree along a dimension."""
    if forecast.sizes[dim] != truth.sizes[dim]:
        raise ValueError(
            f"{role} and truth must have the same grid; along `{dim}` they have "
            f"{forecast.sizes[dim]} and {truth.sizes[dim]} points. Select or resample "
            "one to the other (`exclude_initial` drops the first frame only)."
        )
    if dim not in forecast.coords or dim not in truth.coords:
        return
    ours, theirs = forecast[dim].values, truth[dim].values
    if not same_points(ours, theirs):
        raise ValueError(
            f"{role} and truth must have the same grid; their coordinates `{dim}` "
            f"differ ({' against '.join(contrast(ours, theirs))}). Interpolate one to "
            "the other, or drop the coordinate if it is only a label."
        )
