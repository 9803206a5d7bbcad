"""Convolutions: every formulation is the same sum."""

import jax
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage
from tiny_networks import call, filled, random

from wdno.official.convolution import Convolution, convolve


@pytest.mark.parametrize(
    ("grid", "span", "calls"),
    [
        ((9, 10), (1, 1), 0),  # a product of matrices
        ((7,), (3,), 0),  # a product with patches
        ((8, 8), (3, 5), 0),
        ((3, 4, 5), (5, 1, 3), 0),
        ((80,), (7,), 1),  # XLA's
        ((9, 8), (7, 3), 1),
        ((4, 5, 6), (3, 3, 5), 0),  # slices by patches
        ((2, 9, 8), (3, 5, 3), 3),  # slices by XLA
    ],
)
def test_every_formulation_is_the_convolution_of_scipy(grid, span, calls):
    x = random(2, *grid, 3).astype("float64")
    kernel = random(*span, 3, 4, seed=1).astype("float64")
    wanted = np.zeros((2, *grid, 4))
    for row, i, o in np.ndindex(2, 3, 4):
        terms = np.asarray(x)[row, ..., i], np.asarray(kernel)[..., i, o]
        wanted[row, ..., o] += ndimage.correlate(*terms, mode="constant")
    program = jax.jit(convolve).trace(x, kernel)
    assert str(program.jaxpr).count("conv_general_dilated[") == calls
    came = program.lower().compile()(x, kernel)
    np.testing.assert_allclose(came, wanted, 0, 1e-12)


def test_a_convolution_adds_its_bias_and_starts_without():
    make = lambda: Convolution((3, 3), 2, 5, rngs=nnx.Rngs(0))  # noqa: E731
    np.testing.assert_array_equal(nnx.jit(make)().bias[...], np.zeros(5))
    module, x = filled(make), random(2, 4, 6, 2)
    assert module.kernel.shape == (3, 3, 2, 5)
    wanted = np.asarray(jax.jit(convolve)(x, module.kernel[...]))
    wanted = wanted + np.asarray(module.bias[...])
    np.testing.assert_allclose(call(module, x), wanted, 0, 1e-5)
