"""Pictures of fields at one instant."""

from collections.abc import Mapping, Sequence

import xarray as xr
from matplotlib.figure import Figure

from wdno.metrics.labelled import label
from wdno.plotting.style import (
    CURVES,
    INK,
    TRUTH,
    finish,
    new_figure,
    present,
    space_dim,
)


def profiles(
    curves: Mapping[str, xr.DataArray],
    *,
    reference: tuple[str, xr.DataArray],
    samples: Sequence[int] = (0, 1, 2),
) -> Figure:
    """Fields over space at one instant, a panel a sample, beside a dashed reference.

    Grids may differ, as those of a coarse field and its refinement do.

    Args:
        curves: dims ``(sample, x)``, whatever ``x`` is called, by name for the legend.
        reference: name and values of the reference, such as a truth or a goal.
        samples: positions along ``sample``; positions beyond the data are left out.

    Raises:
        ValueError: more than one axis of space, or no position inside the data.

    Example:
        >>> profiles({"achieved": u.isel(time=-1)}, reference=("goal", goal))
    """
    name, truth = reference
    space = space_dim(truth)
    columns = present(samples, truth)
    figure = new_figure(4.2 * len(columns), 3.4)
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axis, sample in zip(axes, columns, strict=True):
        for (key, u), colour in zip(curves.items(), CURVES, strict=False):
            row = u.isel(sample=sample)
            axis.plot(row[space], row, color=colour, linewidth=1.8, label=key)
        row = truth.isel(sample=sample)
        axis.plot(row[space], row, color=TRUTH, linestyle=(0, (5, 2)), label=name)
        finish(axis, label(truth[space]), label(truth), f"sample {sample}")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=1 + len(curves),
        frameon=False,
        labelcolor=INK,
    )
    return figure
