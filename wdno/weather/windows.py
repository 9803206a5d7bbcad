"""Forecasts as trajectories: the past, what comes, and what is known of it ahead."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from wdno.trajectory import named
from wdno.weather.time_axis import step_hours

__all__ = ["forecast_windows"]

_AXES = ("time", "latitude", "longitude")


def forecast_windows(
    dataset: xr.Dataset,
    variables: Sequence[str],
    history: int,
    lead: int,
    stride: int = 1,
) -> xr.Dataset:
    """Cut a record into forecasts, each with the past that it may know.

    With the step h of the record, window i starts at s_i = t_0 + history + i stride h:

    - states x(s_i + τ) for τ = 0, h, …, lead, where τ = 0 is the initial state;
    - coordinates ``x_6h_before`` = x(s_i - 6 hours), for 1, 2, … steps to `history`
      before: what never changes in a trajectory (`wdno.trajectory.static_rows`), and so
      does what has no time, such as orography;
    - forcings that the calendar tells ahead, as controls: cosine and sine of the local
      solar time 2π (UTC hour / 24 + longitude / 360), and of the season 2π (share of
      the year that has passed). An interval has the value of its first instant, so that
      the last instant, where none begins, has zeros.

    Values are read when they are asked for. Training asks for them at every step: load
    them first, by `check_finite`.

    Args:
        dataset: a record on (time, latitude, longitude), or of an ensemble on (member,
            time, …), with dates as "time".
        variables: names of the states.
        history: hours before the start that are given, 0 for the start alone.
        lead: hours of the forecast.
        stride: steps from one start to the next.

    Returns:
        States and ``local_time_cos``, ``local_time_sin``, ``season_cos``,
        ``season_sin`` on (sample, time, latitude, longitude), states of an ensemble for
        each member: every one is a start of its own. "time" is in hours from the start,
        and the coordinates are ``init_time`` (sample) and ``valid_time`` (sample, time)
        beside those of the past.

    Raises:
        ValueError: the record is irregular (`check_times`) or shorter than a window, a
            variable is missing or has other axes, or hours are no multiples of the
            step.

    Example:
        >>> time = np.arange("2019-03-01", "2019-03-03", dtype="M8[h]")
        >>> place = {"latitude": [50.0, 51.0], "longitude": [0.0, 1.0, 2.0]}
        >>> t2m = xr.DataArray(np.zeros((48, 2, 3)), {"time": time, **place})
        >>> cut = forecast_windows(t2m.to_dataset(name="t2m"), ["t2m"], 12, 20)
        >>> cut.t2m.shape, cut.t2m_12h_before.shape
        ((16, 21, 2, 3), (16, 2, 3))
    """
    fields = named(dataset, variables)
    _check_axes(fields)
    hours = step_hours(dataset)
    past, ahead = (_steps(span, hours) for span in (history, lead))
    instants = dataset.sizes["time"]
    starts = np.arange(past, instants - ahead, stride if stride > 0 else instants)
    if ahead < 1 or stride < 1 or not starts.size:
        raise ValueError(
            "Windows have a lead and a stride of one step or more and lie within the "
            f"record, but got history {history} h, lead {lead} h and stride {stride} "
            f"in {instants} steps of {hours} h. Take a longer record or shorter "
            "windows."
        )

    def shifted(field: xr.Variable, steps: int) -> xr.Variable:
        """The field that many steps after every start."""
        cut = slice(starts[0] + steps, starts[-1] + steps + 1, stride)
        return xr.Variable(("sample", *field.dims[1:]), field[cut].data, field.attrs)

    states, before = {}, {}
    for name, array in fields.items():
        field = array.transpose("time", ..., *_AXES[1:]).variable
        frames = [shifted(field, step) for step in range(ahead + 1)]
        joined = xr.Variable.concat(frames, "time").transpose("sample", ...)
        joined.attrs = {**field.attrs, "cell_methods": "time: point"}
        states[name] = joined
        for step in range(1, past + 1):
            label = f"{name}_{step * hours}h_before"
            before[label] = shifted(field, -step)
    times = dataset["time"].values
    valid = xr.Variable(
        ("sample", "time"), times[starts[:, None] + np.arange(ahead + 1)]
    )
    given = _calendar(valid, dataset, states[variables[0]])
    note = {"units": "h", "long_name": "time since the start"}
    coords = {
        "time": ("time", np.arange(ahead + 1) * float(hours), note),
        "init_time": ("sample", times[starts]),
        "valid_time": valid,
        **{axis: dataset[axis].variable for axis in ("member",) if axis in dataset},
        **{axis: dataset[axis].variable for axis in _AXES[1:]},
        **before,
        **{
            name: field.transpose(*_AXES[1:]).variable
            for name, field in dataset.data_vars.items()
            if set(field.dims) == set(_AXES[1:])
        },
    }
    return xr.Dataset(states | given, coords, dataset.attrs)


def _check_axes(fields: Mapping[str, xr.DataArray]) -> None:
    for name, field in fields.items():
        if set(field.dims) - {"member"} != set(_AXES):
            raise ValueError(
                f"States of a record are on {_AXES}, and 'member' of an ensemble, but "
                f"{name} has {field.dims}. Select a level, say, or leave it out."
            )


def _steps(span: int, hours: int) -> int:
    if span % hours or span < 0:
        raise ValueError(
            f"History and lead are whole steps of the record, {hours} h, but got "
            f"{span} h. Take a multiple of {hours}."
        )
    return span // hours


def _calendar(
    valid: xr.Variable, dataset: xr.Dataset, like: xr.Variable
) -> dict[str, xr.Variable]:
    """Forcings of the calendar, zero at the last instant, on the axes of a state."""
    dates = valid.values
    day, year = (dates.astype(f"M8[{unit}]") for unit in "DY")
    length = (year + 1).astype("M8[D]") - year.astype("M8[D]")
    turns = {
        "local_time": (dates - day) / np.timedelta64(1, "D"),
        "season": (dates - year) / length,
    }
    acting = xr.Variable("time", np.arange(dates.shape[1]) < dates.shape[1] - 1)
    found = {}
    for name, share in turns.items():
        angle = xr.Variable(valid.dims, 2 * np.pi * share)
        if like.chunks:  # as lazy as the states, and in the same pieces
            angle = angle.chunk({"sample": like.chunksizes["sample"]})
        if name == "local_time":
            angle = angle + np.deg2rad(dataset["longitude"].variable.astype(float))
        for wave in (np.cos, np.sin):
            values = xr.apply_ufunc(wave, angle, dask="allowed") * acting
            axes = {dim: n for dim, n in like.sizes.items() if dim != "member"}
            field = values.astype(like.dtype).set_dims(axes)
            label = f"{name}_{wave.__name__}"
            field.attrs = {"units": "1", "cell_methods": "time: mean"}
            found[label] = field
    return found
