"""Operators on cells and faces, and the carrying of a scalar, against exact results."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate, shift

from wdno.systems.smoke.staggered import Faces, advect, at_centres, divergence, gradient

ROWS, COLUMNS = 9, 12

carry = jax.jit(advect, static_argnums=2)


def normal(*shape, seed=0):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape))


def rough(seed=0, batch=2, rows=ROWS, columns=COLUMNS):
    """Random velocities on all faces."""
    return Faces(
        normal(batch, rows, columns + 1, seed=seed),
        normal(batch, rows + 1, columns, seed=seed + 1),
    )


def uniform(x, y, rows=ROWS, columns=COLUMNS):
    return Faces(
        jnp.full((1, rows, columns + 1), float(x)),
        jnp.full((1, rows + 1, columns), float(y)),
    )


def inside(margin, rows=ROWS, columns=COLUMNS):
    """A random scalar that is zero near the border."""
    values = normal(1, rows - 2 * margin, columns - 2 * margin)
    return jnp.pad(values, ((0, 0), (margin, margin), (margin, margin)))


def test_gradient_is_minus_the_adjoint_of_divergence():
    scalar, velocity = normal(2, ROWS, COLUMNS, seed=5), rough()
    slope = gradient(scalar)
    work = (slope.x * velocity.x).sum() + (slope.y * velocity.y).sum()
    np.testing.assert_allclose(work, -(scalar * divergence(velocity)).sum(), rtol=1e-12)


def test_a_uniform_flow_has_no_divergence():
    assert not np.any(divergence(uniform(1.7, -0.4)))


def test_a_source_flows_out_of_its_cell_alone():
    velocity = uniform(0, 0)
    x = velocity.x.at[0, 3, 5].add(1.0)
    y = velocity.y.at[0, 7, 2].add(1.0)
    expected = np.zeros((1, ROWS, COLUMNS))
    expected[0, 3, 4:6] = 1, -1
    expected[0, 6:8, 2] = 1, -1
    np.testing.assert_array_equal(divergence(Faces(x, y)), expected)


def test_divergence_of_the_gradient_is_the_five_point_laplacian():
    scalar = normal(1, ROWS, COLUMNS)
    stencil = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    expected = correlate(scalar[0], np.array(stencil, float), mode="constant")
    np.testing.assert_allclose(divergence(gradient(scalar))[0], expected, atol=1e-12)


def test_beyond_the_grid_the_scalar_is_zero():
    scalar = normal(2, ROWS, COLUMNS)
    slope = gradient(scalar)
    assert slope.x.shape == (2, ROWS, COLUMNS + 1)
    assert slope.y.shape == (2, ROWS + 1, COLUMNS)
    np.testing.assert_array_equal(slope.x[:, :, 0], scalar[:, :, 0])
    np.testing.assert_array_equal(slope.x[:, :, -1], -scalar[:, :, -1])
    np.testing.assert_array_equal(slope.y[:, 0], scalar[:, 0])
    np.testing.assert_array_equal(slope.y[:, -1], -scalar[:, -1])


def test_linear_velocities_are_exact_in_the_middle_of_cells():
    edge_x, edge_y = np.arange(COLUMNS + 1) - 0.5, np.arange(ROWS + 1) - 0.5
    row, column = np.arange(ROWS), np.arange(COLUMNS)

    def linear(y, x):
        return jnp.asarray(3 * x[None, None] - 2 * y[None, :, None] + 1)

    x, y = at_centres(Faces(linear(row, edge_x), -linear(edge_y, column)))
    np.testing.assert_allclose(x, linear(row, column), atol=1e-12)
    np.testing.assert_allclose(y, -linear(row, column), atol=1e-12)


def test_rest_changes_nothing():
    scalar = normal(1, ROWS, COLUMNS)
    for velocity, step in ((uniform(0, 0), 1.0), (uniform(3, -2), 0.0)):
        np.testing.assert_allclose(carry(scalar, velocity, step), scalar, atol=1e-12)


@pytest.mark.parametrize(("right", "up"), [(2, 0), (0, 1), (-3, 0), (1, -2), (-1, 3)])
def test_a_whole_shift_moves_cells_exactly(right, up):
    scalar = inside(3)
    moved = carry(scalar, uniform(right / 0.5, up / 0.5), 0.5)
    np.testing.assert_array_equal(moved, np.roll(scalar, (up, right), (1, 2)))


@pytest.mark.parametrize(("right", "up"), [(0.3, 0.8), (-1.6, 0.1), (2.5, -1.25)])
def test_a_uniform_shift_interpolates_linearly_and_keeps_the_sum(right, up):
    scalar = inside(3)
    moved = carry(scalar, uniform(right, up), 1.0)
    expected = shift(np.asarray(scalar[0]), (up, right), order=1, mode="grid-constant")
    np.testing.assert_allclose(moved[0], expected, atol=1e-12)
    np.testing.assert_allclose(moved.sum(), scalar.sum(), atol=1e-6)


def test_from_before_the_first_row_and_column_comes_what_is_there():
    scalar = normal(1, ROWS, COLUMNS)
    moved = carry(scalar, uniform(2.5, 0), 1.0)
    ends = jnp.repeat(scalar[:, :, :1], 3, axis=2)
    np.testing.assert_allclose(moved[:, :, :3], ends, rtol=1e-12)
    moved = carry(scalar, uniform(0, 100.5), 1.0)
    np.testing.assert_allclose(moved, jnp.broadcast_to(scalar[:, :1], moved.shape))


def test_from_beyond_the_last_row_and_column_comes_nothing():
    """Not even a share of the last value, less than a cell beyond it."""
    ones = jnp.ones((1, ROWS, COLUMNS))
    moved = carry(ones, uniform(-0.25, 0), 1.0)
    assert not np.any(moved[:, :, -1]) and np.all(moved[:, :, :-1] == 1)
    moved = carry(ones, uniform(0, -2.25), 1.0)
    assert not np.any(moved[:, -3:]) and np.all(moved[:, :-3] == 1)
    assert not np.any(carry(ones, uniform(-100, 0), 1.0))


def test_the_last_row_and_column_themselves_are_inside():
    scalar = normal(1, ROWS, COLUMNS)
    moved = carry(scalar, uniform(-1, -1), 1.0)
    np.testing.assert_allclose(moved[:, :-1, :-1], scalar[:, 1:, 1:], atol=1e-12)


def test_each_cell_looks_back_along_its_own_velocity():
    scalar, velocity = normal(1, ROWS, COLUMNS), rough(batch=1)
    moved = carry(scalar, velocity, 0.5)
    scalar, (x_faces, y_faces) = np.asarray(scalar[0]), map(np.asarray, velocity)
    for j, i in ((2, 3), (4, 6), (6, 8)):
        y = j - 0.25 * (y_faces[0, j, i] + y_faces[0, j + 1, i])
        x = i - 0.25 * (x_faces[0, j, i] + x_faces[0, j, i + 1])
        weight = np.maximum(1 - np.abs(np.arange(ROWS) - y), 0)[:, None]
        weight = weight * np.maximum(1 - np.abs(np.arange(COLUMNS) - x), 0)
        np.testing.assert_allclose(moved[0, j, i], (weight * scalar).sum())


@given(st.integers(0, 10**6), st.floats(0.01, 30))
def test_no_new_extremes_arise(seed, speed):
    scalar = normal(1, ROWS, COLUMNS, seed=seed)
    velocity = jax.tree.map(lambda v: speed * v, rough(seed, batch=1))
    moved = carry(scalar, velocity, 1.0)
    assert moved.max() <= max(scalar.max(), 0) + 1e-12
    assert moved.min() >= min(scalar.min(), 0) - 1e-12


def bump(x, y):
    return np.exp(-((x**2 + y**2) / 0.3**2))


def orders(errors):
    return np.log2(np.divide(errors[:-1], errors[1:]))


def on_square(count):
    """Spacing and the centres of count x count cells of the square [-1, 1]²."""
    spacing = 2 / count
    return spacing, (np.arange(count) + 0.5) * spacing - 1


def test_one_step_interpolates_to_second_order():
    errors = []
    for count in (40, 80, 160):
        spacing, at = on_square(count)
        scalar = jnp.asarray(bump(at, at[:, None]))[None]
        velocity = uniform(0.5, -0.5, count, count)
        exact = bump(at - 0.5 * spacing, at[:, None] + 0.5 * spacing)
        errors.append(np.linalg.norm(carry(scalar, velocity, 1.0)[0] - exact) / count)
    assert np.all(np.abs(orders(errors) - 2) < 0.1), orders(errors)


@partial(jax.jit, static_argnums=(2, 3))
def carry_on(scalar, velocity, step, steps):
    return jax.lax.scan(
        lambda scalar, _: (advect(scalar, velocity, step), None), scalar, length=steps
    )[0]


def test_a_turning_flow_is_followed_to_first_order():
    """A quarter of a turn about the middle."""
    errors = []
    for count in (50, 100, 200):
        spacing, at = on_square(count)
        turning = Faces(
            jnp.asarray(-np.tile(at[:, None], (1, count + 1)) / spacing)[None],
            jnp.asarray(np.tile(at, (count + 1, 1)) / spacing)[None],
        )
        scalar = jnp.asarray(bump(at - 0.3, at[:, None]))[None]
        turned = carry_on(scalar, turning, np.pi / count, count // 2)
        error = turned[0] - bump(at, at[:, None] - 0.3)
        errors.append(np.linalg.norm(error) / count)
    assert errors[-1] < 0.02
    assert np.all(np.abs(orders(errors) - 1) < 0.2), orders(errors)


def test_gradient_equals_finite_differences():
    scalar, velocity = normal(2, ROWS, COLUMNS, seed=3), rough()
    weights = normal(2, ROWS, COLUMNS, seed=4)
    along = normal(2, ROWS, COLUMNS, seed=7), rough(seed=8)

    @jax.jit
    def value(scalar, velocity):
        return (weights * advect(scalar, velocity, 0.3)).sum()

    def moved(h):
        return value(*jax.tree.map(lambda v, d: v + h * d, (scalar, velocity), along))

    slopes = jax.grad(value, argnums=(0, 1))(scalar, velocity)
    slope = sum(
        jax.tree.leaves(jax.tree.map(lambda s, d: (s * d).sum(), slopes, along))
    )
    assert all(np.abs(part).max() > 0.1 for part in jax.tree.leaves(slopes))
    np.testing.assert_allclose(slope, (moved(1e-6) - moved(-1e-6)) / 2e-6, rtol=1e-6)


def test_rows_are_independent_and_single_precision_stays():
    scalar, velocity = jax.tree.map(
        lambda v: v.astype(jnp.float32), (normal(2, ROWS, COLUMNS), rough())
    )
    both = carry(scalar, velocity, 0.7)
    alone = carry(scalar[1:], Faces(velocity.x[1:], velocity.y[1:]), 0.7)
    assert both.dtype == np.float32
    np.testing.assert_allclose(both[1:], alone, atol=1e-6)
    assert not np.allclose(both[0], both[1])
