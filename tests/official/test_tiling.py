"""Records in one padded array: identities and the packings of the official code."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.official import kinds
from wdno.official.channel_groups import Bands, Subbands
from wdno.official.records import Geometry, Record
from wdno.official.tiling import Tiling

PLANE, SPACE = ("time", "x"), ("time", "y", "x")
U = Record("u", PLANE, before=1)
F = Record("f", PLANE, after=1, mode="constant")
ENDS = Bands("time", (Record("u0", ("x",)), Record("uT", ("x",))))
V, C = Record("v", SPACE, before=1), Record("c", SPACE, after=1)
V0 = Bands("time", (Record("v0", ("y", "x")),))
SMOKE = Bands("y", (Record("smoke", ("time",), before=1),))

pack = jax.jit(Tiling.pack, static_argnums=0)
unpack = jax.jit(Tiling.unpack, static_argnums=0)


def plane(extents=(9, 12), padded=(8, 8), scale=()):
    """Time and x, odd in time: 5 x 6 coefficients and nine channels."""
    on = Geometry(PLANE, extents, padded, "bior2.4", "periodization")
    return Tiling(on, (Subbands(U), Subbands(F), ENDS), scale)


def space(scale=()):
    """Time and two axes of space: 4 x 5 x 6 coefficients and 18 channels."""
    on = Geometry(SPACE, (4, 6, 8), (8, 8, 8), "db3", "zero")
    return Tiling(on, (Subbands(V), Subbands(C), V0, SMOKE), scale)


each_tiling = pytest.mark.parametrize("make", [plane, space])


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def data(tiling):
    """Independent normal values for every record of `tiling`."""
    on, found = tiling.geometry, {}
    for record in (record for slot in tiling.slots for record in slot.records):
        extents = on.packing(record.dims).extents
        found[record.name] = random(2, *extents, seed=len(found))
    return found


def counting(tiling):
    """A different scale for every channel."""
    return tuple(np.linspace(0.5, 20.0, len(tiling.channels)))


def assert_records_close(came, wanted, tolerance):
    assert came.keys() == wanted.keys()
    for name, record in wanted.items():
        np.testing.assert_allclose(came[name], record, 0, tolerance, err_msg=name)


# --- records --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "mode", "wanted"),
    [
        (0, 0, "edge", [5, 6, 7]),
        (1, 0, "edge", [5, 5, 6, 7]),
        (0, 1, "edge", [5, 6, 7, 7]),
        (0, 1, "constant", [5, 6, 7, 0]),
        (1, 1, "constant", [0, 5, 6, 7, 0]),
    ],
)
def test_a_record_fills_the_instants_that_nothing_gives(before, after, mode, wanted):
    frames = jnp.asarray([5.0, 6.0, 7.0])[None, :, None] * jnp.ones((2, 1, 4))
    came = Record("u", PLANE, before, after, mode).of({"u": frames})
    assert came.shape == (2, len(wanted), 4)
    np.testing.assert_array_equal(came[1, :, 2], wanted)


def test_a_record_begins_with_the_initial_instant():
    fields = {"u": random(2, 3, 4), "u0": random(2, 4, seed=1)}
    wanted = np.concatenate([fields["u0"][:, None], fields["u"]], axis=1)
    np.testing.assert_array_equal(U.of(fields), wanted)


def test_an_initial_instant_is_no_part_of_a_record_without_one():
    fields = {"f": random(2, 3, 4), "f0": random(2, 4)}
    np.testing.assert_array_equal(F.of(fields)[:, :3], fields["f"])
    assert F.of(fields).shape == (2, 4, 4)


def test_a_record_without_time_is_its_field():
    state = random(2, 4)
    (record, _) = ENDS.records
    np.testing.assert_array_equal(record.of({"u0": state}), state)
    assert record.fields(state).keys() == {"u0"}
    np.testing.assert_array_equal(record.fields(state)["u0"], state)


@pytest.mark.parametrize(
    ("before", "after", "beside"),
    [
        (0, 0, {}),
        (1, 0, {"u_first": 0}),
        (0, 1, {"u_last": 4}),
        (1, 1, {"u_first": 0, "u_last": 4}),
    ],
)
def test_a_record_names_the_instants_beside_its_frames(before, after, beside):
    record = random(2, 5, 4)
    came = Record("u", PLANE, before, after).fields(record)
    assert came.keys() == {"u", *beside}
    np.testing.assert_array_equal(came["u"], record[:, before : 5 - after])
    for name, instant in beside.items():
        np.testing.assert_array_equal(came[name], record[:, instant])


def test_frames_and_initial_instant_come_back():
    fields = {"u": random(2, 3, 4), "u0": random(2, 4, seed=1)}
    came = U.fields(U.of(fields))
    wanted = {"u": fields["u"], "u_first": fields["u0"]}
    assert_records_close(came, wanted, 0)


def test_a_coarser_record_begins_with_samples_of_the_same_initial_instant():
    frames, initial = random(2, 3, 2), random(2, 4, seed=1)
    record = U.coarser((2, 2)).of({"u_coarse": frames, "u0": initial})
    wanted = np.concatenate([initial[:, None, ::2], frames], axis=1)
    np.testing.assert_array_equal(record, wanted)


# --- grids ----------------------------------------------------------------------------


def test_geometry_transforms_a_record_on_its_own_axes():
    on = space().geometry
    packing = on.packing(("time", "x"))
    assert packing.extents == (4, 8) and packing.grids[-1] == (4, 6)
    assert packing.wavelet == "db3" and packing.mode == ("zero", "zero")


def test_a_coarser_grid_has_every_other_sample_from_the_first():
    """Of nine instants 0, 2, ..., 8 are five."""
    packing = plane().geometry.packing(PLANE, (2, 3))
    assert packing.extents == (5, 4) == random(9, 12)[::2, ::3].shape


def test_on_another_grid_the_padding_scales_with_half_the_extents():
    tiling = plane(scale=(2.0,) * 9)
    finer = tiling.on([17, 36])
    assert finer == plane((17, 36), (16, 24), scale=(2.0,) * 9)
    assert finer.on((9, 12)) == tiling


@pytest.mark.parametrize("extents", [(9, 12), (13, 14), (13, 20)])
def test_on_refuses_a_grid_whose_padding_is_not_whole(extents):
    message = rf"\(8, 8\) belongs to records of \(13, 12\).*{extents[1]}\).*power"
    with pytest.raises(ValueError, match=message):
        plane((13, 12)).on(extents)


# --- arrays ---------------------------------------------------------------------------


@each_tiling
def test_unpack_inverts_pack(make):
    tiling = make(scale=counting(make()))
    records = data(tiling)
    z = pack(tiling, records)
    assert z.shape == (2, *tiling.geometry.padded, len(tiling.channels))
    assert_records_close(unpack(tiling, z), records, 1e-11)


def test_channels_are_those_of_the_slots_in_order():
    keys = ("aa", "da", "ad", "dd")
    wanted = (*(f"u:{k}" for k in keys), *(f"f:{k}" for k in keys), "u0+uT")
    assert plane().channels == wanted
    assert len(space().channels) == 8 + 8 + 1 + 1
    assert space().channels[-2:] == ("v0", "smoke")


@each_tiling
def test_each_channel_is_divided_by_its_scale(make):
    tiling, records = make(), data(make())
    scale = counting(tiling)
    scaled = dataclasses.replace(tiling, scale=scale)
    np.testing.assert_array_equal(scaled.divisor, scale)
    np.testing.assert_array_equal(tiling.divisor, np.ones(len(scale)))
    wanted = np.asarray(pack(tiling, records)) / np.asarray(scale)
    np.testing.assert_allclose(pack(scaled, records), wanted, 1e-13)


@each_tiling
def test_a_missing_record_is_zero_and_changes_no_other(make):
    tiling, records = make(), data(make())
    whole, parts = pack(tiling, records), 0
    for name in records:
        alone = np.asarray(pack(tiling, {name: records[name]}))
        assert abs(alone).max() > 0.1
        parts = parts + alone
    np.testing.assert_array_equal(parts, whole)


def test_known_is_an_array_of_the_same_channels():
    tiling = plane()
    known = tiling.known(["f", "uT"])
    assert known.shape == (8, 8, 9) and known.dtype == bool
    z = np.asarray(pack(tiling, data(tiling)))[0]
    assert (z[~known] != 0).all()  # what is free holds u and u0
    free = {name for i, name in enumerate(tiling.channels) if not known[..., i].all()}
    assert free == {"u:aa", "u:da", "u:ad", "u:dd", "u0+uT"}


def coarsened():
    """The plane with u on the coarser grid beside it."""
    slots = (Subbands(U), Subbands(U.coarser((2, 2))))
    return dataclasses.replace(plane(), slots=slots)


def test_a_coarser_record_comes_before_samples_of_the_fine_one():
    tiling, fine, coarse = coarsened(), random(2, 9, 12), random(2, 5, 6, seed=1)
    samples = pack(tiling, {"u": fine})
    both = pack(tiling, {"u": fine, "u_coarse": fine[:, ::2, ::2]})
    np.testing.assert_array_equal(samples, both)
    other = pack(tiling, {"u": fine, "u_coarse": coarse})
    np.testing.assert_array_equal(other[..., :4], both[..., :4])
    assert abs(other[..., 4:] - both[..., 4:]).max() > 0.1


def test_samples_of_what_is_known_are_known():
    tiling = coarsened()
    assert tiling.refinement == (2, 2) and space().refinement == (2, 2, 2)
    np.testing.assert_array_equal(tiling.known(["u"]), tiling.known(["u", "u_coarse"]))
    known = tiling.known(["u_coarse"])
    assert known[..., 4:].all() and not known[..., :4].all()


@each_tiling
def test_padding_alone_is_known_where_no_name_is(make):
    """Exactly what `pack` leaves zero."""
    tiling = make()
    z = np.asarray(pack(tiling, data(tiling)))[0]
    np.testing.assert_array_equal(tiling.known([]), z == 0)


def test_everything_is_known_with_all_names():
    tiling = space()
    assert tiling.known(tuple(data(tiling))).all()


def test_finds_a_record_by_the_name_of_its_field():
    assert plane().record("f") == F
    assert space().record("smoke") == SMOKE.records[0]
    assert plane().record("u:aa") is None and plane().record("u0+uT") is None


@pytest.mark.parametrize(
    "shape", [(2, 8, 8, 8), (2, 8, 9, 9), (2, 7, 8, 9), (2, 8, 9), (2, 4, 8, 8, 9)]
)
def test_unpack_refuses_the_array_of_another_tiling(shape):
    message = r"\(8, 8, 9\).*'u:aa', .*'u0\+uT'.*but got .*by another\?"
    with pytest.raises(ValueError, match=message):
        plane().unpack(jnp.zeros(shape))


def test_pack_refuses_a_record_on_another_grid():
    message = r"'u' has the extents \(9, 12\) .*'x'\), but got .*\(2, 8, 12\)"
    with pytest.raises(ValueError, match=message):
        plane().pack(data(plane()) | {"u": jnp.zeros((2, 8, 12))})


# --- as a function --------------------------------------------------------------------


@each_tiling
def test_keeps_single_precision(make):
    tiling = make(scale=counting(make()))
    records = jax.tree.map(lambda r: r.astype(jnp.float32), data(tiling))
    z = jax.eval_shape(tiling.pack, records)
    came = jax.eval_shape(tiling.unpack, z)
    assert {z.dtype, *(r.dtype for r in came.values())} == {np.dtype("float32")}


def test_equal_tilings_compile_once():
    calls = jax.jit(lambda tiling, r: tiling.pack(r).sum(), static_argnums=0)
    tilings = [plane(scale=(1.5,) * 9) for _ in range(2)]
    assert tilings[0] == tilings[1] and hash(tilings[0]) == hash(tilings[1])
    for tiling in tilings:
        calls(tiling, data(tiling))
    assert calls._cache_size() == 1
    others = [plane(), plane(padded=(16, 8)), space(), plane((9, 14))]
    assert len({*tilings, *others}) == 5


# --- the official code ----------------------------------------------------------------


def assert_golden(came, wanted):
    """To 1e-6 of the largest number."""
    assert came.dtype == np.float32
    np.testing.assert_allclose(came, wanted, 0, 1e-6 * abs(wanted).max())


def last(channels):
    """Channels from the second axis to the last one."""
    return jnp.asarray(np.moveaxis(channels, 1, -1))


def every(step, fields):
    """Some samples of u and f over time and x, and the ends of u."""
    closed = np.pad(fields["f"], [(0, 0), (0, 1), (0, 0)])
    u, f = (jnp.asarray(field[:, ::step, ::step]) for field in (fields["u"], closed))
    return {"u": u, "f": f, "u0": u[:, 0], "uT": u[:, -1]}


@pytest.fixture(scope="module")
def burgers(shared):
    with np.load(shared / "golden" / "packing1d_bior24.npz") as golden:
        return dict(golden)


@pytest.fixture(scope="module")
def smoke(shared):
    with np.load(shared / "golden" / "packing2d.npz") as golden:
        return dict(golden)


def smoke_records(golden, step=(1, 1, 1)):
    """Every so many samples of the fields, one row."""
    time, y, x = (slice(None, None, s) for s in step)
    names = ("density", "vx", "vy", "cx", "cy")
    found = dict(zip(names, golden["fields"][:, time, y, x], strict=True))
    counts = golden["smoke_counts"][:32]
    found["smoke"] = (counts[:, 1] / counts.sum(axis=1))[time]
    found["density0"] = found["density"][0]
    return {name: jnp.asarray(r, jnp.float32)[None] for name, r in found.items()}


@pytest.mark.shared
def test_burgers_is_packed_as_officially(burgers):
    tiling, records = kinds.burgers_tiling(), every(1, burgers)
    np.testing.assert_array_equal(tiling.divisor, burgers["rescaler"])
    assert_golden(pack(tiling, records), last(burgers["packed/control"]))
    del records["uT"]
    assert_golden(pack(tiling, records)[..., 8], burgers["packed/sim_condition"])


@pytest.mark.shared
def test_burgers_is_unpacked_as_officially(burgers):
    tiling = kinds.burgers_tiling()
    came = unpack(tiling, last(burgers["inverse_random/x"]))
    assert_golden(came["u"], burgers["inverse_random/u"])
    assert_golden(came["f"][:, :-1], burgers["inverse_random/f"])
    came = unpack(tiling, last(burgers["packed/control"]))
    error = 2 * burgers["packed/reconstruction_maxerr"].max()
    assert_records_close(came, every(1, burgers), error)


@pytest.mark.shared
@pytest.mark.parametrize("level", range(4))
def test_burgers_has_the_official_coefficients(burgers, level):
    records = every(2**level, burgers)
    wanted = burgers[f"coef/level{level}"]
    extents, padded = records["u"].shape[1:], wanted.shape[-2:]
    on = Geometry(PLANE, extents, padded, "bior2.4", "periodization")
    z = pack(Tiling(on, (Subbands(U), Subbands(F))), records)
    assert_golden(z, last(wanted.reshape(3, 8, *wanted.shape[-2:])))


@pytest.mark.shared
@pytest.mark.parametrize("level", range(3))
def test_burgers_is_packed_for_refinement_as_officially(burgers, level):
    records = {name: r[:2] for name, r in every(2**level, burgers).items()}
    del records["uT"]
    grid = records["u"].shape[1:]
    tiling = kinds.burgers_refinement_tiling(*grid, (64 >> level, 64 >> level))
    wanted = last(burgers[f"super/level{level}"])
    assert_golden(pack(tiling, records), wanted)
    if level == 1:
        assert kinds.burgers_refinement_tiling().on(grid) == tiling


@pytest.mark.shared
@pytest.mark.parametrize("finer", [0, 1])
def test_burgers_targets_on_a_finer_grid_are_the_official_ones(burgers, finer):
    target = {name: burgers[f"target/{name}"] for name in ("u", "f")}
    tiling = kinds.burgers_tiling().on((80 * 2**finer + 1, 120 * 2**finer))
    z = pack(dataclasses.replace(tiling, scale=()), every(2 - finer, target))
    assert_golden(z[..., 8], burgers[f"target/condition_k{finer}"])
    assert_golden(z[..., 4:8], last(burgers[f"target/f_coef_k{finer}"]))


@pytest.mark.shared
def test_smoke_is_packed_as_officially(smoke):
    tiling = kinds.smoke_tiling()
    np.testing.assert_array_equal(tiling.divisor, smoke["rescaler"])
    records = smoke_records(smoke)
    wanted = last(smoke["packed/x"])
    came = pack(tiling, records)[0]
    for start, stop in ((0, 40), (40, 41), (41, 42)):
        assert_golden(came[..., start:stop], wanted[..., start:stop])
    came = unpack(tiling, wanted[None])
    error = 2 * smoke["packed/reconstruction_maxerr"].max()
    assert_records_close(came, records, error)


@pytest.mark.shared
def test_smoke_is_unpacked_as_officially(smoke):
    x = np.zeros((1, 24, 40, 40, 42), np.float32)
    x[..., 16:24] = last(smoke["decode_random/x_v2"])
    x[..., 41] = smoke["decode_random/x_smoke"]
    came = unpack(kinds.smoke_tiling(), jnp.asarray(x))
    frames = came["vy"][0, smoke["decode_random/frames"]]
    assert_golden(frames, smoke["decode_random/v2_frames"])
    assert_golden(came["smoke"][0], smoke["decode_random/smoke"])
    assert abs(came["vx"]).max() == 0


@pytest.mark.shared
@pytest.mark.parametrize("level", range(3))
def test_smoke_conditions_have_the_official_coefficients(smoke, level):
    """The initial state in four bands of equal slots, the smoke in two of rows."""
    extents = (32 >> level, 64 >> level, 64 >> level)
    on = dataclasses.replace(kinds.smoke_tiling().geometry, extents=extents)
    tiling = Tiling(on, (kinds.DENSITY0, kinds.SMOKE))
    step = slice(None, None, 2**level)
    initial = jnp.asarray(smoke["fields"][:, 0, step, step])
    signal = jnp.repeat(smoke_records(smoke)["smoke"][:, step], 5, axis=0)
    z = pack(tiling, {"density0": initial, "smoke": signal})
    states = smoke[f"init_coef/space_level{level}"][:, :, None]
    bands = z[..., : states.shape[-1], : states.shape[-1], 0]
    assert_golden(bands.reshape(5, 4, 6, *states.shape[-2:]), states.repeat(6, axis=2))
    wanted = smoke[f"smoke_coef/time_level{level}"].T[None, :, :, None, None]
    bands = z[:, : wanted.shape[1], ..., 1].reshape(5, -1, 2, 20, 40)
    assert_golden(bands, np.broadcast_to(wanted, bands.shape))


@pytest.mark.shared
def test_smoke_is_packed_for_refinement_in_space_as_officially(smoke):
    tiling = kinds.smoke_refinement_tiling()
    came = pack(tiling, smoke_records(smoke))[0, 8]
    assert_golden(came, np.moveaxis(smoke["super/space_N0_t8"], 0, -1))
    tiling = kinds.smoke_refinement_tiling(kinds.IN_SPACE, 32, 32, (24, 20, 20))
    came = pack(tiling, smoke_records(smoke, (1, 2, 2)))[0]
    assert_golden(came, last(smoke["super/space_N1"]))


@pytest.mark.shared
def test_smoke_is_packed_for_refinement_in_time_as_officially(smoke):
    tiling = kinds.smoke_refinement_tiling(kinds.IN_TIME, 16, 64, (12, 40, 40))
    came = pack(tiling, smoke_records(smoke, (2, 1, 1)))[0]
    channels = smoke["super/time_N1_channels"]
    assert_golden(came[..., channels], last(smoke["super/time_N1"]))


@pytest.mark.parametrize(
    ("padded", "message"),
    [
        ((40, 64), r"hold its coefficients, \(41, 60\) along .* has \(40, 64\)"),
        ((64, 59), r"\(41, 60\) along .* has \(64, 59\)"),
        ((66, 64), "4 bands of .* do not divide 66 along 'time'"),
    ],
)
def test_arrays_hold_all_coefficients_and_whole_bands(padded, message):
    with pytest.raises(ValueError, match=message):
        kinds.burgers_tiling(padded=padded)


def test_there_is_a_scale_for_each_channel():
    with pytest.raises(ValueError, match="9 here, but got 1"):
        dataclasses.replace(kinds.burgers_tiling(), scale=(2.0,))


def test_a_record_may_have_instants_on_both_sides():
    record = Record("u", ("time", "x"), before=1, after=1)
    u, u0 = jnp.ones((2, 3, 4)), jnp.zeros((2, 4))
    whole = record.of({"u": u, "u0": u0})
    np.testing.assert_array_equal(whole[:, 0], u0)
    np.testing.assert_array_equal(whole[:, 1:], jnp.ones((2, 4, 4)))
