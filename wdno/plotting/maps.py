"""Fields on a plane: snapshots and films, with obstacles, exits and arrows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver
from PIL import Image

from wdno.plotting.gif import check_film, clock_text, instants, write_gif
from wdno.plotting.style import FORECAST, INK, MAGNITUDE, new_figure

SOLID = ListedColormap(["#5b6770"])
GOAL = "#2a8c55"


class Landmark(NamedTuple):
    """A rectangle to outline, in the units of the axes."""

    y: float
    x: float
    height: float
    width: float
    colour: str = INK


def film_maps(
    panels: Mapping[str, xr.DataArray],
    path: str | Path,
    *,
    arrows: Mapping[str, tuple[xr.DataArray, xr.DataArray]] | None = None,
    landmarks: Sequence[Landmark] = (),
    sample: int = 0,
    every: int = 4,
    frames_per_second: float = 6.0,
    frames: int = 65,
) -> Path:
    """Write fields on a plane over time as a GIF, a panel each.

    A coordinate ``obstacle`` of a field, 1 where it is solid, is drawn over it.

    Args:
        panels: dims ``(sample, time, y, x)``, whatever the last two are called, by
            title; small is good to see, as densities are: shown from 0 to the largest.
        path: file to write, ending in ``.gif``.
        arrows: components along x and y of a vector field by title of the panel; drawn
            where they are not zero.
        landmarks: rectangles to outline, such as exits.
        sample: position along ``sample``.
        every: points from arrow to arrow.
        frames_per_second: speed; the last frame stays for a second.
        frames: at most this many, evenly spaced over the record.

    Raises:
        ValueError: for another suffix, a sample outside the data, fewer than two frames
            or no panel.

    Example:
        >>> film_maps({"achieved": run.density}, "smoke.gif",
        ...           arrows={"achieved": (run.cx, run.cy)})
    """
    path, arrows = Path(path), arrows or {}
    first = _first(panels)
    check_film(path, first, sample, frames_per_second, frames)
    part = {"sample": sample, "time": instants(first, frames)}
    shown = {name: panel.isel(part) for name, panel in panels.items()}
    vectors = {
        name: tuple(component.isel(part) for component in pair)
        for name, pair in arrows.items()
    }
    figure = new_figure(3.3 * len(panels), 3.7)
    canvas = FigureCanvasAgg(figure)
    drawn = _draw(figure, shown, vectors, landmarks, every)
    title = figure.suptitle(" ", fontsize=11, color=INK)
    images = []
    for index, time in enumerate(first["time"].values[part["time"]]):
        for name, (image, quiver) in drawn.items():
            image.set_data(shown[name].values[index])
            if quiver is not None:
                along = [v.values[index, ::every, ::every] for v in vectors[name]]
                still = np.logical_and(*(part == 0 for part in along))
                quiver.set_UVC(*(np.ma.masked_where(still, part) for part in along))
        title.set_text(clock_text(time, first))
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        images.append(Image.fromarray(pixels.copy()))
    return write_gif(images, path, frames_per_second)


def maps(
    panels: Mapping[str, xr.DataArray],
    *,
    times: Sequence[int],
    landmarks: Sequence[Landmark] = (),
    sample: int = 0,
) -> Figure:
    """Snapshots of fields on a plane: a row each, an instant a column.

    Args:
        panels: as in `film_maps`, by name of the row.
        times: positions along ``time``.
        landmarks: rectangles to outline.
        sample: position along ``sample``.

    Raises:
        ValueError: there is no panel, or no instant.
    """
    first = _first(panels)
    if not len(times):
        raise ValueError(
            f"Snapshots are taken at instants, 0 to {first.sizes['time'] - 1}, but "
            "`times` is empty. Choose some."
        )
    figure = new_figure(2.4 * len(times), 2.75 * len(panels))
    grid = figure.subplots(len(panels), len(times), squeeze=False)
    top = max(float(panel.isel(sample=sample).max()) for panel in panels.values())
    for row, (name, panel) in zip(grid, panels.items(), strict=True):
        for axis, time in zip(row, times, strict=True):
            instant = panel.isel(sample=sample, time=time)
            _panel(axis, instant, top, landmarks)
            axis.set_title(clock_text(instant["time"].values[()], panel), fontsize=9)
        row[0].set_ylabel(name, color=INK)
    return figure


def _first(panels: Mapping[str, xr.DataArray]) -> xr.DataArray:
    if not panels:
        raise ValueError("A picture shows one panel or more, but got none. Add some.")
    return next(iter(panels.values()))


def _draw(
    figure: Figure,
    shown: Mapping[str, xr.DataArray],
    vectors: Mapping[str, tuple[xr.DataArray, ...]],
    landmarks: Sequence[Landmark],
    every: int,
) -> dict[str, tuple[AxesImage, Quiver | None]]:
    """All that does not move, and what will, by panel."""
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    top = max(float(panel.max()) for panel in shown.values())
    speeds = [abs(component) for pair in vectors.values() for component in pair]
    fastest = max((float(speed.quantile(0.99)) for speed in speeds), default=1.0) or 1.0
    drawn = {}
    for axis, (name, panel) in zip(axes, shown.items(), strict=True):
        image, quiver = _panel(axis, panel.isel(time=0), top, landmarks), None
        axis.set_title(name, fontsize=11, color=INK, loc="left")
        if name in vectors:
            y, x = (panel[dim].values[::every] for dim in panel.dims[-2:])
            calm = np.zeros((len(y), len(x)))
            length = x[1] - x[0] if len(x) > 1 else 1.0
            quiver = axis.quiver(
                x,
                y,
                calm,
                calm,
                color=FORECAST,
                angles="xy",
                scale_units="xy",
                scale=fastest / length,
                width=0.005,
            )
        drawn[name] = image, quiver
    return drawn


def _panel(
    axis: Axes, plane: xr.DataArray, top: float, landmarks: Sequence[Landmark]
) -> AxesImage:
    """One field with its obstacles and landmarks, upward."""
    up, right = plane.dims[-2:]
    y, x = plane[up].values, plane[right].values
    half_y, half_x = (y[1] - y[0]) / 2, (x[1] - x[0]) / 2
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    placed = {"origin": "lower", "extent": extent, "interpolation": "nearest"}
    image = axis.imshow(plane.values, cmap=MAGNITUDE, vmin=0, vmax=top or 1, **placed)
    if "obstacle" in plane.coords:
        solid = np.ma.masked_less(plane["obstacle"].values, 0.5)
        axis.imshow(solid, cmap=SOLID, **placed)
    for mark in landmarks:
        outline = Rectangle(
            (mark.x, mark.y), mark.width, mark.height, fill=False, edgecolor=mark.colour
        )
        axis.add_patch(outline)
    axis.set_xticks([])
    axis.set_yticks([])
    return image
