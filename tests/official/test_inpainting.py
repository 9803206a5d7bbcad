"""Inpainting: what is known overwrites the noisy array."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import CHANNELS, inputs, random
from tiny_unets import CLASSES, CONFIGS, GRIDS, each_unet

from wdno.networks import Shape, build
from wdno.official.inpainting import InpaintingConfig


def inpainting(kind):
    config = InpaintingConfig(CONFIGS[kind])
    shape = Shape(len(GRIDS[kind]), CHANNELS, 2 * CHANNELS)
    return nnx.eval_shape(lambda: build(config, shape, rngs=nnx.Rngs(0)))


@each_unet
def test_inpainting_has_the_network_of_its_configuration(kind):
    network = inpainting(kind)
    assert type(network.network) is CLASSES[kind]
    assert network.network.config == network.config.network == CONFIGS[kind]
    x, c_noise, _ = inputs(*GRIDS[kind])
    cond = jnp.concatenate([x, x], axis=-1)
    out = nnx.eval_shape(lambda network: network(x, c_noise, cond), network)
    assert out.shape == x.shape and out.dtype == np.float32


def test_inpainting_sees_what_is_known_and_the_noisy_array_elsewhere():
    x, c_noise, _ = inputs(4, 6)
    values = random(*x.shape, seed=5)
    known = np.random.default_rng(6).random(x.shape) < 0.4
    cond = jnp.concatenate([values, jnp.asarray(known, x.dtype)], axis=-1)
    network, seen = inpainting("unet"), []
    network.network = nnx.static(lambda *inputs: seen.extend(inputs) or inputs[0])
    out = network(x, c_noise, cond)
    np.testing.assert_array_equal(out, np.where(known, values, x))
    assert seen[0] is out and seen[1] is c_noise and seen[2].shape == (3, 4, 6, 0)


@pytest.mark.parametrize("condition", [0, CHANNELS, 2 * CHANNELS + 1])
def test_inpainting_refuses_a_condition_that_is_not_values_and_mask(condition):
    config, shape = InpaintingConfig(CONFIGS["unet"]), Shape(2, CHANNELS, condition)
    message = rf"each of the 3 channels.* has {condition} channels.*TiledConditions"
    with pytest.raises(ValueError, match=message):
        build(config, shape, rngs=nnx.Rngs(0))
