"""Small backbones of every kind, and modules none of whose parameters is silent."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wdno.networks import (
    FourierConfig,
    LocalConfig,
    MixerConfig,
    Shape,
    TokenTransformerConfig,
    build,
)

CHANNELS, CONDITION = 3, 2

CONFIGS = {
    "tokens": lambda axes, depth: TokenTransformerConfig(
        (2, 3, 2)[:axes], width=8, depth=depth, heads=2
    ),
    "fourier": lambda axes, depth: FourierConfig(
        (4, 6, 4)[:axes], width=8, depth=depth
    ),
    "local": lambda axes, depth: LocalConfig((3, 5, 3)[:axes], width=8, depth=depth),
    "mixer": lambda axes, depth: MixerConfig(
        (2, 3, 1)[:axes], (2, 2, 3)[:axes], width=8, depth=depth
    ),
}
"""Tiny networks that still have every part."""


def shape(axes=2):
    return Shape(axes, CHANNELS, CONDITION)


def fresh(kind, axes=2, depth=1):
    return build(CONFIGS[kind](axes, depth), shape(axes), rngs=nnx.Rngs(0))


def random(*shape, seed=0, scale=1.0):
    draw = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return jax.device_put(draw.astype(np.float32))


def filled(make, scale=0.4):
    """The module that `make` returns with random numbers in place of all parameters.

    None is at its initial zero, so that no branch is silent.
    """
    graph, parameters = nnx.split(nnx.eval_shape(make))
    leaves, structure = jax.tree.flatten(parameters)
    values = [random(*p.shape, seed=i, scale=scale) for i, p in enumerate(leaves)]
    return nnx.merge(graph, jax.tree.unflatten(structure, values))


@cache
def busy(kind, axes=2, depth=1):
    """A network with all branches active, not to be changed."""
    return filled(lambda: fresh(kind, axes, depth))


@nnx.jit
def call(module, *inputs):
    return module(*inputs)


def inputs(*grid, batch=3, seed=0):
    """Random coefficients, noise levels from 0.002 to 80 and a random condition."""
    c_noise = jnp.log(jnp.geomspace(0.002, 80.0, batch, dtype=jnp.float32)) / 4
    x = random(batch, *grid, CHANNELS, seed=(seed, 0))
    return x, c_noise, random(batch, *grid, CONDITION, seed=(seed, 1))
