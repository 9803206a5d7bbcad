"""Random forces have the distribution that they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.systems.forces import MOST, gaussian, random_forces

KEYS = jax.random.split(jax.random.key(0), 6)
TIME = jnp.linspace(0, 1, 200, dtype=jnp.float32)
X = jnp.linspace(0, 1, 30, dtype=jnp.float32)


def test_a_gaussian_has_its_centre_and_width():
    centre, width = jnp.asarray([[0.3]]), jnp.asarray([[0.1]])
    values = gaussian(jnp.asarray([0.3, 0.4, 0.1]), centre, width)[0, 0]
    np.testing.assert_allclose(values, np.exp([0.0, -0.5, -2.0]), rtol=1e-5)


def test_forces_have_the_mean_square_of_their_gaussians():
    """E f² = E n E a² E g_x² E (2 g_t)², since amplitudes have mean zero."""
    f = random_forces(KEYS, 4000, TIME, X, (0.1, 0.4))
    assert f.shape == (4000, 200, 30) and f.dtype == jnp.float32
    draw = np.random.default_rng(0)
    centre = draw.uniform(size=(2, 4000))[..., None]
    width = draw.uniform(0.1, 0.4, size=(2, 4000))[..., None]
    square = [
        np.exp(-((np.asarray(at) - c) ** 2) / w**2).mean()
        for at, c, w in zip((X, TIME), centre, width, strict=True)
    ]
    expected = (1 + (MOST - 1) / 2) * 0.75 * square[0] * 4 * square[1]
    assert float(jnp.square(f).mean()) == pytest.approx(expected, rel=0.05)
    assert abs(float(f.mean())) < 0.03 * np.sqrt(expected)


def test_spans_are_those_of_the_bursts():
    """Of a Gaussian in time the mean square slope is that of the values over 2 s²."""
    f = np.asarray(random_forces(KEYS, 500, TIME, X, (0.05, 0.05)))
    slope = np.gradient(f, np.asarray(TIME), axis=1)
    ratio = np.square(slope).mean() / np.square(f).mean()
    assert ratio == pytest.approx(1 / (2 * 0.05**2), rel=0.1)
