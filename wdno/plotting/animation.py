"""Fields on a line as a film, written as a GIF."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Polygon
from PIL import Image

from wdno.metrics.labelled import label, matched
from wdno.plotting.gif import check_film, clock_text, instants, write_gif
from wdno.plotting.style import CURVES, INK, TRUTH, finish, new_figure, space_dim

BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.32))
"""Lower and upper quantile of each band over members, and its opacity."""


def animate(
    truth: xr.DataArray,
    forecast: xr.DataArray,
    path: str | Path,
    *,
    sample: int = 0,
    frames_per_second: float = 12.5,
    frames: int = 121,
) -> Path:
    """Write u(x) as a GIF: truth, ensemble mean, and bands of 50 % and 90 % of members.

    Args:
        truth: dims ``(sample, time, x)``, whatever ``x`` is called.
        forecast: the same, and possibly ``member``.
        path: file to write, ending in ``.gif``.
        sample: position along ``sample``.
        frames_per_second: speed; the last frame stays for a second.
        frames: at most this many, evenly spaced over the record.

    Raises:
        ValueError: for another suffix, more than one axis of space, a sample outside
            the data, or arrays that do not match.
    """
    name = "ensemble mean" if forecast.sizes.get("member", 1) > 1 else "forecast"
    return film(
        {name: forecast},
        path,
        reference=("truth", truth),
        sample=sample,
        frames_per_second=frames_per_second,
        frames=frames,
    )


def film(
    curves: Mapping[str, xr.DataArray],
    path: str | Path,
    *,
    reference: tuple[str, xr.DataArray],
    sample: int = 0,
    frames_per_second: float = 12.5,
    frames: int = 121,
) -> Path:
    """Write several u(x) over time as a GIF, beside a dashed reference.

    Args:
        curves: dims ``(sample, time, x)``, by the name for the legend; of one with
            ``member`` the mean is shown, with bands of 50 % and 90 % of members.
        path: file to write, ending in ``.gif``.
        reference: name and values of the reference, such as a truth or a goal.
        sample: position along ``sample``.
        frames_per_second: speed; the last frame stays for a second.
        frames: at most this many, evenly spaced over the record.

    Raises:
        ValueError: as `animate`, and for more curves than there are colours, six.

    Example:
        >>> film({"free": free.u, "achieved": achieved.u}, "control.gif",
        ...      reference=("goal", goal.broadcast_like(free.u)))
    """
    path, (name, truth) = Path(path), reference
    check_film(path, truth, sample, frames_per_second, frames)
    if not 0 < len(curves) <= len(CURVES):
        raise ValueError(
            f"A film shows one to {len(CURVES)} curves, but got {len(curves)}. Choose "
            "some of them."
        )
    space = space_dim(truth)
    part = {"sample": sample, "time": instants(truth, frames)}
    shown = {key: matched(u, truth)[0].isel(part) for key, u in curves.items()}
    images = list(_frames(shown, name, truth.isel(part), space))
    return write_gif(images, path, frames_per_second)


def _frames(
    curves: Mapping[str, xr.DataArray], name: str, truth: xr.DataArray, space: str
) -> Iterator[Image.Image]:
    """Draw the axes once, then only what moves on top of them."""
    x = truth[space].values
    order = ("member", "time", space)
    members = {
        key: (u if "member" in u.dims else u.expand_dims("member")).transpose(*order)
        for key, u in {**curves, name: truth}.items()
    }
    figure = new_figure(6.4, 4.0)
    canvas = FigureCanvasAgg(figure)
    axis = figure.subplots()
    finish(axis, label(truth[space]), label(truth), " ")
    axis.set_xlim(x[0], x[-1])
    low = min(float(u.min()) for u in members.values())
    high = max(float(u.max()) for u in members.values())
    margin = 0.06 * (high - low) or 1.0
    axis.set_ylim(low - margin, high + margin)
    bands, lines = [], []
    styles = [{"color": colour, "linewidth": 2} for colour in CURVES[: len(curves)]]
    styles.append({"color": TRUTH, "linestyle": (0, (5, 2))})
    for (key, u), style in zip(members.items(), styles, strict=True):
        bands += _bands(axis, x, u.values, style["color"])
        (line,) = axis.plot([], [], label=key, **style)
        lines.append((line, u.values.mean(axis=0)))
    clock = axis.text(0, 1.03, "", transform=axis.transAxes, fontsize=12, color=INK)
    figure.legend(
        loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=9
    )
    moving = [*(polygon for polygon, _ in bands), *(line for line, _ in lines), clock]
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for index, time in enumerate(truth["time"].values):
        for polygon, edges in bands:
            polygon.set_xy(edges[index])
        for line, u in lines:
            line.set_data(x, u[index])
        clock.set_text(clock_text(time, truth))
        canvas.restore_region(background)
        for artist in moving:
            axis.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _bands(
    axis: Axes, x: np.ndarray, members: np.ndarray, colour: str
) -> list[tuple[Polygon, np.ndarray]]:
    """Polygons of the bands and their outlines (time, point, 2)."""
    if len(members) < 2:
        return []
    bands = []
    for lower, upper, opacity in BANDS:
        below, above = np.quantile(members, (lower, upper), axis=0)
        height = np.concatenate([above, below[:, ::-1]], axis=1)
        across = np.broadcast_to(np.append(x, x[::-1]), height.shape)
        (polygon,) = axis.fill(x, x, color=colour, alpha=opacity, linewidth=0)
        polygon.set_label(f"{100 * (upper - lower):.0f} % of members")
        bands.append((polygon, np.stack([across, height], axis=-1)))
    return bands
