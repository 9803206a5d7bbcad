"""Errors by lead time, and one forecast as maps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from _era5 import Forecaster, Problem
from matplotlib.axes import Axes

from wdno import plotting
from wdno.plotting.style import CURVES, INK, MAGNITUDE, TRUTH, finish, new_figure

FIRST, LEAD = 36, 6
"""Start of the forecast that is shown, counted from the first, and its hours."""

PLAIN = {
    "damped persistence": {"color": TRUTH, "linestyle": (0, (4, 2))},
    "persistence": {"color": TRUTH, "linestyle": (0, (1, 1.5))},
    "hourly climatology": {"color": CURVES[5], "linestyle": (0, (6, 2, 1, 2))},
}
"""Lines of forecasts that learn nothing but a number for each lead."""


def draw(
    problem: Problem,
    found: Mapping[str, xr.Dataset],
    model: tuple[str, Forecaster],
    path: Path,
) -> None:
    """Write RMSE and CRPS of all forecasts, and maps of truth, mean and spread."""
    figure = new_figure(11, 7.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    left, right = top.subplots(1, 2)
    for number, (name, part) in enumerate(found.items()):
        style = {"color": CURVES[number % len(CURVES)], "linewidth": 1.8}
        style |= PLAIN.get(name, {}) | {"label": name}
        hours = part["time"].values
        left.plot(hours, np.sqrt(part["square_of_mean"].mean("sample")), **style)
        right.plot(hours, part["crps"].mean("sample"), **style)
    finish(left, "lead time [h]", "K", "RMSE (of the mean, for ensembles)")
    finish(right, "lead time [h]", "K", "CRPS (of a single forecast: mean error)")
    for axis in (left, right):
        axis.set_ylim(0)
        axis.set_xlim(hours[0], hours[-1])
        axis.set_xticks(np.arange(0, hours[-1] + 1, 3))
    top.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    _maps(bottom, problem, model[1])
    plotting.save(figure, path)


def _maps(figure, problem: Problem, forecaster: Forecaster) -> None:
    part = problem.anomalies["test"].isel(sample=[FIRST])
    members = problem.kelvin(forecaster(part, 0), part.valid_time)
    truth = problem.kelvin(part, part.valid_time)
    members, truth = (
        f.sel(time=LEAD).isel(sample=0) - 273.15 for f in (members, truth)
    )
    panels = {"truth": truth, "mean of the members": members.mean("member")}
    spread = members.std("member", ddof=1)
    axes = figure.subplots(1, 3, sharey=True)
    low = min(float(field.min()) for field in panels.values())
    high = max(float(field.max()) for field in panels.values())
    for axis, (name, field) in zip(axes, panels.items(), strict=False):
        image = _map(axis, field, "viridis", low, high)
        axis.set_title(name, fontsize=11, color=INK, loc="left")
    bar = figure.colorbar(image, ax=axes[:2], aspect=25)
    bar.set_label("°C", color=INK)
    image = _map(axes[2], spread, MAGNITUDE, 0, float(spread.max()))
    axes[2].set_title("spread of the members", fontsize=11, color=INK, loc="left")
    figure.colorbar(image, ax=axes[2], aspect=25).set_label("K", color=INK)
    start = np.datetime_as_string(part.init_time.values[0], unit="m")
    axes[0].set_ylabel("latitude [°]", color=INK)
    figure.suptitle(
        f"2-m temperature {LEAD} h after {start.replace('T', ' ')} UTC",
        fontsize=11,
        color=INK,
    )


def _map(axis: Axes, field: xr.DataArray, colours: str, low: float, high: float):
    image = axis.pcolormesh(
        field["longitude"].values,
        field["latitude"].values,
        field.transpose("latitude", "longitude").values,
        cmap=colours,
        vmin=low,
        vmax=high,
        shading="nearest",
        rasterized=True,
    )
    axis.set_aspect(1 / np.cos(np.deg2rad(float(field["latitude"].mean()))))
    axis.set_xlabel("longitude [°]", color=INK)
    axis.locator_params(axis="x", nbins=4, integer=True)
    axis.tick_params(colors=INK, labelsize=9)
    axis.spines[:].set_visible(False)
    return image
