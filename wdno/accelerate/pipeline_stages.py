"""A transformer cut into stages, each on a device of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree

from wdno.diffusion.denoiser import Network, freeze
from wdno.networks import TokenTransformer
from wdno.operator.model import WDNO, with_backbone

STAGE = "stage"
Features = Float[Array, "stage row token feature"]
Beside = PyTree
"""What blocks are given beside features, such as the noise level, (stage, ...)."""


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


def staged(
    model: WDNO,
    devices: Sequence[jax.Device],  # pyright: ignore[reportInvalidTypeForm]
) -> Pipeline:
    """Spread the layers of a model's transformer over devices.

    Raises:
        ValueError: the backbone is no transformer, the devices do not divide its
            layers, or these have windows that differ.
    """
    backbone = model.denoiser.backbone
    module = backbone.thaw() if isinstance(backbone, Network) else backbone
    layers = module.blocks if isinstance(module, TokenTransformer) else []
    if not layers or len(layers) % len(devices):
        raise ValueError(
            "A pipeline has equally many layers of a TokenTransformer on each of "
            f"{len(devices)} devices, but got {len(layers)} of a "
            f"{type(module).__name__}. Take as many devices as divide its depth."
        )
    split = [nnx.split(layer) for layer in layers]
    if any(kind != split[0][0] for kind, _ in split):
        raise ValueError(
            "A pipeline has layers that are alike, but the windows of these differ "
            "from block to block. Take a transformer with one window, or with none."
        )

    def stacked(*leaves: Array) -> Array:
        return jnp.stack(leaves).reshape(len(devices), -1, *leaves[0].shape)

    mesh = Mesh(np.array(devices), (STAGE,))
    stages = jax.tree.map(stacked, *(state for _, state in split))
    ends = with_backbone(model, freeze(_without_layers(module)))
    return Pipeline(
        jax.device_put(ends, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(stages, NamedSharding(mesh, PartitionSpec(STAGE))),
        split[0][0],
        mesh,
    )


def _without_layers(module: TokenTransformer) -> TokenTransformer:
    ends = nnx.clone(module)
    ends.blocks = nnx.List([])
    return ends


def through_stages(
    pipeline: Pipeline, features: Features, beside: Beside
) -> tuple[Features, Beside]:
    """What every stage makes of its features, at the next stage around the ring."""
    stages = pipeline.mesh.size
    ring = [(stage, (stage + 1) % stages) for stage in range(stages)]

    def stage(
        layers: PyTree, features: Features, beside: Beside
    ) -> tuple[Features, Beside]:
        here = jax.tree.map(lambda u: u[0], beside)

        def layer(h: Array, state: PyTree) -> tuple[Array, None]:
            return nnx.merge(pipeline.layer, state)(h, here), None

        h, _ = jax.lax.scan(layer, features[0], jax.tree.map(lambda u: u[0], layers))
        on = partial(jax.lax.ppermute, axis_name=STAGE, perm=ring)
        return on(h[None]), on(beside)

    share = PartitionSpec(STAGE)
    return jax.shard_map(
        stage, mesh=pipeline.mesh, in_specs=(share,) * 3, out_specs=(share,) * 2
    )(pipeline.stages, features, beside)
