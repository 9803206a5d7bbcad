"""A picture of what `wdno.diagnose` found."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wdno.metrics.labelled import typeset
from wdno.plotting.style import (
    CURVES,
    FORECAST,
    INK,
    TRUTH,
    decimal_ticks,
    finish,
    new_figure,
)


def diagnosis(found: xr.Dataset, *, limit: float = 1.05) -> Figure:
    """Errors by noise level, and spread, ranks and energy of the ensemble.

    A dashed line is what a perfect model has: ratios of 1 and equal ranks. Beside the
    ratio of two calls it is the limit of stable transitions.

    Args:
        found: as `wdno.diagnose` returns it.
        limit: largest ratio of a stable transition.

    Example:
        >>> figure = plotting.diagnosis(wdno.diagnose(model, held_out, key=key))
        >>> plotting.save(figure, "diagnosis.png")
    """
    # Names of subbands stand side by side in each of three columns.
    figure = new_figure(max(15.0, 0.45 * found.sizes["channel"]), 8.0)
    (errors, ratios, ranks), (spreads, energies, times) = figure.subplots(2, 3)
    level = "noise level σ"
    _curves(errors, errors.loglog, found["denoising_error"], "sigma", found)
    finish(errors, level, "mean squared error", "Error of one denoising")
    ratios.semilogx(
        found["sigma"], found["transition_ratio"], color=CURVES[1], marker="o", ms=4
    )
    finish(ratios, f"{level}, from the next higher", "ratio", "Own estimate over truth")
    _ideal(ratios, limit)
    _curves(ranks, ranks.plot, found["rank_histogram"], "rank", found)
    finish(ranks, "rank of the truth", "share", "Rank histogram")
    _ideal(ranks, 1 / found.sizes["rank"])
    ranks.set_ylim(bottom=0)
    ranks.xaxis.get_major_locator().set_params(integer=True)
    calls = found.attrs["calls"]
    title = f"Spread over skill, {calls} call{'s' if calls != 1 else ''}"
    finish(spreads, "", "spread over skill", title)
    _by_channel(spreads, found["spread_skill_by_channel"])
    spreads.set_ylim(bottom=0)
    finish(energies, "", "members over truth", "Energy of subbands")
    _by_channel(energies, found["energy_ratio"])
    energies.set_yscale("log")
    _curves(times, times.plot, found["spread_skill_by_time"], "time", found)
    finish(times, "time in the window", "spread over skill", "Spread over skill")
    _ideal(times, 1.0)
    times.set_ylim(bottom=0)
    for axis in (errors, ratios, energies):
        decimal_ticks(axis)
    errors.legend(frameon=False, labelcolor=INK, fontsize=8)
    return figure


def _curves(
    axis: Axes,
    draw: Callable,
    values: xr.DataArray,
    dim: str,
    found: xr.Dataset,
) -> None:
    """A curve for each field along a dimension."""
    for number, name in enumerate(found["field"].values):
        unit = typeset(str(found["units"].sel(field=name).item()))
        draw(
            values[dim],
            values.sel(field=name),
            color=CURVES[number % len(CURVES)],
            linewidth=2,
            label=str(name) if unit == "1" else f"{name} [({unit})²]",
        )


def _by_channel(axis: Axes, ratios: xr.DataArray) -> None:
    """A dot for each subband."""
    places = np.arange(ratios.sizes["channel"])
    axis.plot(places, ratios, "o", color=FORECAST, markersize=5)
    _ideal(axis, 1.0)
    axis.set_xticks(places, ratios["channel"].values, rotation=90)
    axis.tick_params(axis="x", labelsize=9 if len(places) < 20 else 7)


def _ideal(axis: Axes, value: float) -> None:
    axis.axhline(value, color=TRUTH, linestyle=(0, (5, 2)), linewidth=1.2)
