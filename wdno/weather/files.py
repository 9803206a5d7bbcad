"""Files and stores of ERA5: WeatherBench 2, and the Climate Data Store."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from wdno.trajectory import open_labelled
from wdno.weather.grid import Region, ordered, within
from wdno.weather.time_axis import Date, during

__all__ = ["ATTRIBUTION", "open_era5"]

ATTRIBUTION = (
    "Contains modified Copernicus Climate Change Service information (ERA5, ECMWF), "
    "CC-BY 4.0"
)
"""The sentence that every copy of the data carries."""

_NAMES = {
    "valid_time": "time",
    "lat": "latitude",
    "lon": "longitude",
    "pressure_level": "level",
    "isobaricInhPa": "level",
    "number": "member",
    "realization": "member",
    "ensemble": "member",
}
"""What the Climate Data Store and its formats call the axes, and what they are here."""
_PLACE = ("latitude", "longitude")
_AXES = ("member", "time", "level", *_PLACE)


def open_era5(
    source: str | Path | Sequence[str | Path],
    variables: Sequence[str] = (),
    levels: Sequence[int | float] = (),
    region: Region | None = None,
    times: tuple[Date, Date] | None = None,
    members: Sequence[int] = (),
) -> xr.Dataset:
    """Open a record of ERA5 lazily: values are read when they are asked for.

    Axes may have the names of WeatherBench 2 (time, level, latitude, longitude) or of
    the Climate Data Store (valid_time, pressure_level, lat …). A variable on pressure
    levels becomes one field each, such as ``geopotential_500``. Variables keep the
    names and units of the file: geopotential is in m² s⁻², temperature in K.

    Args:
        source: NetCDF or GRIB file, Zarr folder, or the URL of a Zarr store, such as
            those of WeatherBench 2 at ``gs://weatherbench2/datasets/era5/``; or several
            with the same fields, to be joined along time in this order.
        variables: names of fields, all by default.
        levels: pressures in hPa, all by default.
        region: part of the globe, by default all that the record has.
        times: first and last date, included; "2019-03-31" is the whole day.
        members: of an ensemble, by their numbers in the file, all by default.

    Returns:
        Fields on (time, latitude, longitude), those of an ensemble (axes that files
        call number, realization, ensemble or member) on (member, time, …), with rising
        dates, latitudes and longitudes; what has no time, such as orography, on
        (latitude, longitude).

    Raises:
        ModuleNotFoundError: a package of the extra "era5" is not installed.
        FileNotFoundError: there is no such file.
        ValueError: a file is of another layout or incomplete, axes are not in order,
            files differ in grid, members or fields, or a variable, level, member,
            region or date is not there.

    Example:
        ``open_era5("era5.nc", ["t2m"], region=Region(50.25, 58, -10, 1.75))``

        An ensemble is verified against an analysis as it is, each member a forecast:
        ``metrics.latitude_weighted_crps(ensemble.t2m, analysis.t2m)``.
    """
    _need("dask", "Records are read piece by piece by dask")
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise ValueError("A record has one file or more, but got none. Name them.")
    parts = [_fields(str(part), variables, levels) for part in sources]
    record = parts[0] if len(parts) == 1 else _joined(parts, sources)
    dates = record["time"].values
    if (wrong := np.flatnonzero(~(dates[1:] > dates[:-1]))).size:
        at = int(wrong[0]) + 1
        raise ValueError(
            f"Dates rise without repetition, but {dates[at]} comes after "
            f"{dates[at - 1]} at index {at}. Give files in the order of time, or drop "
            "what is repeated."
        )
    if times is not None:
        record = during(record, *times)
    if region is not None:
        record = within(record, region)
    if members:
        record = _of_members(record, members)
    return record.assign_attrs({"licence": ATTRIBUTION} | record.attrs)


def _need(package: str, why: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(
            f"{why}, but {package} is not installed. Install it: pip install "
            "'wdno[era5]'."
        )


def _fields(
    source: str, variables: Sequence[str], levels: Sequence[int | float]
) -> xr.Dataset:
    """The fields of one file, under the names and in the order of this module."""
    dataset = _renamed(_opened(source), source)
    known = sorted(map(str, dataset.data_vars))
    if missing := [name for name in variables if name not in known]:
        raise ValueError(
            f"The variables {missing} are not in {source}, which has {known}. Choose "
            "among these."
        )
    maps = [name for name in known if set(_PLACE) <= set(dataset[name].dims)]
    fields = dataset[list(variables) or maps]
    for name, field in fields.data_vars.items():
        if not set(_PLACE) <= set(field.dims) <= set(_AXES):
            raise ValueError(
                f"Fields of ERA5 are on {_AXES} or fewer, but {name!r} of {source} is "
                f"on {field.dims}. Name the `variables` that are, or select one entry "
                "and write the file anew."
            )
    fields = _by_level(fields, levels, source)
    return ordered(fields.transpose(*_AXES, missing_dims="ignore"), source)


def _of_members(record: xr.Dataset, members: Sequence[int]) -> xr.Dataset:
    """The members of these numbers, in this order."""
    known = record["member"].values.tolist() if "member" in record.dims else []
    if missing := [number for number in members if number not in known]:
        raise ValueError(
            f"Members are named by their numbers, but {missing} are not among those of "
            f"the record, {known}. Choose among these."
        )
    return record.isel(member=[known.index(number) for number in members])


def _opened(source: str) -> xr.Dataset:
    """The file in pieces of dask, as it is stored."""
    dataset = open_labelled(source)
    pieces = {
        name: variable.chunk(variable.encoding.pop("preferred_chunks", {}))
        for name, variable in dataset.data_vars.items()
    }
    return dataset.assign(pieces)


def _renamed(dataset: xr.Dataset, source: str) -> xr.Dataset:
    """The dataset with our names of its axes, and no coordinates besides."""
    kept = {*_AXES, *_NAMES}
    single = [dim for dim, n in dataset.sizes.items() if n == 1 and dim not in kept]
    dataset = dataset.squeeze(single, drop=True)
    alone = [name for name, coord in dataset.coords.items() if not coord.dims]
    dataset = dataset.drop_vars([n for n in alone if _NAMES.get(str(n), n) == "member"])
    if "time" in dataset.variables and "valid_time" in dataset.variables:
        # GRIB: "time" is when the forecast started that a field was valid in.
        valid = dataset["valid_time"].variable
        dataset = dataset.drop_vars("valid_time")
        if valid.dims == dataset["time"].dims:
            dataset = dataset.assign_coords(time=valid)
    there = {*dataset.variables, *dataset.dims}
    dataset = dataset.rename(
        {theirs: ours for theirs, ours in _NAMES.items() if theirs in there}
    )
    for name in ("time", "level"):  # GRIB of one instant or level
        if name in dataset.coords and not dataset[name].dims:
            dataset = dataset.expand_dims(name)
    dataset = dataset.drop_vars([name for name in dataset.coords if name not in _AXES])
    lost = [
        axis
        for axis in ("time", *_PLACE)
        if axis not in dataset.coords or dataset[axis].dims != (axis,)
    ]
    if lost:
        raise ValueError(
            f"Records of ERA5 have the axes time, latitude and longitude, but {source} "
            f"has {dict(dataset.sizes)} without {lost}. Is it of this kind? "
            "`wdno info` knows other layouts."
        )
    if dataset["time"].dtype.kind != "M":
        raise ValueError(
            f"Instants are dates, but in {source} 'time' is of type "
            f"{dataset['time'].dtype}. Give it units, such as 'hours since 1900-01-01'."
        )
    return dataset


def _by_level(
    dataset: xr.Dataset, levels: Sequence[int | float], source: str
) -> xr.Dataset:
    """Every level of a variable as a field of its own, with its pressure as a name."""
    upper = [name for name, field in dataset.data_vars.items() if "level" in field.dims]
    known = dataset["level"].values.tolist() if upper else []
    wanted = list(levels) or known
    if missing := [level for level in levels if level not in known]:
        raise ValueError(
            f"The levels {missing} are not in the fields of {source}, which have "
            f"{known}. Choose among these, in hPa."
        )
    fields = {}
    for name, field in dataset.data_vars.items():
        if name not in upper:
            fields[name] = field.variable
            continue
        title = field.attrs.get("long_name", name)
        for level in wanted:
            part = field.variable.isel(level=known.index(level))
            part.attrs = {**field.attrs, "long_name": f"{title} at {level:g} hPa"}
            fields[f"{name}_{level:g}"] = part
    coords = {a: dataset[a] for a in ("member", "time", *_PLACE) if a in dataset.dims}
    return xr.Dataset(fields, coords, dataset.attrs)


def _joined(parts: Sequence[xr.Dataset], sources: Sequence[str | Path]) -> xr.Dataset:
    """Records one after another in time, on one grid and of the same fields."""
    first = parts[0]
    for part, source in zip(parts[1:], sources[1:], strict=True):
        shared = [axis for axis in (*_PLACE, "member") if axis in first.dims]
        alike = all(axis in part.dims for axis in shared) and all(
            part[axis].equals(first[axis]) for axis in shared
        )
        if not alike or set(part.data_vars) != set(first.data_vars):
            raise ValueError(
                "Files that are joined along time have one grid and the same fields, "
                f"but {source} has {sorted(map(str, part.data_vars))} on "
                f"{dict(part.sizes)} and {sources[0]} "
                f"{sorted(map(str, first.data_vars))} on {dict(first.sizes)}. Name "
                "common `variables`, or open each by itself and use `xarray.merge`."
            )
    return xr.concat(
        parts,
        "time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
