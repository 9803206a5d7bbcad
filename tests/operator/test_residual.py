"""Estimates of targets, what they leave open, and what the network is told of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from oracles import halved, wave

from wdno.operator import tasks
from wdno.operator.interpolation import repeated
from wdno.operator.residual import (
    Estimate,
    Interpolation,
    curvature_features,
    energy_share,
    residuals,
    restored,
)
from wdno.wavelets.layout import WaveletLayout

DIMS = ("time", "x")


def estimated(known, targets):
    """Estimates from every initial and coarse state in `known`."""
    derived = (*tasks.initial(("u", "v"), DIMS), *tasks.coarse(("u", "v"), DIMS))
    quantities = tuple(q for q in derived if q.name in known)
    given = dataclasses.replace(targets, fields=quantities)
    return Interpolation()(known, targets, given)


def wave_estimate(n, wavelet, levels, scale=1.0):
    """A layout of n by n samples, and its estimate of scale sin(2 pi (x - t))."""
    quantities = tasks.whole(("u",), DIMS)
    mode = ("periodization",) * 2
    layout = WaveletLayout(quantities, DIMS, (n, n), wavelet, mode, levels)
    u = scale * wave(n, n)
    known = {"u_coarse": halved(u[:, 1:]), "u0": jnp.asarray(u[:, 0])}
    return layout, estimated(known, layout)


@pytest.mark.parametrize("mode", ["periodization", "zero"])
def test_between_walls_estimates_vanish_at_both(mode):
    """Coarse states that do not, and an initial state, change nothing of that."""
    (u,) = tasks.whole(("u",), DIMS)
    walled = dataclasses.replace(u, walls=("x",))
    layout = WaveletLayout((walled,), DIMS, (4, 8), "haar", (mode,) * 2)
    known = {"u_coarse": jnp.full((1, 2, 4), 3.0), "u0": jnp.full((1, 8), 3.0)}
    estimate = estimated(known, layout)["u"]
    interior = [0, 1.5, 3, 3, 3, 3, 3, 1.5]
    np.testing.assert_allclose(estimate.mean[0, 1], interior)
    np.testing.assert_array_equal(estimate.mean[..., 0], 0)
    z = layout.synthesis(jnp.ones((1, 2, 4, len(layout.channels))))
    np.testing.assert_array_equal(restored(z, {"u": estimate})["u"][..., 0], 0)


def test_interpolation_wraps_around_where_the_wavelets_do():
    quantities = tasks.whole(("u",), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 6), "haar", ("periodization",) * 2)
    u = np.zeros((1, 2, 6)) + np.array([0.0, 1, 2, 3, 4, 5])
    known = {"u_coarse": halved(u), "u0": jnp.asarray(u[:, 0])}
    fine = estimated(known, layout)["u"].mean
    np.testing.assert_allclose(fine[0, -1], [0, 1, 2, 3, 4, 2])


def test_residuals_are_undone():
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"u": (2, 4, 8), "u0": (2, 8), "u_coarse": (2, 2, 4)}
    known = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    layout = WaveletLayout(
        tasks.whole(("u",), DIMS), DIMS, (4, 8), "haar", ("zero",) * 2
    )
    estimates = estimated(known, layout)
    z = residuals(known, estimates)
    assert float(abs(z["u"] - known["u"]).max()) > 0.1
    np.testing.assert_allclose(restored(z, estimates)["u"], known["u"], atol=1e-5)
    assert z["u0"] is known["u0"]


def test_only_coarse_states_make_an_estimate():
    quantities = tasks.whole(("u", "v"), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 4), "haar", ("zero",) * 2)
    known = {"u0": jnp.ones((1, 4)), "v0": jnp.ones((1, 4))}
    assert estimated(known, layout) == {}
    known |= {"u_coarse": jnp.full((1, 1, 2), 3.0)}
    estimates = estimated(known, layout)
    assert list(estimates) == ["u"]
    np.testing.assert_array_equal(estimates["u"].mean, [[[2.0] * 4, [3.0] * 4]])


def test_errors_of_residuals_count_by_the_square_of_their_scale():
    """Parseval, where the scale is the same all over a block of coefficients.

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
    scale = jnp.asarray(draw.uniform(0.1, 3, size=(2, 2, 2)))
    scale = scale.repeat(4, axis=1).repeat(4, axis=2)
    nothing = jnp.zeros((2, 8, 8)), jnp.zeros((2, 4, 4, 2))
    estimates = {"u": Estimate(nothing[0], scale, nothing[1])}
    weight = energy_share(layout, estimates)
    assert float(weight.mean()) == pytest.approx(1)
    sizes = []
    for _ in range(3):
        error = jnp.asarray(draw.normal(size=(2, 2, 2, len(layout.channels))))
        fields = layout.synthesis(error)
        physical = jnp.square(scale * fields["u"]) / power["u"]
        physical += jnp.square(fields["v"]) / power["v"]
        sizes.append(float((weight * jnp.square(error)).sum() / physical.sum()))
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-6)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("wavelet", ["haar", "bior2.4"])
def test_features_are_the_curvatures_where_their_coefficients_are(wavelet, levels):
    """Approximation coefficients over those of a constant, by PyWavelets."""
    layout, estimates = wave_estimate(32, wavelet, levels)
    (channels,) = curvature_features(layout, estimates)

    def approximation(x):
        return pywt.wavedec2(x, wavelet, "periodization", levels)[0]

    of_one = approximation(np.ones((32, 32)))
    for axis in range(2):
        fine = repeated(estimates["u"].features[..., axis])[0]
        expected = approximation(np.asarray(fine)) / of_one
        np.testing.assert_allclose(channels[0, ..., axis], expected, atol=1e-12)


def test_features_have_no_unit_and_look_alike_on_every_grid():
    """Curvatures of a wave fall with the square of the spacing, features do not."""
    sizes = []
    for n in (16, 32, 64):
        _, estimates = wave_estimate(n, "haar", 1)
        sizes.append(float(jnp.square(estimates["u"].features).mean()))
    np.testing.assert_allclose(sizes, sizes[-1], rtol=0.1)
    _, small = wave_estimate(64, "haar", 1, scale=0.5)
    np.testing.assert_allclose(small["u"].features, estimates["u"].features, atol=1e-3)


def test_models_without_coarse_states_have_no_features():
    quantities = tasks.whole(("u",), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 4), "haar", ("zero",) * 2)
    assert curvature_features(layout, {}) == []
    assert Interpolation().channels(layout, layout) == 0
    given = dataclasses.replace(
        layout, fields=(*tasks.initial(("u",), DIMS), *tasks.coarse(("u",), DIMS))
    )
    assert Interpolation().channels(layout, given) == 2
