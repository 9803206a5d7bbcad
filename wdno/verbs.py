"""What one does with an operator: chain windows, simulate labelled data."""

import jax.numpy as jnp
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._labels import Labelled, attributes, in_batches, record_coords
from wdno._typing import Fields
from wdno.operator import WDNO, generate
from wdno.samplers import RowKeys, Sampler, ddim, row_keys, step_keys
from wdno.trajectory import to_dataset, to_inputs

_generate = nnx.jit(generate, static_argnames=("sampler", "guidance"))


def rollout(
    model: WDNO,
    initial: Fields,
    control: Fields | None = None,
    *,
    windows: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 1,
    key: PRNGKeyArray | RowKeys,
) -> Fields:
    """Chain windows over a record of any length, as arrays.

    The last state of a window is the initial state of the next; a last window that
    sticks out is filled up by holding the last row of what is given, and cut.

    Args:
        model: a model of the simulation or the refinement task.
        initial: initial states, e.g. ``{"u0": (batch, x)}``, and what else is given
            that does not change.
        control: what is given over the record: controls, ``{"f": (batch, frames, x)}``,
            and for a refiner coarse states, ``{"u_coarse": (batch, frames/2, x/2)}``.
        windows: how many are chained, holding or cutting what is given over time; by
            default as many as that covers, and one where nothing is.
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window.
        key: one key, or one per row: a row's draws do not depend on the others.

    Returns:
        States after each frame, e.g. ``{"u": (batch, frames, x)}``, and what the model
        generates beside them.

    Raises:
        ValueError: something is missing, or there is less than one window.
    """
    control = control or {}
    strides = dict.fromkeys(model.control, 1) | dict.fromkeys(model.coarse, 2)
    if missing := [name for name in strides if name not in control]:
        raise ValueError(
            f"A rollout needs the fields {list(strides)} over time, but {missing} are "
            f"missing from {sorted(control)}. Add them."
        )
    lengths = [stride * control[name].shape[1] for name, stride in strides.items()]
    frames = lengths[0] if lengths else model.window
    frames = frames if windows is None else windows * model.window
    if frames < 1:
        raise ValueError(
            f"A rollout has at least one window, but windows is {windows} and what is "
            f"given over time has {frames} frames. Ask for more."
        )
    count = -(-frames // model.window)
    if count > 1 and model.past:
        raise ValueError(
            f"Windows are chained by their last state, but this model is given "
            f"{list(model.past)} as well. Ask for {model.window} frames, and begin "
            "anew from what has been observed since."
        )
    over_time = {
        name: _windows(
            control[name][:, : frames // stride], count, model.window // stride
        )
        for name, stride in strides.items()
    }
    rows = len(next(iter((initial | over_time).values())))
    keys = row_keys(key, rows)
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
    control: Labelled | None = None,
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
            What never changes and the model is given, such as an obstacle or a
            parameter of the equation, is a coordinate of theirs.
        control: controls on (sample, time, *space), ``control[k]`` acting from t_k to
            t_(k+1), for any number of frames; left out if the model has none.
        samples: size of the ensemble; adds the dimension "member".
        frames: length of the record. By default every row of `control` but the last
            acts, as in the files of this package; give ``frames=len(control.time)``
            for a control without that closing row. Without controls it is one window.
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
    control = xr.Dataset() if control is None else control
    coords = record_coords(model, control, frames)
    count = len(coords["time"]) - 1
    acting = control.isel(time=slice(count), missing_dims="ignore")
    fields, batch = to_inputs(
        initial, acting, coords, model.state, model.control, model.static
    )
    if samples is not None:
        batch = {**batch, "member": samples}
        fields = {name: jnp.repeat(f, samples, axis=0) for name, f in fields.items()}

    def run(part: Fields, keys: RowKeys) -> Fields:
        controls = {name: part.pop(name) for name in model.control}
        windows = -(-count // model.window)
        how = {"windows": windows, "sampler": sampler, "steps": steps, "key": keys}
        longer = rollout(model, part, controls, **how)
        return {name: values[:, :count] for name, values in longer.items()}

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


def _windows(
    f: Float[Array, "batch frames *space"], count: int, length: int
) -> Float[Array, "batch count length *space"]:
    """Cut into windows; beyond the end of the record its last row is held."""
    padding = [(0, 0)] * f.ndim
    padding[1] = (0, count * length - f.shape[1])
    held = jnp.pad(f, padding, mode="edge")
    return held.reshape(len(f), count, length, *f.shape[2:])
