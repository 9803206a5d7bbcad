"""The arrays of windows in flight, and what is done with them: pure functions.

Rows are those of the places one after another, as many in each. All programs are
compiled once: where a window is, and how far, are numbers.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from wdno._typing import Fields, Guidance
from wdno.accelerate.generator import Generator
from wdno.diffusion.guidance import compose, project
from wdno.diffusion.keys import RowKeys, row_normal, step_keys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import start
from wdno.operator.generation import Context, denoiser, finish, prepare, sample_shape
from wdno.operator.model import WDNO

Levels = Float[Array, " row"]
Counts = Int[Array, " row"]


class Flight(NamedTuple):
    """Windows in flight; a pytree of which every array has the rows first."""

    x: Float[Array, "row *grid channel"]
    """Noisy coefficients."""
    state: PyTree
    """What the sampler remembers."""
    known: Fields
    """As it came with the request."""
    context: Context
    """As the model prepares it."""
    keys: RowKeys
    happened: Fields
    """Values of frames that are over, zero in the others; no field if none is told."""


@jax.jit
def begun(
    generator: Generator, known: Fields, keys: RowKeys, sigma: Float[Array, ""]
) -> Flight:
    """Windows of one request at their first level."""
    model = generator.model
    context = prepared(model, known)
    levels = jnp.full(len(keys), sigma, context.condition.dtype)
    x = start(sample_shape(model, len(keys)), levels, keys)
    return Flight(x, generator.sampler.init(x), known, context, keys, {})


def filled_with(window: Flight, places: int) -> Flight:
    """So many places, each with this window; what is not in flight is never used."""
    return _tiled(window, places)


@jax.jit
def placed(flight: Flight, window: Flight, place: Int[Array, ""] | int) -> Flight:
    """The flight with another window in a place."""
    rows = len(window.x)
    blank = {n: jnp.zeros_like(u[:rows]) for n, u in flight.happened.items()}
    return jax.tree.map(
        lambda all_rows, few: jax.lax.dynamic_update_slice_in_dim(
            all_rows, few, place * rows, axis=0
        ),
        flight,
        window._replace(happened=blank),
    )


@jax.jit
def advanced(
    generator: Generator,
    flight: Flight,
    sigma: Levels,
    sigma_next: Levels,
    elapsed: Counts,
    index: Counts,
) -> Flight:
    """One step of the sampler; rows with equal levels stay where they are.

    Args:
        generator: makes the windows.
        flight: where they are.
        sigma: level of each row.
        sigma_next: level to go to.
        elapsed: frames of each row that are over.
        index: number of the step in the window of each row, from 1.
    """
    guidance = _guidance(generator, flight, elapsed)
    denoise = denoiser(generator.model, flight.context, guidance)
    draw = step_keys(flight.keys, index)
    step = generator.sampler.step
    x, state = step(denoise, flight.x, sigma, sigma_next, flight.state, draw)
    return flight._replace(x=x, state=state)


@partial(jax.jit, static_argnames="rows")
def finished(
    generator: Generator,
    flight: Flight,
    elapsed: Counts,
    first: Int[Array, ""] | int,
    *,
    rows: int,
) -> tuple[Fields, Fields]:
    """What was known of the window that begins with a row, and what it has become."""

    def cut(array: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(array, first, rows, axis=0)

    window, over = jax.tree.map(cut, (flight, elapsed))
    fields = finish(generator.model, window.context, window.x)
    fields = _overwritten(window.happened, over, fields)
    return window.known, generator.completed(window.known, fields)


@jax.jit
def observed(model: WDNO, flight: Flight, happened: Fields, elapsed: Counts) -> Flight:
    """The flight with more frames that are over, the same for all windows.

    Args:
        model: what generates.
        flight: where the windows are.
        happened: fields over these frames, rows of one request.
        elapsed: frames of each row that were over before.
    """
    window, places = model.window, len(flight.x) // len(next(iter(happened.values())))
    written = {}
    for name, part in happened.items():
        shape = (len(flight.x), window, *part.shape[2:])
        before = flight.happened.get(name, jnp.zeros(shape, part.dtype))
        write = jax.vmap(partial(jax.lax.dynamic_update_slice_in_dim, axis=0))
        written[name] = write(before, _tiled(part, places), elapsed)
    return flight._replace(happened=written)


@partial(jax.jit, static_argnames=("rows", "frames"))
def rolled(
    generator: Generator,
    flight: Flight,
    known: Fields,
    sigma: Levels,
    index: Counts,
    draw: Int[Array, ""],
    *,
    rows: int,
    frames: int,
) -> Flight:
    """The flight with windows that begin later, each at its level.

    Args:
        generator: makes the windows.
        flight: where they are.
        known: at the new beginning, rows of one request.
        sigma: level of each row.
        index: steps that each row has done.
        draw: number of the draw of noise, another one each time.
        rows: of coefficients, by which they are shifted.
        frames: the same in frames.
    """
    places = len(flight.x) // len(next(iter(known.values())))
    fresh = step_keys(step_keys(flight.keys, index), jnp.full(len(index), draw))
    noise = row_normal(flight.x.shape, flight.x.dtype, fresh)
    x = jnp.roll(flight.x, -rows, axis=1)
    x = x.at[:, -rows:].set((per_row(sigma, x) * noise)[:, -rows:])
    later = {n: jnp.roll(u, -frames, axis=1) for n, u in flight.happened.items()}
    context = _tiled(prepared(generator.model, known), places)
    state = generator.sampler.init(x)  # its history belongs to other frames
    return Flight(x, state, _tiled(known, places), context, flight.keys, later)


def prepared(model: WDNO, known: Fields) -> Context:
    """Context with all rows in every array, where an estimate may have one for all."""
    context = prepare(model, known)
    rows = len(context.condition)
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape[1:])), context
    )


def _tiled(rows: PyTree, places: int) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf] * places), rows)


def _guidance(generator: Generator, flight: Flight, elapsed: Counts) -> Guidance | None:
    """The generator's own, and then what has happened."""
    own = generator.guided(flight.known)
    if not flight.happened:
        return own
    overwrite = partial(_overwritten, flight.happened, elapsed)
    facts = project(overwrite, generator.model.targets)
    return facts if own is None else compose(own, facts)


def _overwritten(happened: Fields, elapsed: Counts, fields: Fields) -> Fields:
    """Fields with the frames that are over as they were."""
    told = {}
    for name, values in happened.items():
        frame = jnp.expand_dims(jnp.arange(values.shape[1]), range(1, values.ndim - 1))
        over = frame[None] < per_row(elapsed, values)
        told[name] = jnp.where(over, values.astype(fields[name].dtype), fields[name])
    return {**fields, **told}
