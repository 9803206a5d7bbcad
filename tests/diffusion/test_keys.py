"""Keys of random draws: one a row, so that no row's noise depends on the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.keys import row_keys, row_normal, step_keys

KEY = jax.random.key(0)


def data(keys):
    return np.asarray(jax.random.key_data(keys))


def test_a_row_has_the_key_of_its_number_unless_keys_are_given():
    keys = row_keys(KEY, 3)
    expected = jnp.stack([jax.random.fold_in(KEY, row) for row in range(3)])
    np.testing.assert_array_equal(data(keys), data(expected))
    assert row_keys(keys, 3) is keys


def test_noise_of_a_row_is_that_of_its_key_alone():
    keys = row_keys(KEY, 3)
    noise = row_normal((3, 4, 2), jnp.float32, keys)
    assert noise.dtype == jnp.float32
    alone = jax.random.normal(keys[1], (4, 2), jnp.float32)
    np.testing.assert_array_equal(noise[1], alone)


def test_rows_and_steps_draw_independent_noise():
    keys = row_keys(jax.random.key(15), 50)
    draws = [
        row_normal((50, 400), jnp.float64, step_keys(keys, jnp.full(50, n)))
        for n in range(4)
    ]
    flat = np.concatenate(draws)
    correlation = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(correlation).max() < 6 / np.sqrt(400)


@pytest.mark.parametrize(
    "key", [jax.random.PRNGKey(0), jax.random.split(jax.random.key(0), 3)]
)
def test_keys_are_typed_and_fit_the_rows(key):
    with pytest.raises(ValueError, match="one typed key or one for each of 2 rows"):
        row_keys(key, 2)
