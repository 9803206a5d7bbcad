"""Between labelled data and a model: coordinates of a record, attributes, batches."""

from collections.abc import Callable

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray
from tqdm import tqdm

from wdno._typing import Fields
from wdno.operator import WDNO
from wdno.samplers import RowKeys, row_keys

Labelled = xr.DataArray | xr.Dataset


def in_batches(
    run: Callable[[Fields, RowKeys], Fields],
    fields: Fields,
    batch_size: int,
    key: PRNGKeyArray,
) -> dict[str, np.ndarray]:
    """Apply `run` to a few rows at a time and join the results in host memory.

    Args:
        run: ``run(fields, keys) -> fields``, rows independent of each other.
        fields: what is known, batch first.
        batch_size: rows computed at once; bounds the memory and changes nothing else.
        key: one key; row n gets ``fold_in(key, n)``.

    Raises:
        ValueError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(
            "Trajectories computed at once are counted from 1, but got "
            f"batch_size={batch_size}. Ask for more."
        )
    rows = len(next(iter(fields.values())))
    keys, parts = row_keys(key, rows), []
    for start in tqdm(range(0, rows, batch_size), unit="batch", disable=None):
        few = slice(start, start + batch_size)
        part = run({name: f[few] for name, f in fields.items()}, keys[few])
        parts.append(jax.tree.map(np.asarray, part))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def record_coords(
    model: WDNO, over_time: Labelled, frames: int | None
) -> dict[str, np.ndarray]:
    """Expected coordinates of a record that begins with the first row of `over_time`.

    Args:
        model: its domain gives the spacings, and the first instant of what has none.
        over_time: the controls, which a model with controls needs; or anything else.
        frames: of the record. By default every row of the controls but the last acts;
            without controls there is one window.
    """
    space = model.targets.grid[1:]
    if model.control:
        frames = _acting(over_time, frames)
    elif frames is None:
        frames = model.window
    if frames < 1:
        raise ValueError(
            f"A record has at least one frame, but {frames} were asked for. Ask for "
            "more."
        )
    coords = model.domain.coords(model.targets.dims, (frames, *space))
    if "time" in over_time.coords:
        elapsed = coords["time"] - coords["time"][0]
        coords["time"] = elapsed + float(over_time["time"][0])
    return coords


def _acting(control: Labelled, frames: int | None) -> int:
    """Rows of a control that act: all but the last, unless `frames` says otherwise."""
    if "time" not in control.dims:
        raise ValueError(
            "A control is given over time, but has the dimensions "
            f"{list(control.dims)}. Name its time axis 'time'."
        )
    rows = control.sizes["time"]
    frames = rows - 1 if frames is None else frames
    if not 1 <= frames <= rows:
        raise ValueError(
            f"A record has at least one frame and at most one per row of the control, "
            f"{rows} here, but {frames} were asked for. Give a longer control."
        )
    return frames


def attributes(labelled: Labelled, names: tuple[str, ...]) -> dict[str, dict]:
    """Attributes (units, long_name) of the variables `names` and of all coordinates."""
    variables = {names[0]: labelled} if isinstance(labelled, xr.DataArray) else labelled
    found = {n: dict(variables[n].attrs) for n in names}
    found |= {str(d): dict(c.attrs) for d, c in labelled.coords.items()}
    return found
