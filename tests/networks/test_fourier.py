"""The Fourier operator: spectral convolutions are those of NumPy's transform."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import call, random

from wdno.networks.fourier import SpectralConvolution


def convolve(x, weight):
    """Multiply low frequencies of the zero-padded grid, all by NumPy's FFT."""
    axes = tuple(range(1, x.ndim - 1))
    doubled = [2 * n for n in x.shape[1:-1]]
    spectrum = np.fft.rfftn(x, doubled, axes=axes)
    kept = np.zeros_like(spectrum)
    signed = [range(-(m // 2), m // 2) for m in weight.shape[1:-3]]
    for k in itertools.product(*signed, range(weight.shape[-3])):
        matrix = weight[0][k] + 1j * weight[1][k]
        kept[:, *k] = spectrum[:, *k] @ matrix
    smooth = np.fft.irfftn(kept, doubled, axes=axes)
    return smooth[:, *(slice(n) for n in x.shape[1:-1])]


@pytest.mark.parametrize(
    "grid, modes",
    [((9,), (5,)), ((4,), (5,)), ((4, 6), (4, 5)), ((3, 4, 5), (2, 4, 6))],
    ids=str,
)
def test_spectral_convolution_is_that_of_the_fourier_transform(grid, modes):
    layer = SpectralConvolution(modes, 3, rngs=nnx.Rngs(0))
    layer.weight[...] = random(2, *modes, 3, 3, seed=1)
    x = random(2, *grid, 3, seed=2)
    expected = convolve(np.asarray(x, float), np.asarray(layer.weight[...], float))
    np.testing.assert_allclose(call(layer, x), expected, atol=1e-5)


def test_spectral_convolution_leaves_out_what_a_coarse_grid_lacks():
    """Of 10 × 9 modes, a grid of 2 × 3 points has 4 × 4."""
    layer = SpectralConvolution((10, 9), 2, rngs=nnx.Rngs(0))
    small = SpectralConvolution((4, 4), 2, rngs=nnx.Rngs(0))
    rows = np.array([0, 1, -2, -1])
    small.weight[...] = layer.weight[...][:, rows, :4]
    x = random(3, 2, 3, 2)
    np.testing.assert_allclose(call(layer, x), call(small, x), atol=1e-6)


def test_spectral_convolution_commutes_with_shifts_away_from_the_ends():
    """All frequencies of the doubled grid: an exact, linear convolution."""
    layer = SpectralConvolution((17,), 1, rngs=nnx.Rngs(0))
    pulse = jnp.eye(16, dtype=jnp.float32)[jnp.array([3, 5])][..., None]
    first, second = np.asarray(call(layer, pulse))[..., 0]
    np.testing.assert_allclose(first[:-2], second[2:], atol=1e-6)
    assert abs(first).max() > 0.01
