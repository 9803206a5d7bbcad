"""Layouts of one array for what is generated and what is given."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.official.array_layout import TiledConditions, TiledTargets
from wdno.official.channel_groups import Bands, Subbands
from wdno.official.kinds import burgers_tiling
from wdno.official.records import Geometry, Record
from wdno.official.tiling import Tiling
from wdno.wavelets.field import Field, Role

PLANE = ("time", "x")
U = Record("u", PLANE, before=1)
F = Record("f", PLANE, after=1, mode="constant")
ENDS = Bands("time", (Record("u0", ("x",)), Record("uT", ("x",))))
TILING = Tiling(
    Geometry(PLANE, (9, 12), (8, 8), "bior2.4", "periodization"),
    (Subbands(U), Subbands(F), ENDS),
    (10.0, 3.0, 3.0, 1.0, 21.0, 5.0, 5.0, 1.0, 10.0),
)
STATE, FORCE = Field("u", PLANE), Field("f", PLANE, Role.PIECEWISE_CONSTANT)
INITIAL = Field("u0", ("x",), Role.INITIAL, of="u")
FINAL = Field("uT", ("x",), Role.FINAL, of="u")
CONTROL = TiledTargets(TILING, (STATE, FORCE))
SIMULATION = TiledTargets(TILING, (STATE,))
ENDS_GIVEN = TiledConditions(TILING, (INITIAL, FINAL))
FORCED = TiledConditions(TILING, (INITIAL, FORCE))

analysis = jax.jit(lambda layout, fields: layout.analysis(fields), static_argnums=0)
synthesis = jax.jit(TiledTargets.synthesis, static_argnums=0)


def random(*shape, seed=0):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape))


def data(frames=8, points=12):
    """Frames of u and f, initial and final state, two rows."""
    u, f = (random(2, frames, points, seed=seed) for seed in (0, 1))
    u0, end = (random(2, points, seed=seed) for seed in (2, 3))
    return {"u": u, "f": f, "u0": u0, "uT": end}


# --- targets --------------------------------------------------------------------------


def test_the_grid_of_targets_has_frames_where_records_have_instants():
    assert CONTROL.grid == (8, 12) and CONTROL.coefficient_grid == (8, 8)
    assert CONTROL.dims == PLANE and CONTROL.levels == 1
    assert CONTROL.channels == TILING.channels


@pytest.mark.parametrize("targets", [CONTROL, SIMULATION])
def test_targets_come_back_with_the_instants_beside_them(targets):
    fields = data()
    z = analysis(targets, fields)
    came = synthesis(targets, z)
    wanted = {"u": fields["u"], "u_first": fields["u0"]}
    if targets is CONTROL:
        wanted |= {"f": fields["f"], "f_last": np.zeros((2, 12))}
    assert came.keys() == wanted.keys()
    for name, field in wanted.items():
        np.testing.assert_allclose(came[name], field, 0, 1e-12, err_msg=name)


def test_targets_have_the_array_of_all_fields():
    fields = data()
    u = jnp.concatenate([fields["u0"][:, None], fields["u"]], axis=1)
    f = jnp.pad(fields["f"], [(0, 0), (0, 1), (0, 0)])
    wanted = jax.jit(TILING.pack)(fields | {"u": u, "f": f})
    for layout in (CONTROL, SIMULATION):
        np.testing.assert_allclose(analysis(layout, fields), wanted, 0, 1e-14)


def test_targets_leave_out_fields_that_the_tiling_does_not_know():
    fields = data()
    z = analysis(CONTROL, {"nu": random(2), **fields})
    np.testing.assert_array_equal(z, analysis(CONTROL, fields))


def test_energy_share_is_the_squared_scale_over_its_mean():
    share = CONTROL.energy_share
    wanted = np.array([100, 9, 9, 1, 441, 25, 25, 1, 100]) / 79
    np.testing.assert_allclose(share, wanted, 1e-14)


# --- conditions -----------------------------------------------------------------------


def test_conditions_have_values_then_a_mask():
    names = TILING.channels
    assert FORCED.channels[:9] == names
    assert FORCED.channels[9:] == tuple(f"{name} is known" for name in names)
    assert FORCED.dims == PLANE and FORCED.coefficient_grid == (8, 8)
    fields = data()
    came = np.asarray(analysis(FORCED, fields))
    assert came.shape == (2, 8, 8, 18)
    whole = np.asarray(analysis(CONTROL, fields))
    known = TILING.known(["u0", "f"])
    np.testing.assert_array_equal(came[..., 9:], np.broadcast_to(known, whole.shape))
    np.testing.assert_allclose(came[..., :9], whole * known, 0, 1e-14)


def test_conditions_do_not_tell_what_is_generated():
    fields = data()
    came = analysis(ENDS_GIVEN, fields)
    alone = {name: fields[name] for name in ("u0", "uT")}
    np.testing.assert_array_equal(came, analysis(ENDS_GIVEN, alone))
    assert not came[..., :8].any() and came[..., 8].any()


def test_bands_of_fields_that_are_not_given_are_free():
    """In a simulation the final state is neither generated nor given."""
    known = np.asarray(analysis(FORCED, data()))[0, ..., 9:]
    assert known[:4, :, 8].all() and not known[4:, :6, 8].any()
    assert known[..., 4:8].all() and not known[:5, :6, :4].any()


@pytest.mark.parametrize("missing", [["u0"], ["f"], ["u0", "f"]])
def test_conditions_name_the_fields_that_are_missing(missing):
    fields = {name: field for name, field in data().items() if name not in missing}
    which = re.escape(f"needs the fields ['u0', 'f'], but {missing} are missing from")
    message = rf"{which} .*'u', .*Add"
    with pytest.raises(ValueError, match=message):
        FORCED.analysis(fields)


# --- both -----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [CONTROL, ENDS_GIVEN])
def test_on_another_grid_only_the_grid_differs(layout):
    finer = layout.on([16, 24])
    assert finer == type(layout)(TILING.on((17, 24)), layout.fields)
    assert finer.coefficient_grid == (16, 16) and finer.channels == layout.channels
    assert finer.on((8, 12)) == layout
    assert analysis(finer, data(16, 24)).shape == (2, 16, 16, len(layout.channels))


@pytest.mark.parametrize("layout", [CONTROL, FORCED])
def test_keeps_single_precision(layout):
    fields = jax.tree.map(lambda field: field.astype(jnp.float32), data())
    assert jax.eval_shape(layout.analysis, fields).dtype == np.float32


def test_equal_layouts_compile_once():
    calls = jax.jit(lambda layout, f: layout.analysis(f).sum(), static_argnums=0)
    for layout in (FORCED, TiledConditions(FORCED.tiling, FORCED.fields)):
        calls(layout, data())
    assert calls._cache_size() == 1
    assert len({CONTROL, SIMULATION, FORCED, ENDS_GIVEN, CONTROL.on((16, 24))}) == 5


@pytest.mark.parametrize("names", [(), ("v",), ("u_coarse",)])
def test_fields_are_records_of_the_array(names):
    fields = tuple(Field(name, ("time", "x")) for name in names)
    for kind in (TiledTargets, TiledConditions):
        with pytest.raises(ValueError, match="are records of its array"):
            kind(burgers_tiling(), fields)
