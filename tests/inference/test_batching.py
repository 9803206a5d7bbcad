"""Between labelled data and a model: keys, members and batches of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.inference.batching import (
    batch_keys,
    for_members,
    in_batches,
    with_members,
)

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


def test_members_share_the_rows_of_their_sample():
    fields = {"u0": np.arange(6.0).reshape(2, 3), "rate": np.arange(7.0, 11.0)}
    batch = with_members({"sample": 2}, 2)
    assert batch == {"sample": 2, "member": 2}
    repeated = for_members(fields, batch)
    np.testing.assert_array_equal(repeated["rate"], [7, 8, 9, 10])
    np.testing.assert_array_equal(repeated["u0"], fields["u0"][[0, 0, 1, 1]])
    keys = batch_keys(KEY, batch)
    found = in_batches(lambda known, keys: known, fields, 3, keys)
    np.testing.assert_array_equal(found["u0"], repeated["u0"])
    np.testing.assert_array_equal(found["rate"], repeated["rate"])
    assert with_members({"sample": 2}, None) == {"sample": 2}


def test_the_device_holds_no_more_than_two_batches():
    """What is known and made of one, while the one before is let go of."""
    known, sizes = {"u0": np.zeros((3, 1000))}, []

    def run(fields, keys):
        made = {"u": jnp.tile(fields["u0"], 4)}
        sizes.append(sum(array.nbytes for array in jax.live_arrays()))
        return made

    before = sum(array.nbytes for array in jax.live_arrays())
    for members in (2, 64):
        sizes.clear()
        keys = batch_keys(KEY, with_members({"sample": 3}, members))
        found = in_batches(run, known, 6, keys)
        assert found["u"].shape == (3 * members, 4000)
        batch = 6 * 1000 * 8 * (1 + 4)
        assert max(sizes) - before < 2.1 * batch


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
        with_members({"sample": 2}, 0)
    with pytest.raises(ValueError, match=r"members=2 .*\['sample', 'member'\]"):
        with_members({"sample": 1, "member": 2}, 2)
