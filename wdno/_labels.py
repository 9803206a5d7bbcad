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
    model: WDNO, control: Labelled, frames: int | None
) -> dict[str, np.ndarray]:
    """Expected coordinates of a record that begins with the first row of `control`.

    Without controls a record begins at the model's own first instant and has one window
    unless `frames` says otherwise.
    """
    space = model.targets.grid[1:]
    if not (model.control or model.coarse):
        count = model.window if frames is None else frames
        if count < 1:
            raise ValueError(
                f"A record has at least one frame, but {frames} were asked for. Ask "
                "for more."
            )
        return model.domain.coords(model.targets.dims, (count, *space))
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
    coords = model.domain.coords(model.targets.dims, (frames, *space))
    if "time" in control.coords:
        elapsed = coords["time"] - coords["time"][0]
        coords["time"] = elapsed + float(control["time"][0])
    return coords


def attributes(labelled: Labelled, names: tuple[str, ...]) -> dict[str, dict]:
    """Attributes (units, long_name) of the variables `names` and of all coordinates."""
    variables = {names[0]: labelled} if isinstance(labelled, xr.DataArray) else labelled
    found = {n: dict(variables[n].attrs) for n in names}
    found |= {str(d): dict(c.attrs) for d, c in labelled.coords.items()}
    return found
