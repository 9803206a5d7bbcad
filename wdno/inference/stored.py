"""Records that are written into a Zarr store as they come."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno.diffusion.samplers import ddim
from wdno.inference.chain import Chain, RecordInputs, Rows
from wdno.trajectory import (
    GrowingStore,
    Labelled,
    fingerprint,
    instants_as_came,
    open_labelled,
)


def stored(
    record: RecordInputs,
    chain: Chain,
    batch: Mapping[str, int],
    path: Path,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Write a record a window at a time, go on with one that was begun, and open it.

    A block of the store has the state that a window begins with and those of its frames
    but the last, beside the controls that act from these instants on; the last block
    has the last state as well. So what an interrupted run leaves is a record too, and
    its last window, computed once more, gives what the next one begins with to the last
    bit.

    Args:
        record: inputs and labels.
        chain: how windows are made.
        batch: extents of the axes of the batch, members included.
        path: of the store.
        key: that the keys of the rows come from.

    Raises:
        ValueError: the unfinished store is of another call, or an input that is read on
            the way is not finite.
    """
    record = replace(record, initial=record.initial.compute())
    model, frames = record.model, record.frames
    store = GrowingStore(path, _call(record, chain, batch, key))
    begun = chain.begins_with(store.blocks)
    states = _states(store, record, begun * model.window) if begun else None
    windows = chain.windows(
        lambda begin, end: record.read(begin, end)[0],
        frames,
        begun=begun,
        states=states,
    )
    closing = None
    for number, (known, window) in enumerate(windows, begun):
        begin = number * chain.stride
        end = begin + next(iter(window.values())).shape[1]
        block = record.labelled({**known, **window}, batch, begin, end)
        if closing is not None:  # known from the window before
            for name in model.auxiliary:
                block[name][{"time": 0}] = closing[name]
        closing = block.isel(time=-1).copy(deep=True)
        block = block if end == frames else block.isel(time=slice(-1))
        if number == 0 and not store.blocks:
            came = instants_as_came(record.coords["time"], record.initial, record.given)
            store.begin(block, xr.DataArray(came, dims="time", attrs=block.time.attrs))
        elif number >= store.blocks:
            store.write(block)
    store.finish()
    return open_labelled(path)


def _states(store: GrowingStore, record: RecordInputs, instant: int) -> Rows:
    """States at an instant of the store, as they were computed."""
    model = record.model
    like = record.read(0, 1)[0]
    found = store.read(model.state, instant)
    rows = {model.initial[name]: values for name, values in found.items()}
    return {
        key: values.reshape(-1, *like[key].shape[1:]).astype(like[key].dtype)
        for key, values in rows.items()
    }


def _call(
    record: RecordInputs, chain: Chain, batch: Mapping[str, int], key: PRNGKeyArray
) -> dict[str, Any]:
    """What the values of a record follow from."""
    model = record.model
    parameters = hashlib.sha256(f"{model.targets.grid} {model.domain}".encode())
    for leaf in jax.tree.leaves(model):
        parameters.update(np.asarray(leaf).tobytes())
    return {
        "model": parameters.hexdigest(),
        "initial": _known_again(record.initial),
        "control": None if record.given is None else _known_again(record.given),
        "frames": record.frames,
        "begins": float(record.coords["time"][0]),
        "batch": dict(batch),
        "batch_size": chain.batch_size,
        "sampler": [_described(rule) for rule in chain.sampler or ddim()],
        "levels": np.asarray(model.levels(chain.steps)).tolist(),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "blocks": None if chain.blocks is None else repr(chain.blocks),
    }


def _known_again(given: Labelled) -> str:
    whole = given if isinstance(given, xr.Dataset) else given.to_dataset(name="given")
    return fingerprint(whole)


def _described(rule: Callable) -> str:
    """The name of a function with the numbers that it closes over."""
    function = inspect.unwrap(rule)
    cells = [
        cell.cell_contents for cell in getattr(function, "__closure__", None) or ()
    ]
    numbers = [value for value in cells if isinstance(value, int | float | str)]
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name} {numbers}"
