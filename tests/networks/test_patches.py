"""Patches of grids, tokens by their places, and the layers between the two."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import random

from wdno.networks.patches import (
    PatchEmbedding,
    PatchHead,
    from_patches,
    place,
    take,
    to_patches,
)


def test_patches_are_blocks_of_points_with_their_channels_beside():
    x = np.asarray(random(2, 4, 6, 3, 5))
    patch = (2, 3, 1)
    came = to_patches(jnp.asarray(x), patch)
    assert came.shape == (2, 2, 2, 3, 2 * 3 * 1 * 5)
    for token in np.ndindex(2, 2, 3):
        lows = [n * size for n, size in zip(token, patch, strict=True)]
        block = [slice(low, low + p) for low, p in zip(lows, patch, strict=True)]
        wanted = x[:, *block].reshape(2, -1)
        np.testing.assert_array_equal(came[:, *token], wanted)


@pytest.mark.parametrize(
    ("grid", "patch"),
    [
        ((6,), (3,)),
        ((4, 6), (4, 1)),
        ((4, 6, 3), (2, 3, 3)),
        ((2, 4, 2, 6), (1, 2, 2, 3)),
    ],
    ids=str,
)
def test_patches_are_put_back_where_they_were(grid, patch):
    x = random(2, *grid, 5)
    np.testing.assert_array_equal(from_patches(to_patches(x, patch), patch), x)


PLACES = jnp.array([[5, 0, 2], [1, 3, 4]])


def test_tokens_are_taken_and_put_back_by_their_places():
    tokens = random(2, 6, 4)
    kept = take(tokens, PLACES)
    for row, column in np.ndindex(2, 3):
        wanted = tokens[row, PLACES[row, column]]
        np.testing.assert_array_equal(kept[row, column], wanted)
    left = np.array([[1, 3, 4], [0, 2, 5]])
    whole = np.array(tokens)
    np.put_along_axis(whole, left[..., None], 0, axis=1)
    np.testing.assert_array_equal(place(kept, PLACES, 6), whole)


def test_no_token_lies_beyond_the_row():
    tokens, places = random(2, 6, 4), PLACES.at[1, 1].set(6)
    kept = take(tokens, places)
    assert np.isnan(kept[1, 1]).all() and np.isfinite(np.delete(kept[1], 1, 0)).all()
    assert np.isfinite(place(kept, places, 6)).all()


@pytest.mark.parametrize("patch", [(3,), (2, 1, 3)], ids=str)
def test_embedding_and_head_are_convolutions_in_steps_of_a_patch(patch):
    """With the same initial parameters, under the same names."""
    steps = {"kernel_size": patch, "strides": patch, "padding": "VALID"}

    @nnx.jit
    def make():
        embeddings = (
            PatchEmbedding(patch, 4, 5, rngs=nnx.Rngs(0)),
            nnx.Conv(4, 5, **steps, rngs=nnx.Rngs(0)),
        )
        zeros = nnx.initializers.zeros
        heads = (
            PatchHead(patch, 5, 4, rngs=nnx.Rngs(0)),
            nnx.ConvTranspose(5, 4, **steps, kernel_init=zeros, rngs=nnx.Rngs(0)),
        )
        return embeddings, heads

    pairs = make()
    for own, other in pairs:
        for name in ("kernel", "bias"):
            parameter = getattr(own, name)
            np.testing.assert_array_equal(parameter[...], getattr(other, name)[...])
            values = random(*parameter.shape, seed=len(name))
            parameter[...] = getattr(other, name)[...] = values

    @nnx.jit
    def compare(pairs, x):
        (embedding, convolution), (head, transposed) = pairs
        tokens, count = convolution(x), 2 ** len(patch)
        embedded = embedding(to_patches(x, patch).reshape(2, count, -1))
        patches = head(tokens.reshape(2, count, 5)).reshape(*tokens.shape[:-1], -1)
        points = from_patches(patches, patch)
        return embedded.reshape(tokens.shape), tokens, points, transposed(tokens)

    x = random(2, *(2 * p for p in patch), 4)
    embedded, tokens, points, wanted = compare(pairs, x)
    np.testing.assert_allclose(embedded, tokens, 1e-5, 1e-5)
    np.testing.assert_allclose(points, wanted, 1e-5, 1e-5)
