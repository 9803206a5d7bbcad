"""The Kuramoto-Sivashinsky equation: order, growth of waves, statistics of chaos."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from wdno.systems import KuramotoSivashinsky, PhysicalSystem

KEY = jax.random.key(0)
SMALL = KuramotoSivashinsky(points=32, frames=4, duration=2.0, length=16.0)


def states(samples=3):
    """Attractor-like states of a few waves, in double precision."""
    x = np.arange(SMALL.points) / SMALL.points
    draw = np.random.default_rng(0)
    waves = draw.normal(size=(samples, 2, 1)) * np.sin(
        2 * np.pi * (draw.integers(1, 4, (samples, 2, 1)) * x + draw.random((2, 1)))
    )
    return jnp.asarray(waves.sum(axis=1))


def solved(u0, **changes):
    return np.asarray(dataclasses.replace(SMALL, **changes).solve({"u0": u0})["u"])


def test_it_agrees_with_an_implicit_method_for_stiff_equations():
    u0 = states(1)
    wave = 2 * np.pi * np.fft.rfftfreq(SMALL.points, SMALL.length / SMALL.points)
    kept = np.arange(len(wave)) < SMALL.points / 3

    def tendency(_, u):
        square = np.fft.rfft(u**2 / 2) * kept
        linear = (wave**2 - wave**4) * np.fft.rfft(u)
        return np.fft.irfft(linear - 1j * wave * square, SMALL.points)

    expected = solve_ivp(
        tendency,
        (0, SMALL.duration),
        np.asarray(u0[0]),
        "Radau",
        t_eval=SMALL.coords["time"][1:],
        rtol=1e-9,
        atol=1e-10,
    ).y.T
    np.testing.assert_allclose(solved(u0, substeps=64)[0], expected, atol=1e-7)


def test_the_error_falls_with_the_fourth_power_of_the_step():
    u0 = states()
    fine = solved(u0, substeps=512)
    errors = [np.abs(solved(u0, substeps=n) - fine).max() for n in (16, 32, 64)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 3.5).all() and (orders < 4.5).all()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_small_waves_grow_and_decay_at_their_rates(number):
    k = 2 * np.pi * number / SMALL.length
    x = SMALL.coords["x"]
    u = solved(jnp.asarray(1e-7 * np.sin(k * x))[None])[0]
    growth = np.exp((k**2 - k**4) * SMALL.coords["time"][1:, None])
    np.testing.assert_allclose(u, 1e-7 * growth * np.sin(k * x), atol=1e-13)


def test_mean_is_conserved_and_a_moving_frame_changes_nothing_else():
    u0 = states()
    rest, moving = solved(u0), solved(u0 + SMALL.length / SMALL.points / 0.5)
    np.testing.assert_allclose(rest.mean(-1), 0, atol=1e-12)
    for frame in range(SMALL.frames):  # one point an interval (Galilean invariance)
        moved = np.roll(rest[:, frame], frame + 1, axis=-1)
        np.testing.assert_allclose(moving[:, frame] - 1, moved, atol=2e-3)


def test_drawn_states_are_those_of_the_attractor():
    system = KuramotoSivashinsky(points=96)
    truth = system.trajectories(KEY, samples=16)
    assert isinstance(system, PhysicalSystem) and truth.u.dtype == np.float32
    early, late = (truth.u.isel(time=n).values for n in (0, -1))
    # the mean square does not drift, and is near 1.7 on rings that are long
    assert np.square(early).mean() == pytest.approx(np.square(late).mean(), rel=0.15)
    assert np.square(truth.u.values).mean() == pytest.approx(1.7, rel=0.2)
    # tiny differences grow: chaos
    u0 = jnp.asarray(early[:8], float)
    longer = system.over(120)
    wave = jnp.asarray(np.cos(2 * np.pi * np.arange(96) / 96))[None]
    near = longer.solve({"u0": u0 + 1e-7 * wave})
    apart = np.log(np.abs(near["u"] - longer.solve({"u0": u0})["u"]).max(-1))
    assert 0.03 < (apart[:, -1] - apart[:, 39]).mean() / 40 < 0.15


def test_gradients_are_those_of_differences():
    u0, way = states(2)

    def final(u):
        return SMALL.solve({"u0": u[None]})["u"][0, -1].sum() ** 2 + u @ u

    _, slope = jax.jvp(final, (u0,), (way,))
    step = 1e-5
    difference = (final(u0 + step * way) - final(u0 - step * way)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_parameters_that_make_no_sense_are_refused():
    for name in ("length", "substeps", "spin_up", "points"):
        with pytest.raises(ValueError, match=name):
            dataclasses.replace(SMALL, **{name: type(getattr(SMALL, name))(0)})
