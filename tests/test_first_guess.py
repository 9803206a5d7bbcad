"""Interpolated coarse states, how far they may be off, and departures from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno import tasks
from wdno.first_guess import (
    SMALLEST,
    Guess,
    departures,
    energy_share,
    first_guess,
    prolonged,
    restored,
    spread,
)
from wdno.layout import WaveletLayout

DIMS = ("time", "x")


def halved(u):
    """Every second sample of states, as a refiner is given them."""
    dims = ("time", "y", "x")[: u.ndim - 1]
    coarse = tasks.with_conditions({"u": u}, tasks.coarse(("u",), dims))["u_coarse"]
    return jnp.asarray(coarse)


def wave(points, frames, modes=1):
    """sin(2 pi (x - t)) on a ring, states at t_0 … t_frames."""
    time, x = np.arange(frames + 1) / frames, np.arange(points) / points
    return np.sin(2 * np.pi * modes * (x - time[:, None]))[None]


@pytest.mark.parametrize("space", [(8,), (4, 6)])
def test_interpolation_is_exact_where_states_are_linear(space):
    grid = np.meshgrid(np.arange(7.0), *map(np.arange, space), indexing="ij")
    u = 3.0 + 2 * grid[0] - grid[1] + 0.5 * grid[-1]
    mode = ("zero",) * (1 + len(space))
    fine = prolonged(halved(u[None, 1:]), jnp.asarray(u[None, 0]), mode)
    np.testing.assert_allclose(fine[0], u[1:], rtol=1e-6)


def test_interpolation_wraps_around_where_the_wavelets_do():
    u = np.zeros((1, 2, 6)) + np.array([0.0, 1, 2, 3, 4, 5])
    fine = prolonged(halved(u), jnp.asarray(u[:, 0]), ("periodization",) * 2)
    np.testing.assert_allclose(fine[0, -1], [0, 1, 2, 3, 4, 2])


def test_interpolation_keeps_the_coarse_samples():
    draw = np.random.default_rng(0)
    u, before = draw.normal(size=(2, 6, 8)), jnp.asarray(draw.normal(size=(2, 8)))
    fine = prolonged(halved(u), before, ("zero", "periodization"))
    np.testing.assert_allclose(fine[:, 1::2, ::2], u[:, 1::2, ::2], rtol=1e-6)


def test_the_spread_is_that_of_curvatures():
    """Of a wave: second differences -4 sin²(k h / 2) u along either axis."""
    u = wave(64, 32)
    given = halved(u[:, 1:]), jnp.asarray(u[:, 0]), ("zero", "periodization")
    came = np.asarray(spread(*given))[0, 4:-4, 4:-4]  # away from the ends
    curvatures = [4 * np.sin(np.pi / n) ** 2 for n in (16, 32)]
    coarse = np.square(u[0, 2::2, ::2]) * np.sum(np.square(curvatures))
    everywhere = SMALLEST**2 * coarse.mean()
    near = sum(np.roll(coarse, n, axis=1) for n in (-1, 0, 1)) / 3
    near = (near[:-2] + near[1:-1] + near[2:]) / 3
    expected = np.sqrt(near + everywhere).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(came, expected[2:-2, 4:-4], rtol=0.02)


def test_the_spread_falls_with_the_square_of_the_spacing_and_bounds_departures():
    largest, sizes = [], []
    for n in (16, 32, 64):
        u = wave(n, n)
        given = halved(u[:, 1:]), jnp.asarray(u[:, 0]), ("zero", "periodization")
        guess, width = prolonged(*given), spread(*given)
        largest.append(float(abs((u[:, 1:] - guess) / width).max()))
        sizes.append(float(width.mean()))
    order = np.log2(np.divide(sizes[:-1], sizes[1:]))
    np.testing.assert_allclose(order, 2, atol=0.15)
    assert max(largest) < 1 and max(largest) < 2 * min(largest)


@pytest.mark.parametrize("points", [2, 8])
def test_the_spread_of_states_at_rest_is_not_zero(points):
    rest = jnp.zeros((1, 2, points // 2))
    width = spread(rest, jnp.zeros((1, points)), ("zero", "zero"))
    assert width.shape == (1, 4, points) and (width > 0).all()


def test_departures_are_undone():
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"u": (2, 4, 8), "u0": (2, 8), "u_coarse": (2, 2, 4)}
    known = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    layout = WaveletLayout(
        tasks.whole(("u",), DIMS), DIMS, (4, 8), "haar", ("zero",) * 2
    )
    guesses = first_guess(known, layout)
    z = departures(known, guesses)
    assert float(abs(z["u"] - known["u"]).max()) > 0.1
    np.testing.assert_allclose(restored(z, guesses)["u"], known["u"], atol=1e-5)
    assert z["u0"] is known["u0"]


def test_only_coarse_states_make_a_first_guess():
    quantities = tasks.whole(("u", "v"), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 4), "haar", ("zero",) * 2)
    known = {"u0": jnp.ones((1, 4)), "v0": jnp.ones((1, 4))}
    assert first_guess(known, layout) == {}
    known |= {"u_coarse": jnp.full((1, 1, 2), 3.0)}
    guesses = first_guess(known, layout)
    assert list(guesses) == ["u"]
    np.testing.assert_array_equal(guesses["u"].states, [[[2.0] * 4, [3.0] * 4]])


def test_errors_of_departures_count_by_the_square_of_their_unit():
    """Parseval, where the unit is the same all over a block of coefficients.

    Each field counts in units of its own mean square.
    """
    draw = np.random.default_rng(0)
    mode = ("periodization",) * 2
    seen = {"u": draw.normal(size=(2, 8, 8)), "v": 5 * draw.normal(size=(2, 8, 8))}
    layout = WaveletLayout(
        tasks.whole(("u", "v"), DIMS), DIMS, (8, 8), "haar", mode, levels=2
    ).fit([{name: jnp.asarray(values) for name, values in seen.items()}])
    power = {name: np.mean(np.square(values)) for name, values in seen.items()}
    assert energy_share(layout, {}).shape == (len(layout.channels),)
    unit = jnp.asarray(draw.uniform(0.1, 3, size=(2, 2, 2)))
    unit = unit.repeat(4, axis=1).repeat(4, axis=2)
    guesses = {"u": Guess(jnp.zeros((2, 8, 8)), unit)}
    weight = energy_share(layout, guesses)
    assert float(weight.mean()) == pytest.approx(1)
    sizes = []
    for _ in range(3):
        error = jnp.asarray(draw.normal(size=(2, 2, 2, len(layout.channels))))
        fields = layout.synthesis(error)
        physical = jnp.square(unit * fields["u"]) / power["u"]
        physical += jnp.square(fields["v"]) / power["v"]
        sizes.append(float((weight * jnp.square(error)).sum() / physical.sum()))
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-6)
