"""Space in tiles."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdno.operator.tiles import Tiles


@pytest.mark.parametrize(("shape", "space"), [((2,), (8,)), ((2, 3), (4, 9))])
def test_joined_is_the_inverse_of_split(shape, space):
    tiles = Tiles(shape)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, *space, 2)))
    numbers = tiles.acting_on(space)
    cut = tiles.split(x, numbers)
    assert cut.shape == (3, len(numbers), 2 * tiles.size)
    np.testing.assert_array_equal(tiles.joined(cut, numbers, space), x)


def test_other_tiles_are_zero():
    tiles = Tiles((2, 2), acting=(1, 2))
    x = jnp.ones((1, 4, 4, 1))
    found = tiles.joined(tiles.split(x, (1, 2)), (1, 2), (4, 4))[0, ..., 0]
    np.testing.assert_array_equal(found, np.kron([[0, 1], [1, 0]], np.ones((2, 2))))


def test_pairs_touch_corners_included():
    whole = Tiles((2, 2)).pairs((6, 6))
    assert len(whole) == 4 * 4 + 4 * 6 + 9
    few = Tiles((2, 2), acting=(0, 1, 4, 8)).pairs((6, 6))
    assert {pair for pair in few if pair[0] == 2} == {(2, n) for n in range(4)}
    assert (0, 3) not in few


@pytest.mark.parametrize("acting", [(1, 1), (2, 1), (-1, 2)])
def test_numbers_that_do_not_ascend_are_refused(acting):
    with pytest.raises(ValueError, match="numbers that ascend from 0"):
        Tiles((2,), acting)


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fill a grid"):
        Tiles((3,)).acting_on((8,))
    with pytest.raises(ValueError, match="do not fill a grid"):
        Tiles((4,)).acting_on((8, 8))
    with pytest.raises(ValueError, match="has 2 tiles, but there is a tile number 2"):
        Tiles((4,), acting=(2,)).acting_on((8,))
    with pytest.raises(ValueError, match="Counts are whole numbers"):
        Tiles((0,))
