"""A tiny model whose backbone is a transformer, with every layer at work."""

import jax
from flax import nnx
from tiny import make_tiny

from wdno import networks
from wdno.diffusion.denoiser import freeze
from wdno.operator.model import with_backbone


def transformer(depth=2, windows=()):
    """On windows of four frames with eight points, 2 x 4 points of coefficients."""
    model = make_tiny()
    shape = networks.Shape(2, len(model.targets.channels), len(model.given.channels))
    config = networks.TokenTransformerConfig((1, 1), 8, depth, 2, windows)
    module = networks.build(config, shape, rngs=nnx.Rngs(0))
    network = freeze(module)
    keys = jax.random.split(jax.random.key(1), len(network.parameters))
    parts = zip(keys, network.parameters.items(), strict=True)
    busy = {
        name: leaf + 0.2 * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, (name, leaf) in parts
    }
    return with_backbone(model, type(network)(network.definition, busy))
