"""Between labelled data and a model: keys, members and batches of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.inference.batching import batch_keys, in_batches, with_members

KEY = jax.random.key(0)


def data(keys):
    return np.asarray(jax.random.key_data(keys))


def test_keys_of_rows_follow_their_place_on_each_axis():
    keys = batch_keys(KEY, {"sample": 2, "member": 3})
    expected = [
        jax.random.fold_in(jax.random.fold_in(KEY, n), m)
        for n in range(2)
        for m in range(3)
    ]
    np.testing.assert_array_equal(data(keys), data(jnp.stack(expected)))
    alone = batch_keys(KEY, {"sample": 2})
    np.testing.assert_array_equal(data(alone[1]), data(jax.random.fold_in(KEY, 1)))
    with pytest.raises(ValueError, match="one typed key"):
        batch_keys(jax.random.PRNGKey(0), {"sample": 2})


def test_members_repeat_each_row_in_place():
    fields = {"u0": jnp.arange(6.0).reshape(2, 3), "rate": jnp.array([7.0, 8.0])}
    found, batch = with_members(fields, {"sample": 2}, 2)
    assert batch == {"sample": 2, "member": 2}
    np.testing.assert_array_equal(found["rate"], [7, 7, 8, 8])
    np.testing.assert_array_equal(found["u0"][1], found["u0"][0])
    assert with_members(fields, {"sample": 2}, None) == (fields, {"sample": 2})


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_batches_are_of_one_size_and_join_to_all_rows(rows):
    """A ragged last batch is filled up, so that it needs no program of its own."""
    number = jnp.arange(float(rows))
    program = jax.jit(lambda u, keys: u + jax.vmap(jax.random.uniform)(keys))
    sizes = []

    def run(fields, keys):
        sizes.append(len(keys))
        return {"u": program(fields["u0"], keys)}

    keys = batch_keys(KEY, {"sample": rows})
    found = in_batches(run, {"u0": number}, 2, keys)["u"]
    expected = number + jax.vmap(jax.random.uniform)(keys)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(set(sizes)) == program._cache_size() == 1
    assert len(sizes) == -(-rows // 2)


def test_impossible_numbers_are_refused():
    fields, keys = {"u0": jnp.zeros(2)}, batch_keys(KEY, {"sample": 2})
    with pytest.raises(ValueError, match="batch_size=0. Ask for more"):
        in_batches(lambda fields, keys: fields, fields, 0, keys)
    with pytest.raises(ValueError, match="members=0"):
        with_members(fields, {"sample": 2}, 0)
    with pytest.raises(ValueError, match=r"members=2 .*\['sample', 'member'\]"):
        with_members(fields, {"sample": 1, "member": 2}, 2)
