"""The mean of every hour of the day, and departures from it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from wdno.trajectory import named
from wdno.weather.time_axis import check_finite, step_hours

__all__ = [
    "departures",
    "from_departures",
    "hourly_climatology",
    "pooled_climatology",
]


def hourly_climatology(
    dataset: xr.Dataset, variables: Sequence[str], harmonics: int = 2
) -> xr.Dataset:
    """The mean of each hour of the day, smoothed by its first harmonics.

    c(h) = a_0 + sum_k=1^K (a_k cos(2π k h / 24) + b_k sin(2π k h / 24)) is fitted by
    least squares to the means of the hours. Of few days the means are noisy, while the
    daily cycle is smooth: K = 2 has the day and the half day. Take the days of training
    alone; `wdno.metrics.climatology_at` and `departures` select by the hour.

    Args:
        dataset: a record on (time, latitude, longitude) with dates as "time".
        variables: names of the fields.
        harmonics: K; at half the instants of a day or more nothing is smoothed.

    Returns:
        The fields on (hour, latitude, longitude), in memory, with "hour" in UTC.

    Raises:
        ValueError: the record is irregular or shorter than a day, its step does not
            divide a day, a variable is missing, or a mean is not finite.
    """
    fields = named(dataset, variables)
    hours = step_hours(dataset)
    each, rest = divmod(24, hours)
    if rest or dataset.sizes["time"] < each or harmonics < 0:
        raise ValueError(
            "A climatology by hour needs a step that divides a day, a whole day and "
            f"0 or more harmonics, but got {dataset.sizes['time']} steps of {hours} h "
            f"and {harmonics} harmonics. Take a longer record or other steps."
        )
    first = dataset["time"].values[:each]
    labels = ((first - first.astype("M8[D]")) / np.timedelta64(1, "h")).astype(int)
    order = np.argsort(labels)
    means = {}
    for name, field in fields.items():
        parts = [
            field.variable.isel(time=slice(n, None, each)).mean(
                "time", dtype=float, skipna=False
            )
            for n in order
        ]
        means[name] = xr.Variable.concat(parts, "hour")
    places = {axis: dataset[axis].variable for axis in ("latitude", "longitude")}
    raw = check_finite(xr.Dataset(means, {"hour": labels[order], **places}))
    smooth = {
        name: (
            raw[name].dims,
            _smoothed(raw[name].values, harmonics).astype(field.dtype),
            field.attrs,
        )
        for name, field in fields.items()
    }
    return xr.Dataset(smooth, raw.coords)


def pooled_climatology(
    records: Sequence[xr.Dataset], variables: Sequence[str], harmonics: int = 2
) -> xr.Dataset:
    """The climatology of several records of whole days, with days of equal weight.

    Means and harmonics are linear in a record, so that it is the mean of those of all
    records, weighted by their days. The records need not follow one another.

    Args:
        records: each as in `hourly_climatology`.
        variables: names of the fields.
        harmonics: K of `hourly_climatology`.

    Raises:
        ValueError: there is no record, or as `hourly_climatology`.
    """
    if not records:
        raise ValueError(
            "A climatology is that of one record or more, but got none. Give some days."
        )
    total = sum(record.sizes["time"] for record in records)
    weighted = [
        hourly_climatology(record, variables, harmonics)
        * (record.sizes["time"] / total)
        for record in records
    ]
    return sum(weighted[1:], start=weighted[0])


def departures(dataset: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """A record less its climatology, lazily; other fields stay as they are.

    Windows are cut from the result, so that their past is of the same kind.

    Args:
        dataset: a record on (time, latitude, longitude) with dates as "time".
        climatology: means by hour, see `hourly_climatology`.

    Raises:
        ValueError: there are no dates as "time", an hour or a variable is missing, or
            the grids differ.
    """
    if "time" not in dataset.coords or dataset["time"].dtype.kind != "M":
        raise ValueError(
            "Departures are taken of a record with dates as 'time', but got "
            f"{dict(dataset.sizes)} without them. Take them before cutting windows."
        )
    return _shifted(dataset, climatology, dataset["time"], sign=-1)


def from_departures(dataset: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """The fields of departures, lazily: the inverse of `departures`.

    Args:
        dataset: departures, a record or forecasts with the coordinate ``valid_time``.
        climatology: what they depart from.

    Raises:
        ValueError: there are no dates, an hour or a variable is missing, or the grids
            differ.
    """
    name = "valid_time" if "valid_time" in dataset.coords else "time"
    if name not in dataset.coords or dataset[name].dtype.kind != "M":
        raise ValueError(
            "Departures have dates as 'valid_time', or as 'time', but got "
            f"{sorted(map(str, dataset.coords))}. Add them by `.assign_coords`."
        )
    return _shifted(dataset, climatology, dataset[name], sign=1)


def _shifted(
    dataset: xr.Dataset, climatology: xr.Dataset, dates: xr.DataArray, sign: int
) -> xr.Dataset:
    wanted = dates.dt.hour
    known = set(climatology["hour"].values.tolist())
    if lost := sorted(set(wanted.values.ravel().tolist()) - known):
        raise ValueError(
            f"A climatology has every hour of the dates, but lacks {lost[:5]}. Take "
            "one of a record with these hours."
        )
    places = ("latitude", "longitude")
    if any(
        not climatology[d].equals(dataset[d].reset_coords(drop=True)) for d in places
    ):
        raise ValueError(
            "A climatology lies on the grid of the fields, but theirs differ: "
            f"{dict(climatology.sizes)} and {dict(dataset.sizes)}, or other places. "
            "Cut the same region out of both."
        )
    rows = np.searchsorted(climatology["hour"].values, wanted.values)
    index = xr.Variable(dates.dims, rows)
    moved = {}
    for name, field in named(dataset, list(map(str, climatology.data_vars))).items():
        means, whole = climatology[name].variable, field.variable
        if whole.chunks:  # as lazy as the field, and in the same pieces
            means = means.chunk()[{"hour": index}]
            means = means.chunk({dim: whole.chunksizes[dim] for dim in means.dims})
        else:
            means = means[{"hour": index}]
        moved[name] = (whole + sign * means).transpose(*whole.dims)
        moved[name].attrs = field.attrs
    return dataset.assign(moved)


def _smoothed(
    means: Float[np.ndarray, "hour latitude longitude"], harmonics: int
) -> Float[np.ndarray, "hour latitude longitude"]:
    waves = np.fft.rfft(means, axis=0)
    waves[harmonics + 1 :] = 0
    return np.fft.irfft(waves, len(means), axis=0)
