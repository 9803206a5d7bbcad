"""Blocks of a queue on their way through the stages of a transformer."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, DTypeLike, Float, Int, PyTree

from wdno._typing import Fields
from wdno.accelerate import block_arrays as arrays
from wdno.accelerate.block_arrays import Blocks, Levels, Overlap, between, stepped
from wdno.accelerate.flight import prepared
from wdno.accelerate.pipeline_schedule import Pass
from wdno.accelerate.pipeline_stages import (
    STAGE,
    Beside,
    Features,
    Pipeline,
    through_stages,
)
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Sampler
from wdno.operator.generation import Context, denoiser
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import Coefficients


class PipelineFlight(NamedTuple):
    """Blocks in their places, and what is on its way through the stages."""

    blocks: Blocks
    context: Context
    """What is known of each block, as when it entered last."""
    features: Features
    beside: Beside


class Move(NamedTuple):
    """A block that enters the first stage, or comes from the last one."""

    there: Bool[Array, ""]
    """Whether there is one."""
    place: Int[Array, ""]
    earlier: Int[Array, ""]
    """Place of the block before it."""
    follows: Bool[Array, ""]
    """Whether there is, or was, one."""
    sigma: Float[Array, ""]
    sigma_next: Float[Array, ""]
    index: Int[Array, ""]
    """Number of the step, from 1."""


def move(one: Pass | None, sigmas: np.ndarray, places: int) -> Move:
    """The numbers of a pass through the stages."""
    block, done = (0, 0) if one is None else (one.block, one.done)
    return Move(
        there=jnp.asarray(one is not None),
        place=jnp.asarray(block % places),
        earlier=jnp.asarray((block - 1) % places),
        follows=jnp.asarray(block > 0),
        sigma=jnp.asarray(sigmas[done]),
        sigma_next=jnp.asarray(sigmas[done + 1]),
        index=jnp.asarray(done + 1),
    )


def opened(
    pipeline: Pipeline,
    known: Fields,
    keys: RowKeys,
    places: int,
    *,
    sampler: Sampler,
    rows: int,
    context: int,
) -> PipelineFlight:
    """So many places without a block, and nothing in the stages."""
    ends = pipeline.ends
    blocks = arrays.opened(ends, sampler, known, keys, places, context)
    ready = prepared(ends, blocks.known)
    one, known_of_one = jax.tree.map(lambda array: array[:rows], (blocks, ready))
    entering = _entering(ends, one, known_of_one, jnp.ones((), blocks.x.dtype))
    everywhere = NamedSharding(pipeline.mesh, PartitionSpec())
    at_its_stage = NamedSharding(pipeline.mesh, PartitionSpec(STAGE))

    def nothing(array: Array) -> Array:
        zeros = jnp.zeros((pipeline.mesh.size, *array.shape), array.dtype)
        return jax.device_put(zeros, at_its_stage)

    return PipelineFlight(
        blocks=jax.device_put(blocks, everywhere),
        context=jax.device_put(ready, everywhere),
        features=nothing(entering[0]),
        beside=jax.tree.map(nothing, entering[1]),
    )


@partial(jax.jit, static_argnames="sampler")
def with_block(
    flight: PipelineFlight,
    place: Int[Array, ""],
    given: Fields,
    noise: Coefficients,
    sigma: Float[Array, ""],
    keys: RowKeys,
    *,
    sampler: Sampler,
) -> PipelineFlight:
    """With a new block in a place."""
    blocks = arrays.begun(
        flight.blocks, place, given, noise, sigma, keys, sampler=sampler
    )
    return flight._replace(blocks=blocks)


@partial(jax.jit, static_argnames=("sampler", "rows", "context"))
def worked(
    pipeline: Pipeline,
    flight: PipelineFlight,
    arrives: Move,
    enters: Move,
    *,
    sampler: Sampler,
    rows: int,
    context: int,
) -> PipelineFlight:
    """One tick: a block takes its step, one enters, and all stages work and pass on."""
    ends, blocks, contexts = pipeline.ends, flight.blocks, flight.context

    def few(tree: PyTree, at: Move) -> PyTree:
        return jax.tree.map(
            lambda u: jax.lax.dynamic_slice_in_dim(u, at.place * rows, rows), tree
        )

    def put(tree: PyTree, part: PyTree, at: Move) -> PyTree:
        def write(u: Array, new: Array) -> Array:
            new = jnp.where(at.there, new, few(u, at))
            return jax.lax.dynamic_update_slice_in_dim(u, new, at.place * rows, axis=0)

        return jax.tree.map(write, tree, part)

    one, ready, out = few(blocks, arrives), few(contexts, arrives), flight.features[0]
    one = _arrived(ends, one, ready, out, arrives, sampler, context)
    blocks = put(blocks, one, arrives)
    earlier = few(blocks.estimate, enters._replace(place=enters.earlier))
    one = _told(ends, few(blocks, enters), earlier, enters, context)
    ready = prepared(ends, one.known)
    features, beside = _entering(ends, one, ready, enters.sigma)
    features, beside = through_stages(
        pipeline,
        flight.features.at[0].set(features),
        jax.tree.map(lambda u, new: u.at[0].set(new), flight.beside, beside),
    )
    blocks, contexts = put(blocks, one, enters), put(contexts, ready, enters)
    return PipelineFlight(blocks, contexts, features, beside)


def _arrived(
    ends: WDNO,
    one: Blocks,
    ready: Context,
    features: Float[Array, "row token feature"],
    at: Move,
    sampler: Sampler,
    context: int,
) -> Blocks:
    """The block after its step, for which the last stage has given the features."""
    module, rows = ends.denoiser.backbone.thaw(), len(one.x)

    def found(x: Coefficients, c_noise: Array, cond: Array) -> Coefficients:
        return module.leave(features, x)

    def row(value: Array, dtype: DTypeLike) -> Array:
        return jnp.full(rows, value, dtype)

    levels = Levels(
        sigma=row(at.sigma, one.x.dtype),
        sigma_next=row(at.sigma_next, one.x.dtype),
        index=row(at.index, int),
        follows=row(at.follows, bool),
        followed=jnp.zeros(rows, bool),
    )
    guidance = between(ends, Overlap(context, 0.0), one.before, one.before, levels)
    denoise = denoiser(with_backbone(ends, found), ready, guidance)
    estimate = denoise(one.x, levels.sigma)
    return stepped(ends, one, ready, estimate, levels, sampler)


def _told(ends: WDNO, one: Blocks, earlier: Fields, at: Move, context: int) -> Blocks:
    """The block, which expects what the estimate of the one before it says."""
    states, before = arrays.expected(ends, earlier, ends.window - context)

    def told(new: Array, kept: Array) -> Array:
        return jnp.where(at.follows, new, kept)

    states = {name: told(u, one.known[name]) for name, u in states.items()}
    before = jax.tree.map(told, before, one.before)
    return one._replace(known={**one.known, **states}, before=before)


def _entering(
    ends: WDNO, one: Blocks, ready: Context, sigma: Float[Array, ""]
) -> tuple[Float[Array, "row token feature"], Beside]:
    """What the first stage is given of a block."""
    whole = ends.denoiser
    level = jnp.full(len(one.x), sigma, one.x.dtype)
    _, _, c_in, c_noise = whole.preconditioning(level)
    return whole.backbone.thaw().enter(
        per_row(c_in, one.x) * one.x, c_noise, ready.condition
    )
