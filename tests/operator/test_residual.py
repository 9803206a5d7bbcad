"""Estimates of targets, what they leave open, and what the network is told of it."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from oracles import halved, wave

from wdno.operator import Interpolation, tasks
from wdno.operator.interpolation import (
    around,
    curvatures,
    interpolation_error,
    repeated,
)
from wdno.operator.residual import (
    Estimate,
    energy_share,
    nothing_known,
    residuals,
    restored,
)
from wdno.wavelets.layout import WaveletLayout

DIMS = ("time", "x")
# each a program, not one for every operation
analysis = jax.jit(WaveletLayout.analysis, static_argnums=0)
synthesis = jax.jit(WaveletLayout.synthesis, static_argnums=0)


@partial(jax.jit, static_argnames="targets")
def estimated(known, targets):
    """Estimate from every initial and coarse state in `known`."""
    derived = (*tasks.initial(("u", "v"), DIMS), *tasks.coarse(("u", "v"), DIMS))
    quantities = tuple(q for q in derived if q.name in known)
    given = dataclasses.replace(targets, fields=quantities)
    return Interpolation()(known, given.analysis(known), targets, given)


def wave_estimate(n, wavelet, levels, scale=1.0):
    """A layout of n by n samples, and its estimate of scale sin(2 pi (x - t))."""
    quantities = tasks.whole(("u",), DIMS)
    mode = ("periodization",) * 2
    layout = WaveletLayout(quantities, DIMS, (n, n), wavelet, mode, levels)
    u = scale * wave(n, n)
    known = {"u_coarse": halved(u[:, 1:]), "u0": jnp.asarray(u[:, 0])}
    return layout, known, estimated(known, layout)


@pytest.mark.parametrize("mode", ["periodization", "zero"])
def test_between_walls_estimates_vanish_at_both(mode):
    """Coarse states that do not, and an initial state, change nothing of that."""
    (u,) = tasks.whole(("u",), DIMS)
    walled = dataclasses.replace(u, walls=("x",))
    layout = WaveletLayout((walled,), DIMS, (4, 8), "haar", (mode,) * 2)
    known = {"u_coarse": jnp.full((1, 2, 4), 3.0), "u0": jnp.full((1, 8), 3.0)}
    estimate = estimated(known, layout)
    mean = synthesis(layout, estimate.mean)["u"]
    interior = [0, 1.5, 3, 3, 3, 3, 3, 1.5]
    np.testing.assert_allclose(mean[0, 1], interior, atol=1e-12)
    np.testing.assert_array_equal(mean[..., 0], 0)
    z = restored(jnp.ones((1, 2, 4, len(layout.channels))), estimate)
    np.testing.assert_array_equal(synthesis(layout, z)["u"][..., 0], 0)


def test_interpolation_wraps_around_where_the_wavelets_do():
    quantities = tasks.whole(("u",), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 6), "haar", ("periodization",) * 2)
    u = np.zeros((1, 2, 6)) + np.array([0.0, 1, 2, 3, 4, 5])
    known = {"u_coarse": halved(u), "u0": jnp.asarray(u[:, 0])}
    fine = synthesis(layout, estimated(known, layout).mean)["u"]
    np.testing.assert_allclose(fine[0, -1], [0, 1, 2, 3, 4, 2], atol=1e-12)


@pytest.mark.parametrize("wavelet", ["haar", "bior2.4"])
def test_residuals_are_undone(wavelet):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {"u": (2, 8, 16), "u0": (2, 16), "u_coarse": (2, 4, 8)}
    known = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    mode = ("periodization",) * 2
    layout = WaveletLayout(tasks.whole(("u",), DIMS), DIMS, (8, 16), wavelet, mode)
    estimate = estimated(known, layout)
    z = analysis(layout, known)
    r = residuals(z, estimate)
    assert float(abs(r - z).max()) > 0.1
    np.testing.assert_allclose(restored(r, estimate), z, atol=1e-5)


@pytest.mark.parametrize("wavelet", ["haar", "bior2.4", "db3"])
def test_scales_are_positive_whatever_the_signs_of_a_wavelet(wavelet):
    """Also beside a front, where local means of long wavelets overshoot."""
    layout = WaveletLayout(
        tasks.whole(("u",), DIMS), DIMS, (16, 32), wavelet, ("periodization",) * 2
    )
    u = jnp.broadcast_to(jnp.where(jnp.arange(32) < 16, 1.0, 0.0), (1, 16, 32))
    known = {"u_coarse": halved(u), "u0": u[:, 0]}
    assert float(estimated(known, layout).scale.min()) > 0


def test_only_coarse_states_make_an_estimate():
    quantities = tasks.whole(("u", "v"), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 4), "haar", ("zero",) * 2)
    known = {"u0": jnp.ones((1, 4)), "v0": jnp.ones((1, 4))}
    nothing = estimated(known, layout)
    assert nothing.features.shape[-1] == 0
    z = jax.random.normal(jax.random.key(0), nothing.mean.shape)
    np.testing.assert_array_equal(residuals(z, nothing), z)
    known |= {"u_coarse": jnp.full((1, 1, 2), 3.0)}
    estimate = estimated(known, layout)
    mean = synthesis(layout, estimate.mean)
    np.testing.assert_allclose(mean["u"], [[[2.0] * 4, [3.0] * 4]], rtol=1e-6)
    np.testing.assert_array_equal(mean["v"], 0)
    of_v = [channel.startswith("v:") for channel in layout.channels]
    np.testing.assert_array_equal(estimate.scale[..., np.array(of_v)], 1)
    assert float(abs(estimate.scale[..., ~np.array(of_v)] - 1).min()) > 0.01


def test_residuals_are_in_units_of_the_local_error_of_interpolation():
    """With blocks of coefficients that lie where the error does, exactly."""
    layout, known, estimate = wave_estimate(16, "haar", 1)
    error = interpolation_error(curvatures(known["u_coarse"], known["u0"], (around,)))
    local = {"u": known_wave(16)[:, 1:] / error}
    mean = {"u": synthesis(layout, estimate.mean)["u"] / error}
    expected = analysis(layout, local) - analysis(layout, mean)
    found = residuals(analysis(layout, {"u": known_wave(16)[:, 1:]}), estimate)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def known_wave(n):
    return jnp.asarray(wave(n, n))


def test_errors_of_residuals_count_by_the_square_of_their_scale():
    """Parseval: each field counts in units of its own mean square."""
    draw = np.random.default_rng(0)
    mode = ("periodization",) * 2
    seen = {"u": draw.normal(size=(2, 8, 8)), "v": 5 * draw.normal(size=(2, 8, 8))}
    layout = WaveletLayout(
        tasks.whole(("u", "v"), DIMS), DIMS, (8, 8), "haar", mode, levels=2
    ).fit([{name: jnp.asarray(values) for name, values in seen.items()}])
    power = {name: np.mean(np.square(values)) for name, values in seen.items()}
    assert energy_share(layout, None).shape == (len(layout.channels),)
    z = analysis(layout, {name: jnp.asarray(values) for name, values in seen.items()})
    scale = jnp.asarray(draw.uniform(0.1, 3, size=(2, 2, 2, 1)))
    estimate = nothing_known(z, layout)._replace(
        scale=scale * jnp.asarray(draw.uniform(0.1, 3, size=(1, 1, 1, z.shape[-1])))
    )
    weight = energy_share(layout, estimate)
    assert float(weight.mean()) == pytest.approx(1)
    sizes = []
    for _ in range(3):
        r = jnp.asarray(draw.normal(size=z.shape))
        fields = synthesis(layout, estimate.scale * r)
        physical = sum(jnp.square(fields[name]).sum() / power[name] for name in "uv")
        sizes.append(float((weight * jnp.square(r)).sum() / physical))
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-6)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("wavelet", ["haar", "bior2.4"])
def test_features_are_the_curvatures_where_their_coefficients_are(wavelet, levels):
    """Approximation coefficients over those of a constant, by PyWavelets."""
    _, known, estimate = wave_estimate(32, wavelet, levels)
    second = curvatures(known["u_coarse"], known["u0"], (around,))
    in_units = second / interpolation_error(second)[:, ::2, ::2, None]

    def approximation(x):
        return pywt.wavedec2(x, wavelet, "periodization", levels)[0]

    of_one = approximation(np.ones((32, 32)))
    for axis in range(2):
        fine = repeated(in_units[..., axis])[0]
        expected = approximation(np.asarray(fine)) / of_one
        np.testing.assert_allclose(
            estimate.features[0, ..., axis], expected, atol=1e-12
        )


def test_features_have_no_unit_and_look_alike_on_every_grid():
    """Curvatures of a wave fall with the square of the spacing, features do not."""
    sizes = []
    for n in (16, 32, 64):
        estimate = wave_estimate(n, "haar", 1)[-1]
        sizes.append(float(jnp.square(estimate.features).mean()))
    np.testing.assert_allclose(sizes, sizes[-1], rtol=0.1)
    small = wave_estimate(64, "haar", 1, scale=0.5)[-1]
    np.testing.assert_allclose(small.features, estimate.features, atol=1e-3)


def test_models_without_coarse_states_have_no_features():
    quantities = tasks.whole(("u",), DIMS)
    layout = WaveletLayout(quantities, DIMS, (2, 4), "haar", ("zero",) * 2)
    assert Interpolation().channels(layout, layout) == 0
    given = dataclasses.replace(
        layout, fields=(*tasks.initial(("u",), DIMS), *tasks.coarse(("u",), DIMS))
    )
    assert Interpolation().channels(layout, given) == 2


def test_an_estimate_is_a_value_of_jax():
    """Leading axis first, so that rows can be taken from it."""
    estimate = wave_estimate(16, "haar", 1)[-1]
    assert isinstance(jax.tree.map(lambda part: part[:1], estimate), Estimate)
