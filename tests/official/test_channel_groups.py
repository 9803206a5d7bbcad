"""Channels of a tiled array: where coefficients lie, values of PyWavelets, masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wdno.official.channel_groups import Bands, Subbands
from wdno.official.records import Geometry, Record
from wdno.official.tiling import Slot

PLANE, SPACE = ("time", "x"), ("time", "y", "x")
ON_PLANE = Geometry(PLANE, (9, 12), (8, 10), "db2", "periodization")
"""5 x 6 coefficients."""
ON_SPACE = Geometry(SPACE, (4, 6, 8), (8, 10, 12), "db3", "zero")
"""4 x 5 x 6 coefficients."""

U, V = Record("u", PLANE), Record("v", SPACE)
ENDS = Bands("time", (Record("u0", ("x",)), Record("uT", ("x",))))
V0 = Bands("time", (Record("v0", ("y", "x")),))
SMOKE = Bands("y", (Record("smoke", ("time",)),))
REPEATED = Subbands(U, ((0, 1), (2, 1)))
COARSE = Subbands(U.coarser((2, 2)))

BY_COLUMNS = ("aa", "da", "ad", "dd")
BY_ROWS = ("aaa", "aad", "ada", "add", "daa", "dad", "dda", "ddd")

SLOTS = [
    (ON_PLANE, Subbands(U), tuple(f"u:{key}" for key in BY_COLUMNS)),
    (ON_PLANE, REPEATED, tuple(f"u:{key}" for key in BY_COLUMNS)),
    (ON_SPACE, Subbands(V), tuple(f"v:{key}" for key in BY_ROWS)),
    (ON_PLANE, COARSE, tuple(f"u_coarse:{key}" for key in BY_COLUMNS)),
    (ON_PLANE, ENDS, ("u0+uT",)),
    (ON_SPACE, V0, ("v0",)),
    (ON_SPACE, SMOKE, ("smoke",)),
]
each_slot = pytest.mark.parametrize(("on", "slot", "names"), SLOTS)


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def data(on, slot):
    """Independent normal values for every record of a slot, three rows."""
    return {
        record.name: random(3, *on.packing(record.dims, record.ratio).extents, seed=n)
        for n, record in enumerate(slot.records)
    }


@partial(jax.jit, static_argnums=(0, 1))
def packed(on, slot, records):
    return slot.pack(on, records, jnp.zeros(3))


@partial(jax.jit, static_argnums=(0, 1))
def unpack(on, slot, z):
    return slot.unpack(on, z)


def pack(on, slot, records):
    return np.asarray(packed(on, slot, records))


def transform(on, record, keys):
    """Subbands by PyWavelets, on axes after the first."""
    axes = tuple(range(1, record.ndim))
    found = pywt.dwtn(np.asarray(record), on.wavelet, on.mode, axes)
    return [found[key] for key in keys]


def with_zeros(on, coefficients):
    """Zeros behind the coefficients, up to the extents of the array."""
    z = np.zeros((len(coefficients), *on.padded))
    z[tuple(map(slice, coefficients.shape))] = coefficients
    return z


# --- all of them ----------------------------------------------------------------------


@each_slot
def test_a_slot_has_a_name_for_each_channel(on, slot, names):
    assert isinstance(slot, Slot)
    assert slot.channels(on) == names
    z = jax.eval_shape(lambda r: slot.pack(on, r, jnp.zeros(3)), data(on, slot))
    assert z.shape == (3, *on.padded, len(names))
    known = slot.known(on, [])
    assert known.shape == z.shape[1:] and known.dtype == bool


@each_slot
def test_a_slot_is_zero_without_its_records(on, slot, names):
    z = slot.pack(on, {}, jnp.ones((5, 2), jnp.float32))
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, np.zeros((5, *on.padded, len(names))))


@each_slot
def test_a_slot_gives_back_what_it_holds(on, slot, names):
    records = data(on, slot)
    z = pack(on, slot, records)
    came = unpack(on, slot, z)
    assert came.keys() == {record.name for record in slot.records}
    for name, record in came.items():
        np.testing.assert_allclose(record, records[name], 0, 1e-12, err_msg=name)


@each_slot
def test_padding_has_no_part_in_what_comes_back(on, slot, names):
    """Nor has anything else that is known when no record is."""
    z, noise = random(3, *on.padded, len(names)), random(*on.padded, len(names), seed=1)
    noise = jnp.where(slot.known(on, []), noise, 0.0)
    came, wanted = unpack(on, slot, z + noise[None]), unpack(on, slot, z)
    for name, record in wanted.items():
        np.testing.assert_array_equal(came[name], record)


@each_slot
def test_all_of_a_slot_is_known_with_its_records(on, slot, names):
    others, own = ["w", "u:aa"], [record.name for record in slot.records]
    assert slot.known(on, own).all()
    np.testing.assert_array_equal(slot.known(on, others), slot.known(on, []))


def test_slots_are_equal_by_what_they_hold():
    same = Bands("time", (Record("u0", ("x",)), Record("uT", ("x",))))
    assert same == ENDS and hash(same) == hash(ENDS)
    slots = [slot for _, slot, _ in SLOTS] + [Subbands(V, ((1, 0), (0, 0), (0, 0)))]
    assert len({*slots, same, Subbands(U.coarser((2, 1)))}) == len(slots) + 1


# --- subbands -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "slot", "keys"),
    [(ON_PLANE, Subbands(U), BY_COLUMNS), (ON_SPACE, Subbands(V), BY_ROWS)],
)
def test_subbands_are_pywavelets_then_zeros(on, slot, keys):
    records = data(on, slot)
    z = pack(on, slot, records)
    (record,) = records.values()
    for channel, c in enumerate(transform(on, record, keys)):
        np.testing.assert_allclose(z[..., channel], with_zeros(on, c), 0, 1e-13)


def test_coefficients_at_the_ends_are_repeated_before_the_padding():
    records = data(ON_PLANE, REPEATED)
    plain = pack(ON_PLANE, Subbands(U), records)[:, :5, :6]
    wanted = np.pad(plain, [(0, 0), (0, 1), (2, 1), (0, 0)], mode="edge")
    z = pack(ON_PLANE, REPEATED, records)
    np.testing.assert_array_equal(z[:, :6, :9], wanted)
    assert not z[:, 6:].any() and not z[:, :, 9:].any()


def test_repeated_coefficients_are_not_known_without_their_record():
    """They are generated with it."""
    known = REPEATED.known(ON_PLANE, ["v"])
    assert not known[:6, :9].any()
    assert known[6:].all() and known[:, 9:].all()


def test_padding_of_subbands_is_known():
    known = Subbands(V).known(ON_SPACE, [])
    assert not known[:4, :5, :6].any()
    assert known.sum() == 8 * (8 * 10 * 12 - 4 * 5 * 6)


# --- subbands of a coarser grid -------------------------------------------------------


@pytest.mark.parametrize("ratio", [(2, 2), (1, 2), (2, 1)])
def test_subbands_of_a_coarser_record_are_repeated_to_the_grid(ratio):
    slot = Subbands(U.coarser(ratio))
    records = data(ON_PLANE, slot)
    z = pack(ON_PLANE, slot, records)
    time, x = ratio
    assert records["u_coarse"].shape == random(3, 9, 12)[:, ::time, ::x].shape
    for channel, c in enumerate(transform(ON_PLANE, records["u_coarse"], BY_COLUMNS)):
        wanted = with_zeros(ON_PLANE, c.repeat(time, axis=1).repeat(x, axis=2))
        np.testing.assert_allclose(z[..., channel], wanted, 0, 1e-13)


def test_coefficients_are_placed_where_they_are_taken_from():
    """Whatever they are: those of no record as well."""
    for slot in (REPEATED, COARSE):
        free = random(3, *ON_PLANE.packing(PLANE, slot.record.ratio).grids[-1], 4)
        z = slot.place(ON_PLANE, free)
        np.testing.assert_array_equal(slot.take(ON_PLANE, z), free)


# --- bands ----------------------------------------------------------------------------


def test_bands_hold_one_subband_each_the_same_along_their_axis():
    """Eight rows of time: two for each of a and d of u0, then of uT."""
    records = data(ON_PLANE, ENDS)
    z = pack(ON_PLANE, ENDS, records)[..., 0]
    subbands = [
        c for name in ("u0", "uT") for c in transform(ON_PLANE, records[name], "ad")
    ]
    for band, c in enumerate(subbands):
        for row in (2 * band, 2 * band + 1):
            np.testing.assert_allclose(z[:, row, :6], c, 0, 1e-13)
    assert not z[:, :, 6:].any()


def test_bands_of_two_axes_have_four_subbands_by_columns():
    records = data(ON_SPACE, V0)
    z = pack(ON_SPACE, V0, records)[..., 0]
    for band, c in enumerate(transform(ON_SPACE, records["v0"], BY_COLUMNS)):
        for row in (2 * band, 2 * band + 1):
            np.testing.assert_allclose(z[:, row, :5, :6], c, 0, 1e-13)
    assert not z[:, :, 5:].any() and not z[:, :, :, 6:].any()


def test_coefficients_in_bands_are_repeated_along_every_axis_that_is_lacking():
    """Ten rows of y: five for a and five for d of the smoke, the same along x."""
    records = data(ON_SPACE, SMOKE)
    z = pack(ON_SPACE, SMOKE, records)[..., 0]
    for band, c in enumerate(transform(ON_SPACE, records["smoke"], "ad")):
        wanted = np.broadcast_to(c[:, :, None, None], (3, 4, 5, 12))
        rows = slice(5 * band, 5 * band + 5)
        np.testing.assert_allclose(z[:, :4, rows], wanted, 0, 1e-13)
    assert not z[:, 4:].any()


def test_a_band_without_its_record_is_zero_beside_the_others():
    records = data(ON_PLANE, ENDS)
    whole = pack(ON_PLANE, ENDS, records)
    del records["u0"]
    z = pack(ON_PLANE, ENDS, records)
    assert not z[:, :4].any()
    np.testing.assert_array_equal(z[:, 4:], whole[:, 4:])


def test_bands_come_back_as_their_mean():
    z = np.asarray(random(3, 8, 10, 1))
    came = unpack(ON_PLANE, ENDS, z)
    means = z[:, :, :6, 0].reshape(3, 4, 2, 6).mean(axis=2)
    for name, band in (("u0", 0), ("uT", 2)):
        pair = means[:, band], means[:, band + 1]
        wanted = pywt.idwt(*pair, "db2", "periodization")
        np.testing.assert_allclose(came[name], wanted, 0, 1e-13)
    z = np.asarray(random(3, 8, 10, 12, 1))
    means = z[:, :4, ..., 0].reshape(3, 4, 2, 60).mean(axis=-1)
    wanted = pywt.idwt(means[..., 0], means[..., 1], "db3", "zero")
    came = unpack(ON_SPACE, SMOKE, z)
    np.testing.assert_allclose(came["smoke"], wanted, 0, 1e-13)


@pytest.mark.parametrize(
    ("names", "free"),
    [((), [slice(8)]), (("u0",), [slice(4, 8)]), (("u", "uT"), [slice(4)])],
)
def test_bands_of_other_records_are_free(names, free):
    known = ENDS.known(ON_PLANE, names)[..., 0]
    wanted = np.ones((8, 10), bool)
    for rows in free:
        wanted[rows, :6] = False
    np.testing.assert_array_equal(known, wanted)


def test_what_bands_are_padded_with_is_known_along_their_own_axes_only():
    """Repeated coefficients fill an axis that their record lacks."""
    wanted = np.ones((8, 10, 12), bool)
    wanted[:4] = False
    np.testing.assert_array_equal(SMOKE.known(ON_SPACE, ["v0"])[..., 0], wanted)
    wanted = np.ones((8, 10, 12), bool)
    wanted[:, :5, :6] = False
    np.testing.assert_array_equal(V0.known(ON_SPACE, ["smoke"])[..., 0], wanted)


def test_bands_are_differentiable_back_to_their_records():
    """Means undo repetition: the derivative of the identity."""
    record, wish = random(3, 12), random(3, 12, seed=1)

    def back(u0):
        z = ENDS.pack(ON_PLANE, {"u0": u0}, u0)
        return jnp.vdot(wish, ENDS.unpack(ON_PLANE, z)["u0"])

    np.testing.assert_allclose(jax.jit(jax.grad(back))(record), wish, 0, 1e-12)
