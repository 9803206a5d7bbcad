"""What all films share: checks, instants, the clock, the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from wdno._files import replacing
from wdno.metrics.labelled import units


def check_film(
    path: Path,
    shown: xr.DataArray,
    sample: int,
    frames_per_second: float,
    frames: int,
) -> None:
    """Refuse what no film can be made of.

    Raises:
        ValueError: for another suffix than ``.gif``, a sample outside the data, less
            than two frames or a speed that is not positive.
    """
    if path.suffix.lower() != ".gif":
        raise ValueError(f"A film must end in .gif; got '{path.name}'. Rename it.")
    if not 0 <= sample < shown.sizes["sample"]:
        raise ValueError(
            f"`sample` must be a position from 0 to {shown.sizes['sample'] - 1}; got "
            f"{sample}. Choose one of them."
        )
    if frames < 2 or frames_per_second <= 0:
        raise ValueError(
            "A film needs at least 2 frames at a positive speed; got "
            f"{frames} frames at {frames_per_second} a second. Raise them."
        )


def instants(shown: xr.DataArray, frames: int) -> np.ndarray:
    """Positions along time of at most so many frames, evenly spaced."""
    places = np.linspace(0, shown.sizes["time"] - 1, frames)
    return np.unique(places.round().astype(int))


def clock_text(time: np.generic, shown: xr.DataArray) -> str:
    """An instant for the title: two decimals, or a date and hour."""
    if isinstance(time, np.datetime64):
        return "t = " + np.datetime_as_string(time, unit="m").replace("T", " ")
    unit = units(shown["time"]).removeprefix("1")
    return f"t = {float(time):.2f} {unit}".rstrip()


def write_gif(
    images: Sequence[Image.Image], path: Path, frames_per_second: float
) -> Path:
    """Write a film, whole or not, whose last frame stays for a second."""
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


def _palette(image: Image.Image) -> Image.Image:
    """64 colours for all frames, so that colours do not flicker and the file is small.

    Entries next to white become white: quantisation tints the background.
    """
    palette = image.quantize(64, dither=Image.Dither.NONE)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(axis=1) > 247] = 255
    palette.putpalette(colours.ravel().tolist())
    return palette
