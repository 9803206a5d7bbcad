"""Fields on a line as a film, written as a GIF."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Polygon
from PIL import Image

from wdno._files import replacing
from wdno.metrics.labelled import label, matched, units
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
    if path.suffix.lower() != ".gif":
        raise ValueError(f"A film must end in .gif; got '{path.name}'. Rename it.")
    if not 0 <= sample < truth.sizes["sample"]:
        raise ValueError(
            f"`sample` must be a position from 0 to {truth.sizes['sample'] - 1}; got "
            f"{sample}. Choose one of them."
        )
    if not 0 < len(curves) <= len(CURVES):
        raise ValueError(
            f"A film shows one to {len(CURVES)} curves, but got {len(curves)}. Choose "
            "some of them."
        )
    if frames < 2 or frames_per_second <= 0:
        raise ValueError(
            "A film needs at least 2 frames at a positive speed; got "
            f"{frames} frames at {frames_per_second} a second. Raise them."
        )
    space = space_dim(truth)
    chosen = np.unique(
        np.linspace(0, truth.sizes["time"] - 1, frames).round().astype(int)
    )
    part = {"sample": sample, "time": chosen}
    shown = {key: matched(u, truth)[0].isel(part) for key, u in curves.items()}
    images = list(_frames(shown, name, truth.isel(part), space))
    palette = _palette(images[len(images) // 2])
    first, *rest = (
        image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
    )
    still = round(1000 / frames_per_second)
    with replacing(path) as temporary:
        first.save(
            temporary,
            save_all=True,
            append_images=rest,
            duration=[still] * len(rest) + [max(still, 1000)],
            loop=0,
        )
    return path


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
    unit = units(truth["time"]).removeprefix("1")
    for index, time in enumerate(truth["time"].values):
        for polygon, edges in bands:
            polygon.set_xy(edges[index])
        for line, u in lines:
            line.set_data(x, u[index])
        clock.set_text(f"t = {_clock(time)} {unit}".rstrip())
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


def _clock(time: np.generic) -> str:
    """A time for the title: two decimals, or a date and hour."""
    if isinstance(time, np.datetime64):
        return np.datetime_as_string(time, unit="m").replace("T", " ")
    return f"{float(time):.2f}"


def _palette(image: Image.Image) -> Image.Image:
    """64 colours for all frames, so that colours do not flicker and the file is small.

    Entries next to white become white: quantisation tints the background.
    """
    palette = image.quantize(64, dither=Image.Dither.NONE)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(axis=1) > 247] = 255
    palette.putpalette(colours.ravel().tolist())
    return palette
