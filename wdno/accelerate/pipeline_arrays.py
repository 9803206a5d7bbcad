"""Layers of a transformer on several devices, and blocks on their way through them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, DTypeLike, Float, Int, PyTree

from wdno._typing import Fields
from wdno.accelerate import block_arrays as arrays
from wdno.accelerate.block_arrays import Blocks, Levels, Overlap, between, stepped
from wdno.accelerate.flight import prepared
from wdno.accelerate.pipeline_schedule import Pass
from wdno.diffusion.denoiser import Network, freeze
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Sampler
from wdno.networks.transformer import Transformer
from wdno.operator.generation import Context, denoiser
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import Coefficients

STAGE = "stage"
Features = Float[Array, "stage row token feature"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Pipeline:
    """A model whose transformer lies in stages on the devices of a mesh.

    Attributes:
        ends: the model, its backbone without layers: what enters and what leaves.
        stages: parameters of the layers, (stage, layer, ...), a stage a device.
        layer: what a layer is besides its parameters.
        mesh: the devices.
    """

    ends: WDNO
    stages: PyTree
    layer: Any = field(metadata={"static": True})
    mesh: Mesh = field(metadata={"static": True})


def staged(model: WDNO, devices: Sequence[jax.Device]) -> Pipeline:
    """Spread the layers of a model's transformer over devices.

    Raises:
        ValueError: the backbone is no transformer, or the devices do not divide its
            layers.
    """
    backbone = model.denoiser.backbone
    module = backbone.thaw() if isinstance(backbone, Network) else backbone
    layers = module.blocks if isinstance(module, Transformer) else []
    if not layers or len(layers) % len(devices):
        raise ValueError(
            "A pipeline has equally many layers of a Transformer on each of "
            f"{len(devices)} devices, but got {len(layers)} of a "
            f"{type(module).__name__}. Take as many devices as divide its depth."
        )
    split = [nnx.split(layer) for layer in layers]

    def stacked(*leaves: Array) -> Array:
        return jnp.stack(leaves).reshape(len(devices), -1, *leaves[0].shape)

    mesh = Mesh(np.array(devices), (STAGE,))
    stages = jax.tree.map(stacked, *(state for _, state in split))
    module = nnx.clone(module)
    module.blocks = nnx.List([])
    ends = with_backbone(model, freeze(module))
    return Pipeline(
        jax.device_put(ends, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(stages, NamedSharding(mesh, PartitionSpec(STAGE))),
        split[0][0],
        mesh,
    )


class PipelineFlight(NamedTuple):
    """Blocks in their places, and what is on its way through the stages."""

    blocks: Blocks
    context: Context
    """What is known of each block, as when it entered last."""
    features: Features
    """(stage, row, token, feature)"""
    embedding: Float[Array, "stage row embedding"]


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
    where = one is not None, block % places, (block - 1) % places, block > 0
    return Move(*map(jnp.asarray, (*where, sigmas[done], sigmas[done + 1], done + 1)))


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
    few = jax.tree.map(lambda array: array[:rows], (blocks, ready))
    entering = _entering(ends, *few, jnp.ones((), blocks.x.dtype))
    on_its_way = jax.tree.map(
        lambda array: jax.device_put(
            jnp.zeros((pipeline.mesh.size, *array.shape), array.dtype),
            NamedSharding(pipeline.mesh, PartitionSpec(STAGE)),
        ),
        entering,
    )
    everywhere = NamedSharding(pipeline.mesh, PartitionSpec())
    return PipelineFlight(*jax.device_put((blocks, ready), everywhere), *on_its_way)


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
    new = given, noise, sigma, keys
    blocks = arrays.begun(flight.blocks, place, *new, sampler=sampler)
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
    ends, (blocks, contexts) = pipeline.ends, flight[:2]

    def few(tree: PyTree, at: Move) -> PyTree:
        return jax.tree.map(
            lambda u: jax.lax.dynamic_slice_in_dim(u, at.place * rows, rows), tree
        )

    def put(tree: PyTree, part: PyTree, at: Move) -> PyTree:
        def write(u: Array, new: Array) -> Array:
            new = jnp.where(at.there, new, few(u, at))
            return jax.lax.dynamic_update_slice_in_dim(u, new, at.place * rows, axis=0)

        return jax.tree.map(write, tree, part)

    out, coming = flight.features[0], few((blocks, contexts), arrives)
    blocks = put(
        blocks, _arrived(ends, *coming, out, arrives, sampler, context), arrives
    )
    earlier = few(blocks.estimate, enters._replace(place=enters.earlier))
    one = _told(ends, few(blocks, enters), earlier, enters, context)
    ready = prepared(ends, one.known)
    blocks, contexts = put((blocks, contexts), (one, ready), enters)
    entering = _entering(ends, one, ready, enters.sigma)
    inside = (flight.features, flight.embedding)
    inside = jax.tree.map(lambda u, new: u.at[0].set(new), inside, entering)
    return PipelineFlight(blocks, contexts, *_through_stages(pipeline, *inside))


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
        return module.leave(features, x.shape[1:-1])

    def row(value: Array, dtype: DTypeLike) -> Array:
        return jnp.full(rows, value, dtype)

    sigmas = [row(sigma, one.x.dtype) for sigma in (at.sigma, at.sigma_next)]
    levels = Levels(
        *sigmas, row(at.index, int), row(at.follows, bool), row(False, bool)
    )
    guidance = between(ends, Overlap(context, 0.0), one.before, one.before, levels)
    estimate = denoiser(with_backbone(ends, found), ready, guidance)(one.x, sigmas[0])
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
) -> tuple[Array, Array]:
    """What the first stage is given of a block."""
    whole = ends.denoiser
    level = jnp.full(len(one.x), sigma, one.x.dtype)
    _, _, c_in, c_noise = whole.preconditioning(level)
    return whole.backbone.thaw().enter(
        per_row(c_in, one.x) * one.x, c_noise, ready.condition
    )


def _through_stages(
    pipeline: Pipeline, features: Array, embedding: Array
) -> tuple[Array, Array]:
    """What every stage makes of its features, at the next stage around the ring."""
    stages = pipeline.mesh.size
    ring = [(stage, (stage + 1) % stages) for stage in range(stages)]

    def stage(layers: PyTree, features: Array, embedding: Array) -> tuple[Array, Array]:
        def layer(h: Array, state: PyTree) -> tuple[Array, None]:
            return nnx.merge(pipeline.layer, state)(h, embedding[0]), None

        h, _ = jax.lax.scan(layer, features[0], jax.tree.map(lambda u: u[0], layers))
        on = partial(jax.lax.ppermute, axis_name=STAGE, perm=ring)
        return on(h[None]), on(embedding)

    share = PartitionSpec(STAGE)
    return jax.shard_map(
        stage, mesh=pipeline.mesh, in_specs=(share,) * 3, out_specs=(share,) * 2
    )(pipeline.stages, features, embedding)
