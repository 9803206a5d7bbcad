"""Interpolated coarse states, and how far they may be off."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import halved, wave

from wdno.operator import interpolation
from wdno.operator.interpolation import (
    SMALLEST,
    around,
    curvatures,
    doubled,
    interpolation_error,
    level,
    odd,
    repeated,
    straight,
)

# each a program, not one for every operation
prolonged = jax.jit(interpolation.prolonged, static_argnums=2)
parted = jax.jit(interpolation.parted, static_argnums=(1, 2))


@partial(jax.jit, static_argnums=2)
def expected_error(coarse, before, continued):
    return interpolation_error(curvatures(coarse, before, continued))


@pytest.mark.parametrize("frames", [2, 6])
@pytest.mark.parametrize("space", [(8,), (4, 6)])
def test_interpolation_is_exact_where_states_are_linear(space, frames):
    grid = np.meshgrid(np.arange(frames + 1.0), *map(np.arange, space), indexing="ij")
    u = 3.0 + 2 * grid[0] - grid[1] + 0.5 * grid[-1]
    continued = (straight,) * len(space)
    fine = prolonged(halved(u[None, 1:]), jnp.asarray(u[None, 0]), continued)
    np.testing.assert_allclose(fine[0], u[1:], rtol=1e-6)


def test_states_go_on_as_their_walls_or_wavelets_say():
    u = jnp.asarray([[0.0, 1, 2, 4]])
    np.testing.assert_array_equal(odd(u, 1), [[-1, 0, 1, 2, 4, 0]])
    np.testing.assert_array_equal(around(u, 1), [[4, 0, 1, 2, 4, 0]])
    np.testing.assert_array_equal(straight(u, 1), [[-1, 0, 1, 2, 4, 6]])


def test_interpolation_keeps_the_coarse_samples():
    draw = np.random.default_rng(0)
    u, before = draw.normal(size=(2, 6, 8)), jnp.asarray(draw.normal(size=(2, 8)))
    fine = prolonged(halved(u), before, (around,))
    np.testing.assert_allclose(fine[:, 1::2, ::2], u[:, 1::2, ::2], rtol=1e-6)


def test_curvatures_are_second_differences_along_each_axis():
    """Of parabolas t² + 3 x²: those of samples two apart, and none beyond the ends."""
    time, x = np.arange(9.0)[:, None], np.arange(12.0)
    u = (time**2 + 3 * x**2)[None]
    came = curvatures(halved(u[:, 1:]), jnp.asarray(u[:, 0]), (straight,))
    expected = np.zeros((4, 6, 2))
    expected[:-1, :, 0], expected[:, 1:-1, 1] = 8, 24
    np.testing.assert_allclose(came[0], expected)


def test_the_error_is_that_of_curvatures():
    """Of a wave: second differences -4 sin²(k h / 2) u along either axis."""
    u = wave(64, 32)
    given = halved(u[:, 1:]), jnp.asarray(u[:, 0]), (around,)
    came = np.asarray(expected_error(*given))[0, 4:-4, 4:-4]  # away from the ends
    factors = [4 * np.sin(np.pi / n) ** 2 for n in (16, 32)]
    coarse = np.square(u[0, 2::2, ::2]) * np.sum(np.square(factors))
    everywhere = SMALLEST**2 * coarse.mean()
    near = sum(np.roll(coarse, n, axis=1) for n in (-1, 0, 1)) / 3
    near = (near[:-2] + near[1:-1] + near[2:]) / 3
    expected = np.sqrt(near + everywhere).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(came, expected[2:-2, 4:-4], rtol=0.02)


def test_the_error_falls_with_the_square_of_the_spacing_and_bounds_residuals():
    largest, sizes = [], []
    for n in (16, 32, 64):
        u = wave(n, n)
        given = halved(u[:, 1:]), jnp.asarray(u[:, 0]), (around,)
        mean, scale = prolonged(*given), expected_error(*given)
        largest.append(float(abs((u[:, 1:] - mean) / scale).max()))
        sizes.append(float(scale.mean()))
    order = np.log2(np.divide(sizes[:-1], sizes[1:]))
    np.testing.assert_allclose(order, 2, atol=0.15)
    assert max(largest) < 1 and max(largest) < 2 * min(largest)


@pytest.mark.parametrize("points", [2, 8])
def test_the_error_of_states_at_rest_is_not_zero(points):
    rest = jnp.zeros((1, 2, points // 2))
    scale = expected_error(rest, jnp.zeros((1, points)), (straight,))
    assert scale.shape == (1, 4, points) and (scale > 0).all()


def test_samples_are_repeated_along_every_axis():
    u = jnp.arange(4.0).reshape(1, 2, 2)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(repeated(u)[0], expected)


def test_twice_the_samples_on_one_axis_have_means_between_them():
    u = jnp.asarray([[1.0, 3.0, 2.0]])
    np.testing.assert_array_equal(doubled(u, 1, level), [[1, 2, 3, 2.5, 2, 2]])
    np.testing.assert_array_equal(doubled(u, 1, straight), [[1, 2, 3, 2.5, 2, 1.5]])
    np.testing.assert_array_equal(doubled(u, 1, around), [[1, 2, 3, 2.5, 2, 1.5]])


@pytest.mark.parametrize("continued", [straight, around])
def test_parted_cells_keep_their_means(continued):
    means = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 8)))
    fine = parted(means, 2, continued)
    np.testing.assert_allclose(fine.reshape(2, 3, 8, 2).mean(axis=3), means, atol=1e-12)


def test_parabolas_are_parted_exactly_and_waves_with_third_order():
    ends = np.linspace(0.0, 1.0, 17)
    means = 16 * np.diff(ends**3 - 2 * ends**2)  # of 3 x² - 4 x
    coarse = jnp.asarray(means.reshape(1, 8, 2).mean(axis=2))
    fine = parted(coarse, 1, straight)
    np.testing.assert_allclose(fine[0, 2:-2], means[2:-2], atol=1e-12)
    errors = []
    for cells in (32, 64, 128):
        ends = np.linspace(0.0, 2 * np.pi, cells + 1)
        means = cells * np.diff(np.sin(ends))[None] / (2 * np.pi)
        coarse = jnp.asarray(means.reshape(1, -1, 2).mean(axis=2))
        errors.append(float(abs(parted(coarse, 1, around) - means).max()))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 3, atol=0.1)
