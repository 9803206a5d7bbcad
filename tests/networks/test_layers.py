"""Building blocks that backbones share."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from tiny_networks import call, filled, random

from wdno.networks.layers import (
    Modulation,
    NoiseEmbedding,
    crop,
    pad_to_multiple,
)


def test_noise_embedding_tells_neighbouring_levels_apart():
    embedding = filled(lambda: NoiseEmbedding(8, rngs=nnx.Rngs(0)))
    c_noise = jnp.log(jnp.geomspace(0.002, 80.0, 100, dtype=jnp.float32)) / 4
    vectors = np.asarray(call(embedding, c_noise))
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    assert vectors.shape == (100, 8)
    assert (gaps + np.eye(100)).min() > 1e-3


def test_modulation_starts_as_the_identity_and_acts_alike_at_every_point():
    make = lambda: Modulation(5, 3, rngs=nnx.Rngs(0))  # noqa: E731
    x, embedding = random(2, 4, 6, 3), random(2, 5, seed=1)
    np.testing.assert_array_equal(call(make(), x, embedding), x)
    came = np.asarray(call(filled(make), x, embedding))
    for row, channel in np.ndindex(2, 3):
        before, after = (
            np.asarray(x)[row, ..., channel].ravel(),
            came[row, ..., channel].ravel(),
        )
        line = np.polyfit(before, after, 1)
        np.testing.assert_allclose(np.polyval(line, before), after, 0, 1e-5)
        assert abs(line[0] - 1) > 1e-3 and abs(line[1]) > 1e-3


def test_padding_goes_to_the_end_and_is_cut_off_again():
    x = random(2, 5, 6, 3)
    padded = pad_to_multiple(x, (4, 3))
    assert padded.shape == (2, 8, 6, 3)
    np.testing.assert_array_equal(padded[:, 5:], 0.0)
    np.testing.assert_array_equal(crop(padded, (5, 6)), x)
