"""Colours, axes and files common to all pictures."""

import io
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from wdno._files import replacing

SIGNED: Colormap = LinearSegmentedColormap.from_list(
    "signed",
    # fmt: off
    [
        "#133d90",
        "#0054ac",
        "#006dbe",
        "#0287d2",
        "#22a0e2",
        "#51b9eb",
        "#81d0f1",
        "#b6e5f6",
        "#f6f6f6",
        "#fcd7be",
        "#f8b892",
        "#f0996e",
        "#e37b50",
        "#d15e39",
        "#bb4329",
        "#a12a20",
        "#84141a",
    ],
    # fmt: on
)
"""Diverging colour map for fields whose zero matters, blue to red through near white.

The lightness L* of CIELAB falls in equal steps from the centre to either end, so that
equal differences look equal, in grey as well.
"""

MAGNITUDE = "magma_r"
"""Name of the sequential colour map for errors and spreads, in which pale is small."""

TRUTH, FORECAST, INK, RULE = "#1b1b1b", "#c4502b", "#333333", "#dddddd"
"""Colours of the truth, of the forecast, of text and of grid lines."""

CURVES = ("#c4502b", "#0b6fb8", "#2a8c55", "#8a4fa3", "#b8860b", "#5b6770")
"""Colours of curves to compare."""


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the suffix (png, pdf, svg, …), whole or not.

    Raises:
        ValueError: for a suffix that is not a picture format.
        FileNotFoundError: if the folder does not exist.
    """
    path = Path(path)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        raise ValueError(
            f"The suffix of a picture must be one of {sorted(formats)}; got "
            f"'{path.name}'. End it in .png or .pdf."
        )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def space_dim(truth: xr.DataArray) -> str:
    """The single axis of space; raises `ValueError` if there are others."""
    space = [str(dim) for dim in truth.dims if dim not in ("sample", "time", "member")]
    if len(space) != 1:
        raise ValueError(
            f"A picture over time and space needs one axis of space; got {space}. "
            "Select a line first, such as `truth.isel(y=32)`."
        )
    return space[0]


def present(samples: Sequence[int], truth: xr.DataArray) -> list[int]:
    """Those positions that the data have; raises `ValueError` if there is none."""
    found = [sample for sample in samples if 0 <= sample < truth.sizes["sample"]]
    if not found:
        raise ValueError(
            f"`samples` must name positions from 0 to {truth.sizes['sample'] - 1}; got "
            f"{tuple(samples)}. Choose some of them."
        )
    return found


class _Picture(Figure):
    """A figure that notebooks show, whether or not pyplot has been imported."""

    def _repr_png_(self) -> bytes:
        """What IPython asks of an object that it displays."""
        with io.BytesIO() as file:
            self.savefig(file, format="png", dpi=110)
            return file.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of the house style, in inches."""
    return _Picture(figsize=(width, height), layout="constrained", facecolor="white")


def finish(axis: Axes, horizontal: str, vertical: str, title: str) -> None:
    """Labels, light grid and no box."""
    axis.set_xlabel(horizontal, color=INK)
    axis.set_ylabel(vertical, color=INK)
    axis.set_title(title, fontsize=12, color=INK, loc="left")
    axis.tick_params(which="both", colors=INK, labelsize=9)
    axis.grid(color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(INK)


class DecimalLogFormatter(LogFormatter):
    """Plain decimals such as 0.02 where a logarithmic axis has room for a label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick, empty where there is no room."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def decimal_ticks(axis: Axes) -> None:
    """Plain decimals on the logarithmic sides of these axes."""
    for side in (axis.xaxis, axis.yaxis):
        if side.get_scale() == "log":
            side.set_major_formatter(DecimalLogFormatter())
            side.set_minor_formatter(DecimalLogFormatter(minor_thresholds=(2, 0.6)))
