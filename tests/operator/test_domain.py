"""Domains: axes of even spacing, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wdno.operator.domain import Domain

DIMS = ("time", "y", "x")


def test_coordinates_have_one_instant_more_than_frames():
    coords = Domain((2.0, 0.5), (0.25, 0.125)).coords(("time", "x"), (4, 3))
    assert list(coords) == ["time", "x"]
    np.testing.assert_array_equal(coords["time"], [2.0, 2.25, 2.5, 2.75, 3.0])
    np.testing.assert_array_equal(coords["x"], [0.5, 0.625, 0.75])


def test_domain_of_axes_gives_them_back():
    axes = {"time": np.arange(5) * 0.1, "x": 0.5 + np.arange(8) / 8}
    domain = Domain.of(axes)
    again = domain.coords(("time", "x"), (4, 8))
    for name, points in axes.items():
        np.testing.assert_allclose(again[name], points, atol=1e-12)


finite = st.floats(-1e3, 1e3)
steps = st.floats(1e-2, 1e2)


@given(st.tuples(finite, finite, finite), st.tuples(steps, steps, steps))
def test_coordinates_of_a_domain_give_it_back(start, spacing):
    domain = Domain(start, spacing)
    again = Domain.of(domain.coords(DIMS, (1, 2, 5)))
    assert again.start == start
    np.testing.assert_allclose(again.spacing, spacing, rtol=1e-9)


def test_axes_may_be_counted_and_run_downwards():
    domain = Domain.of({"time": np.arange(3), "y": np.array([3.0, 1.0, -1.0])})
    assert domain == Domain((0.0, 3.0), (1.0, -2.0))
    assert {type(number) for number in (*domain.start, *domain.spacing)} == {float}
    np.testing.assert_array_equal(domain.coords(DIMS[:2], (2, 3))["y"], [3, 1, -1])


def test_axes_of_single_precision_are_even():
    tenths = np.arange(401, dtype=np.float32) * np.float32(0.1)
    assert np.ptp(np.diff(tenths)) > 0
    np.testing.assert_allclose(Domain.of({"x": tenths}).spacing, 0.1, rtol=1e-6)


def test_a_step_may_be_off_by_less_than_a_thousandth():
    near, far = (np.array([0.0, 1.0, 2.0, 3.0 + off]) for off in (8e-4, 2e-3))
    (spacing,) = Domain.of({"x": near}).spacing  # the mean: no drift over the axis
    assert spacing == pytest.approx(np.diff(near).mean(), rel=1e-12)
    with pytest.raises(ValueError, match="evenly spaced, but 'x' has the 4 points"):
        Domain.of({"x": far})


def test_uneven_axes_are_refused():
    gap = np.array([0.0, 0.1, 0.3, 0.4])
    with pytest.raises(ValueError, match="evenly spaced, but 'time' has the 4 points"):
        Domain.of({"x": np.arange(3), "time": gap})
    down = np.array([3.0, 2.0, 0.0])
    with pytest.raises(ValueError, match="fill the gaps"):
        Domain.of({"y": down})


@pytest.mark.parametrize("count", [0, 1, 3])
def test_axes_without_a_spacing_are_refused(count):
    with pytest.raises(ValueError, match=rf"'time' has the {count} points.*uniform"):
        Domain.of({"time": np.zeros(count)})


@pytest.mark.parametrize(
    ("start", "spacing"),
    [
        ((), ()),
        ((0.0,), (1.0, 1.0)),
        ((np.nan, 0.0), (1.0, 1.0)),
        ((0.0, 0.0), (1.0, np.inf)),
        ((0.0, 0.0), (1.0, 0.0)),
        ((0.0, 0.0), (-1.0, 1.0)),
    ],
)
def test_a_domain_has_coordinates_and_time_goes_on(start, spacing):
    with pytest.raises(ValueError, match="but got"):
        Domain(start, spacing)


def test_coordinates_need_a_name_and_an_extent_for_every_axis():
    domain = Domain((0.0, 0.0), (1.0, 1.0))
    for dims, grid in ((DIMS, (4, 3)), (DIMS[:2], (4,)), (DIMS[:2], (4, 3, 2))):
        with pytest.raises(ValueError, match="zip"):
            domain.coords(dims, grid)


def test_points_stay_where_they_are_on_a_finer_grid_and_cells_keep_their_ends():
    domain = Domain((0.0, 0.5, 0.5), (0.25, 1.0, 1.0))
    finer = domain.scaled({"time": 1.0, "y": 0.5, "x": 0.5}, {"x"})
    assert finer == Domain((0.0, 0.5, 0.25), (0.25, 0.5, 0.5))
