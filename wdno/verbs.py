"""What one does with an operator: chain windows, simulate labelled data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from wdno._typing import Fields
from wdno.operator import WDNO, generate
from wdno.samplers import RowKeys, Sampler, ddim, row_keys, step_keys
from wdno.trajectory import to_dataset, to_inputs

Labelled = xr.DataArray | xr.Dataset

_generate = nnx.jit(generate, static_argnames=("sampler", "guidance"))


def rollout(
    model: WDNO,
    initial: Fields,
    control: Fields,
    *,
    sampler: Sampler | None = None,
    steps: int = 1,
    key: PRNGKeyArray | RowKeys,
) -> Fields:
    """Chain windows over a record of any length, as arrays.

    The last state of a window is the initial state of the next; a last window that
    sticks out is filled up by holding the last row of what is given, and cut.

    Args:
        model: a model of the simulation or the refinement task.
        initial: initial states, e.g. ``{"u0": (batch, x)}``.
        control: what is given over the record: controls, ``{"f": (batch, frames, x)}``,
            and for a refiner coarse states, ``{"u_coarse": (batch, frames/2, x/2)}``.
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window.
        key: one key, or one per row: a row's draws do not depend on the others.

    Returns:
        States after each frame, e.g. ``{"u": (batch, frames, x)}``, and what the model
        generates beside them.
    """
    strides = dict.fromkeys(model.control, 1) | dict.fromkeys(model.coarse, 2)
    if missing := [name for name in strides if name not in control]:
        raise ValueError(
            f"A rollout needs the fields {list(strides)} over time, but {missing} are "
            f"missing from {sorted(control)}. Add them."
        )
    name, stride = next(iter(strides.items()))
    frames = stride * control[name].shape[1]
    count = -(-frames // model.window)
    over_time = {
        name: _windows(control[name], count, model.window // stride)
        for name, stride in strides.items()
    }
    keys = row_keys(key, len(control[name]))
    known, pieces = dict(initial), []
    for n in range(count):
        known |= {name: f[:, n] for name, f in over_time.items()}
        window = _generate(
            model,
            known,
            sampler=sampler or ddim(),
            sigmas=model.schedule(steps),
            key=step_keys(keys, jnp.full(len(keys), n)),
        )
        pieces.append(window)
        known |= {f"{name}0": window[name][:, -1] for name in model.state}
    return {
        name: jnp.concatenate([piece[name] for piece in pieces], axis=1)[:, :frames]
        for name in (*model.state, *model.accompanying)
    }


def simulate(
    model: WDNO,
    initial: Labelled,
    control: Labelled,
    *,
    samples: int | None = None,
    frames: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 1,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Simulate labelled initial states under labelled controls.

    Args:
        model: a model of the simulation task.
        initial: initial states on (sample, *space); an array if there is one state.
            What never changes and the model is given, such as an obstacle, is a
            coordinate of theirs.
        control: controls on (sample, time, *space), ``control[k]`` acting from t_k to
            t_(k+1), for any number of frames.
        samples: size of the ensemble; adds the dimension "member".
        frames: length of the record. By default every row of `control` but the last
            acts, as in the files of this package; give ``frames=len(control.time)``
            for a control without that closing row.
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window of ``model.window`` frames.
        batch_size: trajectories computed at once; bounds the memory and changes
            nothing else.
        key: one key; trajectory n uses ``fold_in(key, n)``.

    Returns:
        States and controls on (sample[, member], time, *space), with the initial state
        at the first instant. What the model generates beside them has NaN there.

    Raises:
        ValueError: an input is missing, not finite or on another grid than the model.

    Example:
        >>> truth = system.trajectories(jax.random.key(0), samples=8)
        >>> forecast = wdno.simulate(model, truth.u.isel(time=0), truth.f,
        ...                          samples=16, key=jax.random.key(1))
    """
    if samples is not None and samples < 1:
        raise ValueError(
            f"Members of an ensemble are counted from 1, but got samples={samples}. "
            "Ask for more, or leave it out for one forecast without the dimension "
            "'member'."
        )
    coords = record_coords(model, control, frames)
    acting = control.isel(time=slice(len(coords["time"]) - 1))
    fields, batch = to_inputs(
        initial, acting, coords, model.state, model.control, model.static
    )
    if samples is not None:
        batch = {**batch, "member": samples}
        fields = {name: jnp.repeat(f, samples, axis=0) for name, f in fields.items()}

    def run(part: Fields, keys: RowKeys) -> Fields:
        controls = {name: part.pop(name) for name in model.control}
        return rollout(model, part, controls, sampler=sampler, steps=steps, key=keys)

    states = in_batches(run, fields, batch_size, key)
    attrs = attributes(initial, model.state) | attributes(control, model.control)
    beside = {
        q.name: q.dims for q in model.targets.fields if q.name in model.accompanying
    }
    forecast = to_dataset(
        {**fields, **states}, coords, model.state, model.control, attrs, batch, beside
    )
    return forecast.assign_coords(
        {name: initial[name].variable for name in model.static}
    )


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
    """Expected coordinates of a record that begins with the first row of `control`."""
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
    coords = model.domain.coords(model.targets.dims, (frames, *model.targets.grid[1:]))
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


def _windows(
    f: Float[Array, "batch frames *space"], count: int, length: int
) -> Float[Array, "batch count length *space"]:
    """Cut into windows; beyond the end of the record its last row is held."""
    padding = [(0, 0)] * f.ndim
    padding[1] = (0, count * length - f.shape[1])
    held = jnp.pad(f, padding, mode="edge")
    return held.reshape(len(f), count, length, *f.shape[2:])
