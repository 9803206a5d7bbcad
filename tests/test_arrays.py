"""Tolerances of points, and rows that are not finite."""

import numpy as np
import pytest

from wdno._arrays import evenly_spaced, not_finite, same_points

GRID = np.linspace(-2, 3, 41)
CELL = GRID[1] - GRID[0]


def nudged(by):
    """The grid with one point moved by so many cells."""
    return GRID + by * CELL * (np.arange(41) == 7)


@pytest.mark.parametrize("by", [0.9e-3, -0.9e-3])
def test_a_thousandth_of_a_cell_is_forgiven(by):
    assert same_points(nudged(by), GRID) and same_points(GRID.astype("f4"), GRID)


@pytest.mark.parametrize("by", [1.1e-3, -1.1e-3, np.nan])
def test_more_than_a_thousandth_of_a_cell_is_another_grid(by):
    assert not same_points(nudged(by), GRID)


def test_the_smallest_cell_counts():
    """A shift that is small on the scale of the wide cells is seen in the narrow."""
    stretched = np.array([0.0, 1e-3, 1.0])
    assert not same_points(stretched + 1e-5, stretched)


def test_numbers_of_points_count():
    assert not same_points(GRID[:1], GRID) and not same_points(GRID[:40], GRID)
    assert same_points(GRID[:0], GRID[:0])


def test_one_point_agrees_to_a_thousandth_of_its_size():
    assert same_points(np.array([2.001]), np.array([2.0]))
    assert not same_points(np.array([2.003]), np.array([2.0]))
    assert not same_points(np.array([1e-9]), np.array([0]))


def test_dates_are_equal_or_not():
    days = np.datetime64("2020-01-01") + np.arange(3)
    assert same_points(days, days.copy()) and not same_points(days, days + 1)
    assert not same_points(np.arange(3), days)


def test_even_steps_are_equal_to_a_thousandth_of_a_cell():
    assert evenly_spaced(GRID[::-1]) and evenly_spaced(GRID.astype("f4"))
    assert evenly_spaced(nudged(4e-4)) and not evenly_spaced(nudged(6e-4))
    assert not evenly_spaced(np.array([0.0, 1.0, 0.0]))
    assert evenly_spaced(GRID[:1])


def test_rows_that_are_not_finite_are_told_apart():
    rows = np.zeros((4, 2, 3))
    rows[1, 0, 2], rows[3, 1, 0] = np.nan, -np.inf
    assert not_finite(rows).tolist() == [False, True, False, True]
    assert not_finite(np.array([1, np.inf])).tolist() == [False, True]
    assert not_finite(np.zeros((2, 0))).tolist() == [False, False]
