"""Data sets of WeatherBench 2 (Rasp et al. 2024, arXiv 2308.15560), NetCDF or Zarr.

Analyses have the dimensions (time, level, longitude, latitude); forecasts have their
first instants as "time" and lead times as "prediction_timedelta", and ensembles the
dimension "number" or "realization". Latitudes rise in some files and fall in others.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno._arrays import beyond_poles
from wdno.trajectory import open_labelled
from wdno.trajectory.lazy import Labelled, lazy, lazy_whole

__all__ = ["matches_weatherbench", "open_weatherbench"]

_LEAD = "prediction_timedelta"
_MEMBER = ("number", "realization")
_SPACE = ("level", "latitude", "longitude")
_HOUR = np.timedelta64(1, "h")


def matches_weatherbench(dataset: xr.Dataset) -> bool:
    """Whether an opened dataset is of this layout."""
    return {"time", "latitude", "longitude"} <= set(dataset.dims) and (
        "sample" not in dataset.dims
    )


def open_weatherbench(path: str | Path) -> xr.Dataset:
    """Weather on (sample, member, time, level, latitude, longitude), lazily.

    An analysis is one sample; of forecasts, each is one, with its first instant as the
    coordinate "init_time". "time" counts hours from the first instant, and the
    coordinate "valid_time" has the date, by which a climatology is selected. Latitudes
    are made to rise, whatever their order in the file. Fields without time, such as
    orography, come as they are.

    Args:
        path: NetCDF file or Zarr folder.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is of another layout or incomplete, or latitudes, longitudes or
            instants are out of order.
    """
    dataset = open_labelled(path, decode_timedelta={_LEAD: True})
    if not matches_weatherbench(dataset):
        raise ValueError(
            "Files of WeatherBench 2 have the dimensions time, latitude and longitude "
            f"and no sample, but {path} has {dict(dataset.sizes)}. Is it of this "
            "layout? If only names differ, `.rename` them and write it anew."
        )
    # What the file has one of: a member, a height, the start of a reanalysis.
    single = [n for n, coord in dataset.coords.items() if not coord.dims]
    dataset = dataset.drop_vars([name for name in single if name != "level"])
    _check_axes(dataset, path)
    dates = dataset["time"].values
    falling = dataset["latitude"].values[0] > dataset["latitude"].values[-1]
    if falling:
        dataset = dataset.isel(latitude=slice(None, None, -1))
    forecasts = _LEAD in dataset.dims
    names = {name: "member" for name in _MEMBER}
    if forecasts:
        names |= {"time": "sample", _LEAD: "time"}
    variables = {}
    for name, field in dataset.data_vars.items():
        variable = field.variable
        dims = list(map(str, variable.dims))
        if "time" not in dims:
            variables[name] = variable
            continue
        order = ("time", *_MEMBER, _LEAD, *_SPACE)
        place = {dim: n for n, dim in enumerate(order)}
        own = tuple(sorted(dims, key=lambda dim: place.get(dim, len(place))))
        new = tuple(names.get(dim, dim) for dim in own)
        reader = Labelled(variable, own)
        if forecasts:
            variables[name] = lazy_whole(reader, new)
        else:
            variables[name] = lazy(lambda n, whole=reader: whole, 1, new)
        variables[name].attrs = {**variable.attrs, "cell_methods": "time: point"}
    coords: dict[str, Any] = {
        dim: dataset[dim].variable for dim in _SPACE if dim in dataset.coords
    }
    for name in _MEMBER:
        if name in dataset.coords:
            coords["member"] = ("member", dataset[name].values)
    hours = {"units": "h", "long_name": "time since the first instant"}
    if forecasts:
        leads = dataset[_LEAD].values
        coords["init_time"] = ("sample", dates)
        coords["valid_time"] = (("sample", "time"), dates[:, None] + leads)
    else:
        leads = dates - dates[0]
        coords["valid_time"] = (("sample", "time"), dates[None])
    coords["time"] = ("time", leads / _HOUR, hours)
    return xr.Dataset(variables, coords, {**dataset.attrs, "source": Path(path).name})


def _check_axes(dataset: xr.Dataset, path: str | Path) -> None:
    if missing := [n for n in ("latitude", "longitude", "time") if n not in dataset]:
        raise ValueError(
            f"Weather lies at known places and instants, but {path} has no coordinates "
            f"{missing}. Is it complete?"
        )
    dates = dataset["time"].values
    for name, kind in {"time": "M", _LEAD: "m"}.items():
        if name in dataset and dataset[name].dtype.kind != kind:
            raise ValueError(
                f"Instants are dates and lead times durations, but in {path} {name!r} "
                f"is of type {dataset[name].dtype}. Give it units, such as 'hours "
                "since 1959-01-01' or 'hours'."
            )
    latitude = dataset["latitude"].values
    rising = {"longitude": dataset["longitude"].values, "time": dates}
    rising["latitude"] = latitude if latitude[0] < latitude[-1] else -latitude
    if _LEAD in dataset:
        rising[_LEAD] = dataset[_LEAD].values
    for name, values in rising.items():
        wrong = np.flatnonzero(~(values[1:] > values[:-1]))
        if wrong.size:
            at = int(wrong[0]) + 1
            raise ValueError(
                f"Coordinates are in order without repetition, but in {path} {name!r} "
                f"has {dataset[name].values[at]} after {dataset[name].values[at - 1]} "
                f"at index {at}. Sort it by `.sortby` and write it anew."
            )
    if beyond := beyond_poles(latitude):
        raise ValueError(
            f"Latitudes lie between -90 and 90 degrees, but in {path} they reach "
            f"{beyond}. Convert them."
        )
