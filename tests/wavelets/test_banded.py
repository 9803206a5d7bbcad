"""Products with long matrices, by blocks that repeat."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wdno.wavelets import transform
from wdno.wavelets.banded import LONGEST_DENSE, Banded, Dense, product_with

MATRICES = (transform.analysis_matrices, transform.synthesis_matrices)


CASES = [
    (wavelet, length, mode)
    for wavelet in ("db4", "bior2.4")
    for length in (300, 333)
    for mode in transform.MODES
    # At the ends of an interval there are orthogonal wavelets alone, on even lengths.
    if mode != "boundary" or (wavelet != "bior2.4" and length % 2 == 0)
]


@pytest.mark.parametrize(("wavelet", "length", "mode"), CASES)
def test_products_are_those_of_the_whole_matrix(wavelet, length, mode):
    kinds = [matrix for made in MATRICES for matrix in made(length, wavelet, mode)]
    for matrix in kinds:
        banded = product_with(matrix)
        assert isinstance(banded, Banded)
        assert banded.block.size < matrix.size / 20

    @jax.jit
    def products(inputs):
        pairs = zip(kinds, inputs, strict=True)
        return [(product_with(m)(x, 1), Dense(m)(x, 1)) for m, x in pairs]

    draw = np.random.default_rng(0)
    inputs = [draw.normal(size=(2, matrix.shape[1], 3)) for matrix in kinds]
    for found, expected in products(inputs):
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_long_transforms_agree_with_pywavelets_in_every_derivative():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 600)))
    low, high = transform.analysis(x, "bior2.4", "periodization", (1,))
    wanted = pywt.dwt(x, "bior2.4", "periodization", axis=1)
    np.testing.assert_allclose(low, wanted[0], atol=1e-12)
    np.testing.assert_allclose(high["d"], wanted[1], atol=1e-12)

    def approximation(x):
        return transform.analysis(x, "bior2.4", "periodization", (x.ndim - 1,))[0]

    matrix, _ = transform.analysis_matrices(600, "bior2.4", "periodization")
    _, pull = jax.vjp(approximation, x)
    np.testing.assert_allclose(pull(low)[0], np.asarray(low) @ matrix, atol=1e-12)
    _, push = jax.jvp(approximation, (x,), (2 * x,))
    np.testing.assert_allclose(push, 2 * low, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(approximation)(x), low, atol=1e-12)


def test_short_matrices_and_those_that_do_not_repeat_stay_as_they_are():
    low, _ = transform.analysis_matrices(LONGEST_DENSE, "db4", "zero")
    assert isinstance(product_with(low), Dense)
    noise = np.random.default_rng(0).normal(size=(300, 600))
    assert isinstance(product_with(noise), Dense)
    wide, _ = transform.analysis_matrices(300, "db38", "zero")
    assert isinstance(product_with(wide), Dense)
