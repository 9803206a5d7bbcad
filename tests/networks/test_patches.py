"""Patches of grids, and tokens by their places."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_networks import random

from wdno.networks.patches import (
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
