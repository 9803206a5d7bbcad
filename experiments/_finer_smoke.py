"""Scenes of the smoke problem on finer grids: the same controls, more finely solved."""

from pathlib import Path

import jax
import jax.numpy as jnp
import xarray as xr
from _smoke import SYSTEM
from jaxtyping import PRNGKeyArray

from wdno._typing import Fields
from wdno.systems import Smoke
from wdno.trajectory import to_dataset

CHUNK = 4
"""Scenes that are solved at once."""


def finer(ratio: int) -> Smoke:
    """The solver with more stored points and intervals, and steps as much shorter."""
    return Smoke(points=ratio * SYSTEM.points, frames=ratio * SYSTEM.frames)


def repeated(inputs: Fields, ratio: int) -> Fields:
    """Inputs of the problem on the finer grid: each value for all that it stood for."""
    found = {}
    for name, values in inputs.items():
        for axis in range(1, values.ndim):
            values = jnp.repeat(values, ratio, axis=axis)
        found[name] = values
    return found


def scenes(key: PRNGKeyArray, count: int, ratio: int) -> xr.Dataset:
    """Scenes drawn on the grid of the problem and solved on a finer one."""
    system = finer(ratio)
    inputs = repeated(SYSTEM.sample_inputs(key, count), ratio)
    data = to_dataset(
        {**inputs, **system.solve(inputs)},
        system.coords,
        system.state,
        system.control,
        system.attributes,
        {"sample": count},
        {name: ("time", "y", "x") for name in ("vx", "vy")},
    )
    static = {name: (("y", "x"), values) for name, values in system.static.items()}
    return data.assign_coords(static)


def kept(
    folder: Path, seed: int, chunk: int, count: int = CHUNK, ratio: int = 2
) -> xr.Dataset:
    """A chunk of scenes on finer grids, solved if the folder does not have it."""
    path = chunk_path(folder, seed, chunk)
    if path.exists():
        return xr.load_dataset(path)
    return scenes(scene_key(seed, chunk), count, ratio)


def scene_key(seed: int, chunk: int) -> PRNGKeyArray:
    """Of a chunk of scenes."""
    return jax.random.fold_in(jax.random.key(seed), chunk)


def chunk_path(folder: Path, seed: int, chunk: int) -> Path:
    """Where it is kept."""
    return folder / f"{seed}-{chunk:03d}.nc"
