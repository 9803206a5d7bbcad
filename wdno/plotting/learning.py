"""A picture of how a model learned, from the log of its training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wdno.plotting.style import CURVES, INK, RULE, decimal_ticks, finish, new_figure

QUANTITIES = {"loss": "loss", "validation_error": "validation error"}
CLOCKS = {"step": "updates", "seconds": "training time [s]"}
SMOOTHED = 40
"""Parts of a stage over which lines of the log are averaged."""

Lines = Sequence[Mapping[str, float | int]]


def learning_curve(stages: Mapping[str, Lines]) -> Figure:
    """Loss and validation error by updates and by seconds, one stage after another.

    Losses of two stages have units of their own: that of a mean is an error of fields
    in units of their scale, that of a denoiser one of the residual. Pale are the lines
    of the log, each a mean since the one before; the curve is their moving average. The
    smallest validation error of a stage is marked.

    Args:
        stages: lines of ``log.jsonl`` by what the stage learns, in their order, as
            `wdno.training.history.history` reads them of a run's folder.

    Raises:
        ValueError: no stage has a loss.

    Example:
        >>> save(learning_curve(history("runs/heat")), "learning_curve.png")
    """
    if not any("loss" in line for lines in stages.values() for line in lines):
        raise ValueError(
            "A learning curve is drawn from lines of a log with a `loss`, but got none "
            f"in the stages {list(stages)}. Give those of a run that has begun."
        )
    figure = new_figure(11.0, 6.4)
    grid = figure.subplots(len(QUANTITIES), len(CLOCKS), sharey="row", sharex="col")
    for row, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
        for axis, (clock, name) in zip(row, CLOCKS.items(), strict=True):
            _draw(axis, stages, clock, quantity)
            finish(axis, name, title, "")
            decimal_ticks(axis)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        labelcolor=INK,
    )
    return figure


def _draw(axis: Axes, stages: Mapping[str, Lines], clock: str, quantity: str) -> None:
    """One quantity of all stages, each from the end of the one before."""
    begin = 0.0
    for number, (name, lines) in enumerate(stages.items()):
        colour = CURVES[number % len(CURVES)]
        points = [(line[clock], line[quantity]) for line in lines if quantity in line]
        if points:
            at, values = np.array(points, float).T
            at = at + begin
            if quantity == "loss":
                axis.plot(at, values, color=colour, alpha=0.25, linewidth=1)
                axis.plot(at, _smooth(values), color=colour, linewidth=2, label=name)
            else:
                axis.plot(at, values, color=colour, marker="o", markersize=3)
                best = int(np.argmin(values))
                axis.plot(at[best], values[best], "o", color=colour, markersize=8)
                axis.annotate(
                    f"{values[best]:.3g}",
                    (at[best], values[best]),
                    xytext=(-9, -3),
                    textcoords="offset points",
                    ha="right",
                    color=INK,
                    fontsize=9,
                )
        if number:
            axis.axvline(begin, color=RULE, linewidth=1.2, linestyle=(0, (5, 2)))
        begin += max((line[clock] for line in lines), default=0)
    axis.set_yscale("log")


def _smooth(values: np.ndarray) -> np.ndarray:
    """Means over neighbours, over fewer at the ends."""
    half = len(values) // SMOOTHED
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = (places - half).clip(0), (places + half + 1).clip(max=len(values))
    return (total[high] - total[low]) / (high - low)
