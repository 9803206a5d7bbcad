"""Still pictures of trajectories, errors and training."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from wdno.metrics import bootstrap_interval, exclude_initial, nrmse_over_time
from wdno.metrics.labelled import label, matched
from wdno.plotting.style import (
    CURVES,
    FORECAST,
    INK,
    MAGNITUDE,
    RULE,
    SIGNED,
    decimal_ticks,
    finish,
    new_figure,
    present,
    space_dim,
)


def space_time(
    truth: xr.DataArray, forecast: xr.DataArray, *, samples: Sequence[int] = (0, 1, 2)
) -> Figure:
    """Truth, forecast, absolute error and spread over time and space, a row a sample.

    Truth and forecast share one colour scale, error and spread another, over all rows:
    shades can be compared between panels. The error scale ends at its 99.5 % quantile,
    so that a misplaced shock does not hide all else. An ensemble is shown by its mean
    and its spread, the standard deviation over members (divided by M - 1).

    Args:
        truth: dims ``(sample, time, x)``, whatever ``x`` is called.
        forecast: the same, and possibly ``member``.
        samples: positions along ``sample``; positions beyond the data are left out.

    Raises:
        ValueError: for fields with more or fewer than one axis of space, no position
            inside the data, or arrays that do not match.

    Example:
        >>> figure = space_time(truth.u, forecast.u, samples=[0, 3])
        >>> save(figure, "forecast.png")
    """
    space = space_dim(truth)
    forecast, reference = matched(forecast, truth)
    rows = present(samples, truth)
    fields, errors = _panels(reference.isel(sample=rows), forecast.isel(sample=rows))
    columns = len(fields) + len(errors)
    figure = new_figure(3.0 * columns + 0.5, 1.7 * len(rows) + 1.3)
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    left, right = np.split(axes, [len(fields)], axis=1)
    largest = max(float(abs(field).max()) for field in fields.values()) or 1.0
    high = float(np.quantile([error.values for error in errors.values()], 0.995)) or 1.0
    name = label(truth)
    _draw(figure, left, fields, SIGNED, (-largest, largest), name)
    _draw(figure, right, errors, MAGNITUDE, (0.0, high), f"difference of {name}")
    for axis in axes[-1]:
        axis.set_xlabel(label(truth["time"]), color=INK)
    for axis, sample in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(f"sample {sample}\n{label(truth[space])}", color=INK)
    return figure


def error_over_time(
    truth: xr.DataArray, forecasts: Mapping[str, xr.DataArray]
) -> Figure:
    """Relative error at each step: mean over samples with its 95 % bootstrap band.

    The error is `wdno.metrics.nrmse_over_time`, of the mean where a forecast is an
    ensemble, without the initial frame. A dashed line is the spread of the ensemble on
    the same scale: it should lie on the solid one.

    Args:
        truth: dims ``(sample, time, *space)``.
        forecasts: the same, possibly with ``member``, by the name for the legend.
    """
    if not forecasts:
        raise ValueError("`forecasts` must name at least one forecast; got none.")
    figure = new_figure(6.8, 4.0)
    axis = figure.subplots()
    reference = exclude_initial(truth)
    time = reference["time"].values
    heights = []
    for number, (name, forecast) in enumerate(forecasts.items()):
        colour = CURVES[number % len(CURVES)]
        matched_forecast, _ = matched(exclude_initial(forecast), reference)
        error, spread = _relative_error_and_spread(matched_forecast, reference)
        mean = error.mean("sample").values
        heights.append(mean)
        axis.plot(time, mean, color=colour, linewidth=2, label=name)
        if error.sizes["sample"] > 1:
            _, low, high = bootstrap_interval(error, resamples=2000)
            axis.fill_between(
                time, low.values, high.values, color=colour, alpha=0.2, linewidth=0
            )
        if spread is not None:
            axis.plot(
                time,
                spread,
                color=colour,
                linestyle=(0, (4, 2)),
                label=f"{name}: spread",
            )
    decade = np.min(heights) > 0 and np.max(heights) > 10 * np.min(heights)
    axis.set_yscale("log" if decade else "linear")
    decimal_ticks(axis)
    if not decade:
        axis.set_ylim(bottom=0)
    axis.set_xlim(time[0], time[-1])
    axis.legend(frameon=False, labelcolor=INK)
    samples = truth.sizes["sample"]
    finish(
        axis,
        label(truth["time"]),
        "relative error (RMS over space)",
        f"Error over time, {samples} samples" + ", 95 % interval" * (samples > 1),
    )
    return figure


def training_curve(
    records: Sequence[Mapping[str, float | int]], quantity: str = "validation_error"
) -> Figure:
    """A logged quantity, such as a validation error, against seconds of training.

    Both axes are logarithmic. Records without the quantity are passed over, so that the
    lines of ``log.jsonl`` can be given as they are; the smallest value is marked.

    Args:
        records: mappings with ``seconds`` and, in some, the quantity.
        quantity: which number to show.

    Raises:
        ValueError: if no record has both at positive values.
    """
    points = [
        (record["seconds"], record[quantity])
        for record in records
        if min(record.get("seconds", 0), record.get(quantity, 0)) > 0
    ]
    if not points:
        names = sorted({name for record in records for name in record})
        raise ValueError(
            f"A training curve needs records with positive `seconds` and `{quantity}`; "
            f"got {len(records)} records of {names}. Name one of these as `quantity`."
        )
    seconds, values = np.array(sorted(points)).T
    figure = new_figure(6.8, 4.0)
    axis = figure.subplots()
    axis.loglog(seconds, values, color=CURVES[1], linewidth=2, marker="o", markersize=3)
    best = int(np.argmin(values))
    axis.plot(seconds[best], values[best], "o", color=FORECAST, markersize=7)
    name = quantity.replace("_", " ")
    title = f"Best {name}: {values[best]:.3g} after {seconds[best]:.0f} s"
    decimal_ticks(axis)
    finish(axis, "training time [s]", name, title)
    return figure


def _draw(
    figure: Figure,
    axes: np.ndarray,
    panels: Mapping[str, xr.DataArray],
    colours: Colormap | str,
    limits: tuple[float, float],
    name: str,
) -> None:
    """A block of panels (rows are samples) on one colour scale, with its colour bar."""
    for column, (title, values) in zip(axes.T, panels.items(), strict=True):
        space = space_dim(values)
        column[0].set_title(title, fontsize=11, color=INK)
        for axis, value in zip(column, values, strict=True):
            image = axis.pcolormesh(
                value["time"].values,
                value[space].values,
                value.transpose(space, "time").values,
                cmap=colours,
                vmin=limits[0],
                vmax=limits[1],
                shading="nearest",
                rasterized=True,
            )
            axis.tick_params(colors=INK, labelsize=9)
            axis.spines[:].set_color(RULE)
    clipped = max(float(values.max()) for values in panels.values()) > limits[1]
    bar = figure.colorbar(
        image,
        ax=list(axes.flat),
        location="bottom",
        extend="max" if clipped else "neither",
        aspect=45,
        fraction=0.05,
    )
    bar.set_label(name, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)


def _panels(
    truth: xr.DataArray, forecast: xr.DataArray
) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Titles and values, ``sample`` first, of the signed and the positive panels."""
    members = forecast.sizes.get("member", 0)
    mean = forecast.mean("member") if members else forecast
    title = f"Forecast (mean of {members} members)" if members > 1 else "Forecast"
    errors = {"Absolute error": abs(mean - truth)}
    if members > 1:
        errors["Spread (standard deviation)"] = forecast.std("member", ddof=1)
    fields = {"Truth": truth, title: mean}
    return (
        {name: field.transpose("sample", ...) for name, field in fields.items()},
        {name: error.transpose("sample", ...) for name, error in errors.items()},
    )


def _relative_error_and_spread(
    forecast: xr.DataArray, truth: xr.DataArray
) -> tuple[xr.DataArray, np.ndarray | None]:
    """Error of the point forecast (sample, time), and mean relative spread (time)."""
    if "member" not in forecast.dims:
        return nrmse_over_time(forecast, truth), None
    error = nrmse_over_time(forecast.mean("member"), truth)
    if forecast.sizes["member"] < 2:
        return error, None
    space = [dim for dim in truth.dims if dim not in ("sample", "time")]
    variance = forecast.var("member", ddof=1).mean(space)
    power = (truth.astype(float) ** 2).mean(space)
    return error, np.sqrt(variance / power).mean("sample").values
