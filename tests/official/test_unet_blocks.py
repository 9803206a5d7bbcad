"""Parts of U-Nets: blocks of points, steps, residual blocks."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special
from tiny_networks import call, filled, random

from wdno.official.unet_blocks import (
    ResidualBlock,
    TimestepEmbedding,
    doubled,
    space_to_depth,
    unmodulated,
)


def test_blocks_of_two_points_become_channels():
    for axes, grid in enumerate([(6,), (4, 6), (4, 2, 6)], 1):
        x = np.asarray(random(2, *grid, 3))
        came = np.asarray(space_to_depth(jnp.asarray(x)))
        assert came.shape == (2, *(n // 2 for n in grid), 2**axes * 3)
        for i, at in enumerate(itertools.product((0, 1), repeat=axes)):
            wanted = x[:, *(slice(start, None, 2) for start in at)]
            np.testing.assert_array_equal(came[..., i :: 2**axes], wanted)


def test_doubled_repeats_every_point_along_every_axis():
    for axes, grid in enumerate([(3,), (2, 3), (2, 1, 3)], 1):
        x = random(2, *grid, 3)
        came = np.asarray(doubled(x))
        assert came.shape == (2, *(2 * n for n in grid), 3)
        for at in itertools.product((0, 1), repeat=axes):
            some = came[:, *(slice(start, None, 2) for start in at)]
            np.testing.assert_array_equal(some, x)


def test_timestep_embedding_is_its_formula():
    embedding = filled(lambda: TimestepEmbedding(8, rngs=nnx.Rngs(0)))
    steps = jnp.asarray([0.0, 3.0, 999.0], jnp.float32)
    phase = np.outer(steps, [1, 10 ** (-4 / 3), 10 ** (-8 / 3), 1e-4])
    waves = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    inner, outer = (
        [np.asarray(p[...], float) for p in (layer.kernel, layer.bias)]
        for layer in (embedding.inner, embedding.outer)
    )
    hidden = waves @ inner[0] + inner[1]
    hidden = hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2
    wanted = hidden @ outer[0] + outer[1]
    wanted = wanted / (1 + np.exp(-wanted))
    assert wanted.shape == (3, 32)
    np.testing.assert_allclose(embedding(steps), wanted, 1e-4, 2e-4)


@pytest.mark.parametrize("width", [4, 6])
def test_a_silent_residual_block_is_its_skip(width):
    block = filled(lambda: ResidualBlock(1, 4, width, 2, unmodulated, rngs=nnx.Rngs(0)))
    x, embedding = random(2, 5, 4), random(2, 3, seed=1)
    wanted = x if width == 4 else block.skip(x)
    assert abs(call(block, x, embedding) - wanted).max() > 0.1
    for parameter in (block.outer.norm.scale, block.outer.norm.bias):
        parameter[...] = jnp.zeros(width, jnp.float32)
    np.testing.assert_allclose(call(block, x, embedding), wanted, 1e-5)
