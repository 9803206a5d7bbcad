"""Between labelled data and a model: coordinates, attributes, batches, members."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, Key, PRNGKeyArray, PyTree
from tqdm import tqdm

from wdno._arguments import check_key, is_whole
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.operator.model import WDNO, check_model
from wdno.trajectory import Labelled, begun_with, check_labelled

_NONE: Mapping[str, object] = {}


def check_call(
    model: object,
    key: object,
    *,
    optional: Mapping[str, object] = _NONE,
    **given: object,
) -> None:
    """Refuse arguments of a verb that are of another kind, before any work.

    Args:
        model: a `WDNO`.
        key: one typed key.
        optional: labelled data by the name of the argument, None where left out.
        given: labelled data by the name of the argument.

    Raises:
        ValueError: one of them is not.
    """
    check_model(model)
    there = {name: part for name, part in optional.items() if part is not None}
    check_labelled(**given, **there)
    check_key(key)


def with_members(batch: Mapping[str, int], members: int | None) -> dict[str, int]:
    """The axes of a batch with one for the members of an ensemble, the last.

    Args:
        batch: extents of the axes that the batch axis stands for.
        members: size of the ensemble; None leaves everything as it is.

    Raises:
        ValueError: there is less than one member, or there are members already.
    """
    if members is None:
        return dict(batch)
    if not is_whole(members, 1) or "member" in batch:
        raise ValueError(
            "Members of an ensemble are counted from 1 and become the dimension "
            f"'member', but got members={members} for the dimensions {list(batch)}. "
            "Ask for more, leave it out to continue those that are given, or rename "
            "the dimension."
        )
    return {**batch, "member": members}


def for_members(
    fields: Mapping[str, np.ndarray], batch: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Fields of every row of a batch: those that all members share are repeated."""
    rows = math.prod(batch.values())
    return {
        name: f if len(f) == rows else np.repeat(f, rows // len(f), axis=0)
        for name, f in fields.items()
    }


def on_device(fields: PyTree, few: Int[np.ndarray, " few"], rows: int) -> PyTree:
    """A few of so many rows of a batch; see `in_batches`."""
    return jax.device_put(jax.tree.map(lambda f: f[few // (rows // len(f))], fields))


def batch_keys(key: PRNGKeyArray, batch: Mapping[str, int]) -> RowKeys:
    """One key a row, from `key` and the row's place on each axis of the batch alone.

    Row (n, m) of the axes (sample, member) gets ``fold_in(fold_in(key, n), m)``: with
    another number of samples or members the draws of the others stay as they are.
    """
    return _placed(key, tuple(batch.values()))


@partial(jax.jit, static_argnums=1)
def _placed(key: PRNGKeyArray, extents: tuple[int, ...]) -> RowKeys:
    keys = key[None]
    for extent in extents:
        keys = jax.vmap(partial(row_keys, batch=extent))(keys).reshape(-1)
    return keys


def in_batches(
    run: Callable[[Any, RowKeys], Fields],
    fields: PyTree,
    batch_size: int,
    keys: RowKeys,
) -> dict[str, np.ndarray]:
    """Apply `run` to a few rows at a time and join the results in host memory.

    The device holds what is known and what is made of one batch at a time. Batches are
    of one size, the last one filled up by its last row, so that they need one compiled
    program.

    Args:
        run: ``run(fields, keys) -> fields``, rows independent of each other.
        fields: what is known, a pytree, batch first. Where there are fewer rows than
            keys each serves as many keys in a row: the members of an ensemble.
        batch_size: most rows computed at once; bounds the memory and changes nothing
            else.
        keys: one a row.

    Raises:
        ValueError: `batch_size` is less than 1.
    """
    rows, parts = len(keys), []
    batches = batches_of(rows, batch_size)
    for few in tqdm(batches, unit="batch", leave=False, disable=None):
        known = on_device(fields, few, rows)
        # Copied, also where the device shares the memory of the host and keeps it.
        parts.append(jax.tree.map(np.array, run(known, _those(keys, few))))
    return {
        name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]
    }


@jax.jit
def _those(keys: RowKeys, few: Int[Array, " few"]) -> Key[Array, " few"]:
    return keys[few]


def batches_of(rows: int, batch_size: int) -> list[Int[np.ndarray, " few"]]:
    """Numbers of the rows of each batch, all of one size: the last row fills up.

    Raises:
        ValueError: `batch_size` is less than 1.
    """
    if not is_whole(batch_size, 1):
        raise ValueError(
            "Trajectories computed at once are counted from 1, but got "
            f"batch_size={batch_size!r}. Ask for more."
        )
    size = -(-rows // -(-rows // batch_size))
    starts = range(0, rows, size)
    return [np.arange(start, start + size).clip(max=rows - 1) for start in starts]


def record_from(model: WDNO, frames: int, start: Labelled) -> dict[str, np.ndarray]:
    """Coordinates of a record that begins at the time of `start`, the first it has.

    Without a time it begins where the domain of the model does.
    """
    coords = model.domain.coords(model.targets.dims, (frames, *model.targets.grid[1:]))
    return {**coords, "time": begun_with(coords["time"], start)}


def record_coords(
    model: WDNO, over_time: Labelled, frames: int | None
) -> dict[str, np.ndarray]:
    """Expected coordinates of a record that begins with the first row of `over_time`.

    Args:
        model: its domain gives the spacings, and the first instant of what has none.
        over_time: the controls of a model that has some; or anything else on the time
            of the record.
        frames: of the record. By default every row of the controls but the last acts;
            without controls there is one window.
    """
    if model.control:
        frames = _acting(over_time, frames)
    elif frames is None:
        frames = model.window
    if not is_whole(frames, 1):
        raise ValueError(
            f"A record has at least one frame, but {frames} were asked for. Ask for "
            "more."
        )
    return record_from(model, frames, over_time)


def _acting(control: Labelled, frames: int | None) -> int:
    """Rows of a control that act: all but the last, unless `frames` says otherwise."""
    if "time" not in control.dims:
        raise ValueError(
            "A control is given over time, but has the dimensions "
            f"{list(control.dims)}. Name its time axis 'time'."
        )
    rows = control.sizes["time"]
    frames = rows - 1 if frames is None else frames
    if not is_whole(frames, 1) or frames > rows:
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
