"""The arrays of blocks in flight, and what is done with them: pure functions.

Rows are those of the places one after another, the oldest block first, as many rows in
each place. All programs are compiled once: how far a block is, is a number.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from wdno._typing import Fields, Guidance
from wdno.diffusion.guidance import project
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Sampler
from wdno.operator.generation import Context, denoiser, finish, prepare, sample_shape
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients

Rows = Float[Array, " row"]
Flags = Bool[Array, " row"]


class Overlap(NamedTuple):
    """What blocks that follow each other have in common; static."""

    frames: int
    """The last ones of a block, which are the first of the next."""
    later: float
    """Share of the later block's estimate in what the earlier one takes them to be."""


class Blocks(NamedTuple):
    """Blocks in flight; a pytree of which every array has the rows first."""

    x: Coefficients
    """Noisy coefficients."""
    state: PyTree
    """What the sampler remembers."""
    known: Fields
    """What is given: states at the beginning are those that are expected by now."""
    before: Fields
    """Frames shared with the earlier block, as it has them."""
    estimate: Fields
    """What each block is expected to become."""
    keys: RowKeys


class Levels(NamedTuple):
    """How far each row is, and between whom it stands."""

    sigma: Rows
    sigma_next: Rows
    """Equal to `sigma` where no block is in flight."""
    index: Int[Array, " row"]
    """Number of the step in its block, from 1."""
    follows: Flags
    """Whether some block is, or was, before it."""
    followed: Flags
    """Whether the block behind it has an estimate."""


def over_time(model: WDNO) -> tuple[str, ...]:
    """Generated fields that have frames."""
    targets = model.targets
    return tuple(q.name for q in targets.fields if q.dims[:1] == targets.dims[:1])


def opened(
    model: WDNO,
    sampler: Sampler,
    known: Fields,
    keys: RowKeys,
    places: int,
    shared: int,
) -> Blocks:
    """So many places without a block, for blocks of which one is given this."""
    known, keys = jax.tree.map(
        lambda rows: jnp.concatenate([rows] * places), (known, keys)
    )
    floating = jax.eval_shape(prepare, model, known).condition.dtype
    x = jnp.zeros(sample_shape(model, len(keys)), floating)

    def made(known: Fields, x: Coefficients) -> Fields:
        return finish(model, prepare(model, known), x)

    shapes = jax.eval_shape(made, known, x)
    estimate = {name: jnp.zeros(u.shape, u.dtype) for name, u in shapes.items()}
    before = {name: estimate[name][:, :shared] for name in over_time(model)}
    return Blocks(x, sampler.init(x), known, before, estimate, keys)


@partial(jax.jit, static_argnames="sampler")
def begun(
    blocks: Blocks,
    place: Int[Array, ""],
    given: Fields,
    noise: Coefficients,
    sigma: Float[Array, ""],
    keys: RowKeys,
    *,
    sampler: Sampler,
) -> Blocks:
    """With a new block in a place: its noise, and what is given of it alone."""
    x = noise * sigma.astype(noise.dtype)

    def put(rows: Array, few: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(rows, few, place * len(x), axis=0)

    known = {name: put(blocks.known[name], u) for name, u in given.items()}
    return blocks._replace(
        x=put(blocks.x, x),
        state=jax.tree.map(put, blocks.state, sampler.init(x)),
        known={**blocks.known, **known},
        keys=put(blocks.keys, keys),
    )


@partial(jax.jit, static_argnames=("sampler", "rows", "overlap"))
def advanced(
    model: WDNO,
    blocks: Blocks,
    levels: Levels,
    *,
    sampler: Sampler,
    rows: int,
    overlap: Overlap,
) -> Blocks:
    """One step of all blocks, by one call of the denoiser for all of them."""
    context = prepare(model, blocks.known)
    after = {
        name: jnp.roll(blocks.estimate[name][:, : overlap.frames], -rows, axis=0)
        for name in blocks.before
    }
    guidance = between(model, overlap, blocks.before, after, levels)
    denoise = denoiser(model, context, guidance)
    estimate = denoise(blocks.x, jnp.where(levels.sigma > 0, levels.sigma, 1))
    return stepped(model, blocks, context, estimate, levels, sampler)


def between(
    model: WDNO, overlap: Overlap, before: Fields, after: Fields, levels: Levels
) -> Guidance | None:
    """Estimates that heed what the blocks around make of the shared frames."""
    if not overlap.frames:
        return None

    def heeding(fields: Fields) -> Fields:
        told = {}
        for name, earlier in before.items():
            u, share = fields[name], overlap.later
            first, last = u[:, : overlap.frames], u[:, -overlap.frames :]
            mixed = (1 - share) * last + share * after[name]
            first = jnp.where(per_row(levels.follows, u), earlier, first)
            last = jnp.where(per_row(levels.followed, u), mixed, last)
            middle = u[:, overlap.frames : -overlap.frames]
            told[name] = jnp.concatenate([first, middle, last], axis=1)
        return {**fields, **told}

    return project(heeding, model.targets)


def stepped(
    model: WDNO,
    blocks: Blocks,
    context: Context,
    estimate: Coefficients,
    levels: Levels,
    sampler: Sampler,
) -> Blocks:
    """The step that a sampler makes of an estimate."""

    def found(x: Coefficients, sigma: Rows) -> Coefficients:
        return estimate

    draw = step_keys(blocks.keys, levels.index)
    sigmas = levels.sigma, levels.sigma_next
    x, state = sampler.step(found, blocks.x, *sigmas, blocks.state, draw)
    fields = finish(model, context, estimate)
    return blocks._replace(x=x, state=state, estimate=fields)


def leaving(
    model: WDNO, blocks: Blocks, place: int, rows: int, frames: int | None
) -> Fields:
    """What has become of the block in a place: some frames of it, or all."""
    cut = dict.fromkeys(over_time(model), slice(frames))
    return {
        name: u[place * rows : (place + 1) * rows, cut.get(name, ...)]
        for name, u in blocks.estimate.items()
    }


@partial(jax.jit, static_argnames=("rows", "stride"))
def handed_on(model: WDNO, blocks: Blocks, *, rows: int, stride: int) -> Blocks:
    """Every block but the first expects what the one before it has come to expect."""

    def behind(expected: Array, kept: Array) -> Array:
        return jnp.concatenate([kept[:rows], expected[:-rows]])

    states, before = expected(model, blocks.estimate, stride)
    states = {name: behind(u, blocks.known[name]) for name, u in states.items()}
    before = jax.tree.map(behind, before, blocks.before)
    return blocks._replace(known={**blocks.known, **states}, before=before)


@partial(jax.jit, static_argnames=("rows", "stride"))
def moved_up(model: WDNO, blocks: Blocks, *, rows: int, stride: int) -> Blocks:
    """Without the first block: all move up a place, told by the ones before them."""
    states, before = expected(model, blocks.estimate, stride)
    moved = jax.tree.map(lambda array: jnp.roll(array, -rows, axis=0), blocks)
    return moved._replace(known={**moved.known, **states}, before=before)


def expected(model: WDNO, estimate: Fields, stride: int) -> tuple[Fields, Fields]:
    """What blocks that begin so many frames later are told by these."""
    states = {k: estimate[name][:, stride - 1] for name, k in model.initial.items()}
    return states, {name: estimate[name][:, stride:] for name in over_time(model)}
