"""Fields <-> named wavelet channels: identities, PyWavelets and official values."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from wdno.wavelets.field import Field
from wdno.wavelets.layout import WaveletLayout

DIMS = ("time", "y", "x")
EVEN = ("periodization", "boundary")
U, U0 = Field("u", ("time", "x")), Field("u0", ("x",))
F, NU = Field("f", ("time", "x")), Field("nu", ())
COARSE = Field("u_coarse", ("time", "x"), level=1)

pytestmark = pytest.mark.filterwarnings("ignore:Level value of")

analysis = jax.jit(WaveletLayout.analysis, static_argnums=0)
synthesis = jax.jit(WaveletLayout.synthesis, static_argnums=0)


def plane(*fields, grid=(8, 12), wavelet="bior2.4", levels=1, scale=()):
    """A layout over time and x that joins the ends of both axes."""
    mode = ("periodization",) * 2
    return WaveletLayout(fields, ("time", "x"), grid, wavelet, mode, levels, scale)


def random(*shape, seed=0, dtype="float64"):
    drawn = np.random.default_rng(seed).normal(size=shape)
    return jax.device_put(drawn.astype(dtype))


def data(layout, batch=3, seed=0, dtype="float64"):
    """Independent normal values for every field of `layout`."""
    fields = {}
    for number, q in enumerate(layout.fields):
        grid = zip(layout.dims, layout.grid, strict=True)
        extents = [n // 2**q.level for dim, n in grid if dim in q.dims]
        fields[q.name] = random(batch, *extents, seed=(seed, number), dtype=dtype)
    return fields


def channel(layout, z, name):
    return z[..., layout.channels.index(name)]


def assert_fields_close(came, wanted, tolerance):
    assert came.keys() == wanted.keys()
    for name, field in wanted.items():
        np.testing.assert_allclose(came[name], field, 0, tolerance, err_msg=name)


# --- identity -------------------------------------------------------------------------


@st.composite
def settings_of_layouts(draw):
    """Arguments of a layout: any fields and modes, odd extents where these allow."""
    dims = DIMS[: draw(st.integers(1, 2))]
    levels = draw(st.integers(1, 3))
    subsets = [
        tuple(itertools.compress(dims, draw(st.tuples(*[st.booleans()] * len(dims)))))
        for _ in range(draw(st.integers(1, 3)))
    ]
    fields = [
        Field(f"q{i}", s, level=draw(st.integers(0, 1))) for i, s in enumerate(subsets)
    ]
    modes = (*EVEN, "zero", "symmetric", "periodic", "reflect", "antisymmetric")
    mode = tuple(draw(st.sampled_from(modes)) for _ in dims)
    grid = []
    for dim, name in zip(dims, mode, strict=True):
        coarse = any(q.level and dim in q.dims for q in fields)
        multiple = 2**levels if name in EVEN else 2 if coarse else 1
        count = draw(st.integers(2, 3))
        grid.append(multiple * count + (3 if multiple == 1 else 0))
    wavelet = draw(st.sampled_from(["haar", "db2"]))
    return tuple(fields), dims, tuple(grid), wavelet, mode, levels


@given(settings_of_layouts())
@settings(max_examples=15, deadline=None)
def test_synthesis_inverts_analysis(arguments):
    layout = WaveletLayout(*arguments)
    scale = tuple(np.linspace(0.5, 20.0, len(layout.channels)))
    layout = dataclasses.replace(layout, scale=scale)
    wanted = data(layout, batch=2)
    z = analysis(layout, wanted)
    assert z.shape == (2, *layout.coefficient_grid, len(layout.channels))
    assert len(set(layout.channels)) == len(layout.channels)
    assert_fields_close(synthesis(layout, z), wanted, 1e-10)


@pytest.mark.parametrize("wavelet", ["bior2.4", "db4", "rbio2.6", "coif2"])
def test_synthesis_inverts_analysis_in_three_dimensions(wavelet):
    fields = [
        Field("u", DIMS),
        Field("u0", DIMS[1:]),
        Field("inflow", DIMS[::2], level=1),
    ]
    mode = ("symmetric", "periodization", "zero")
    layout = WaveletLayout((*fields, NU), DIMS, (6, 8, 10), wavelet, mode, levels=2)
    wanted = data(layout, batch=1)
    assert_fields_close(synthesis(layout, analysis(layout, wanted)), wanted, 1e-10)


# --- values ---------------------------------------------------------------------------


@pytest.mark.parametrize("wavelet", ["haar", "bior2.4"])
def test_one_level_is_pywavelets_channel_by_channel(wavelet):
    layout = plane(U, U0, NU, wavelet=wavelet)
    assert layout.channels == (
        "u:aa",
        "u:ad",
        "u:da",
        "u:dd",
        "u0:a",
        "u0:d",
        "nu:value",
    )
    fields = data(layout)
    z = analysis(layout, fields)
    assert z.shape == (3, *layout.coefficient_grid, 7) == (3, 4, 6, 7)
    for name, axes in (("u", (1, 2)), ("u0", (1,))):
        wanted = pywt.dwtn(fields[name], wavelet, "periodization", axes)
        for key, c in wanted.items():
            c = c if name == "u" else np.broadcast_to(c[:, None], (3, 4, 6))
            np.testing.assert_allclose(channel(layout, z, f"{name}:{key}"), c, 0, 1e-13)
    everywhere = np.broadcast_to(fields["nu"][:, None, None], (3, 4, 6))
    np.testing.assert_array_equal(channel(layout, z, "nu:value"), everywhere)


def test_two_levels_are_pywavelets_channel_by_channel():
    layout = plane(U, U0, levels=2)
    fields = data(layout)
    z = analysis(layout, fields)
    assert z.shape == (3, 2, 3, 16 + 4)
    approximation, coarse, fine = pywt.wavedecn(
        fields["u"], "bior2.4", "periodization", 2, (1, 2)
    )
    wanted = {"u:aa2": approximation} | {f"u:{key}2": c for key, c in coarse.items()}
    for (key, c), i, j in itertools.product(fine.items(), (0, 1), (0, 1)):
        wanted[f"u:{key}1[{i}.{j}]"] = c[:, i::2, j::2]
    low, middle, high = pywt.wavedec(fields["u0"], "bior2.4", "periodization", 2)
    states = {"a2": low, "d2": middle, "d1[0]": high[:, ::2], "d1[1]": high[:, 1::2]}
    for key, c in states.items():
        wanted[f"u0:{key}"] = np.broadcast_to(c[:, None], (3, 2, 3))
    assert set(wanted) == set(layout.channels)
    for name, c in wanted.items():
        np.testing.assert_allclose(channel(layout, z, name), c, 0, 1e-13, err_msg=name)


@pytest.mark.parametrize("level", range(4))
def test_equals_the_official_coefficients(shared, level):
    """Odd extents are refused here; the official code repeats the last sample."""
    with np.load(shared / "golden" / "packing1d_bior24.npz") as golden:
        u, f = golden["u"], np.pad(golden["f"], [(0, 0), (0, 1), (0, 0)])
        wanted = golden[f"coef/level{level}"]
    step = slice(None, None, 2**level)
    fields = {}
    for name, field in (("u", u[:, step, step]), ("f", f[:, step, step])):
        odd = [(0, n % 2) for n in field.shape]
        fields[name] = jnp.asarray(np.pad(field, [(0, 0), *odd[1:]], mode="edge"))
    layout = plane(U, F, grid=fields["u"].shape[1:])
    z = analysis(layout, fields)
    assert z.dtype == np.float32
    for quantity, name in enumerate(("u", "f")):
        for subband, key in enumerate(("aa", "da", "ad", "dd")):
            came = channel(layout, z, f"{name}:{key}")
            np.testing.assert_allclose(came, wanted[:, quantity, subband], 0, 2e-5)


def test_equals_the_official_map_of_the_initial_state(shared):
    with np.load(shared / "golden" / "packing1d_bior24.npz") as golden:
        wanted, u0 = golden["packed/sim_condition"], jnp.asarray(golden["u"][:, 0])
        scale = float(golden["rescaler"][8])
    layout = plane(U0, grid=(64, 120), scale=(scale, scale))
    z = analysis(layout, {"u0": u0})
    for rows, name in ((slice(16), "u0:a"), (slice(16, 32), "u0:d")):
        came = channel(layout, z, name)[:, rows]
        np.testing.assert_allclose(came, wanted[:, rows, :60], 0, 2e-6)


def test_a_coarse_field_is_its_repetition_on_the_grid():
    layout, fields = plane(COARSE), data(plane(COARSE))
    assert fields["u_coarse"].shape == (3, 4, 6)
    repeated = {"u": fields["u_coarse"].repeat(2, axis=1).repeat(2, axis=2)}
    z = analysis(layout, fields)
    np.testing.assert_allclose(z, analysis(plane(U), repeated), 0, 1e-14)
    assert_fields_close(synthesis(layout, z), fields, 1e-12)


# --- channels and axes ----------------------------------------------------------------


def test_select_takes_the_channels_with_the_name_of_the_field():
    # one name begins with another one's
    layout = plane(U, U0, Field("u0_coarse", ("x",), level=1), NU, levels=2)
    fields = data(layout)
    z, count = analysis(layout, fields), 0
    for q in layout.fields:
        came = layout.select(z, q.name)
        names = [name for name in layout.channels if name.startswith(f"{q.name}:")]
        wanted = [channel(layout, z, name) for name in names]
        np.testing.assert_array_equal(came, np.stack(wanted, axis=-1))
        alone = dataclasses.replace(layout, fields=(q,))
        np.testing.assert_allclose(came, analysis(alone, fields), 0, 1e-14)
        count += len(names)
    assert count == len(layout.channels)


def test_a_broadcast_axis_averages_back():
    layout = plane(U, U0, NU)
    z = random(2, *layout.coefficient_grid, len(layout.channels))
    came = synthesis(layout, z)
    low, high = (channel(layout, z, f"u0:{key}").mean(axis=1) for key in "ad")
    wanted = pywt.idwt(low, high, "bior2.4", "periodization")
    np.testing.assert_allclose(came["u0"], wanted, 0, 1e-13)
    wanted = channel(layout, z, "nu:value").mean(axis=(1, 2))
    np.testing.assert_allclose(came["nu"], wanted, 0, 1e-14)


def test_on_another_grid_only_the_grid_differs():
    scale = tuple(np.linspace(1.0, 2.0, 6))
    layout = plane(U, U0, scale=scale)
    finer = layout.on([16, 24])
    assert finer == plane(U, U0, grid=(16, 24), scale=scale)
    assert finer.channels == layout.channels and finer.coefficient_grid == (8, 12)
    assert finer.on((8, 12)) == layout
    fields = data(finer)
    assert_fields_close(synthesis(finer, analysis(finer, fields)), fields, 1e-12)


# --- scales ---------------------------------------------------------------------------


def test_fit_gives_every_channel_unit_root_mean_square():
    layout = plane(U, U0, levels=2)
    batches = [data(layout, batch, seed) for seed, batch in enumerate((2, 5, 2))]
    batches = [{"u": 1e3 * b["u"], "u0": 1e-3 * b["u0"]} for b in batches]
    fitted = layout.fit(iter(batches))
    z = jnp.concatenate([analysis(fitted, batch) for batch in batches])
    np.testing.assert_allclose(jnp.square(z).mean(axis=(0, 1, 2)), 1.0, 1e-12)
    plain = analysis(layout, batches[0])
    wanted = plain / np.reshape(fitted.scale, (1, 1, 1, -1))
    np.testing.assert_allclose(analysis(fitted, batches[0]), wanted, 1e-12)
    assert_fields_close(
        synthesis(fitted, analysis(fitted, batches[1])), batches[1], 1e-9
    )


def test_fit_starts_afresh():
    fields = data(plane(U))
    once = plane(U).fit([fields])
    np.testing.assert_allclose(once.fit([fields]).scale, once.scale, 1e-14)


def test_fit_keeps_scale_one_where_a_field_is_zero():
    layout = plane(U, F)
    fields = data(layout) | {"f": jnp.zeros((3, 8, 12))}
    scale = dict(zip(layout.channels, layout.fit([fields]).scale, strict=True))
    assert {scale[f"f:{key}"] for key in ("aa", "ad", "da", "dd")} == {1.0}
    assert 1.0 not in {scale[f"u:{key}"] for key in ("aa", "ad", "da", "dd")}


def test_fit_does_not_blow_rounding_errors_up():
    """Details of a field that is constant in time are zero but for rounding."""
    layout = plane(U, F, levels=2)
    fields = data(layout, dtype="float32")
    fields["f"] = 1e-9 * jnp.repeat(fields["f"][:, :1], 8, axis=1)
    scale = dict(zip(layout.channels, layout.fit([fields]).scale, strict=True))
    constant = {s for name, s in scale.items() if re.match("f:d[ad]", name)}
    varying = [s for name, s in scale.items() if re.match("f:a[ad]", name)]
    assert constant == {1.0}
    assert max(varying) < 1e-8  # however small: smallness is relative to the field


def test_energy_share_turns_errors_of_coefficients_into_errors_of_fields():
    """Parseval: mean square of each error over that of its field, fields alike."""
    layout = plane(U, F, U0, NU, wavelet="db2", levels=2)
    one, other = data(layout, seed=1), data(layout, seed=2)
    units = {"u": 7.0, "f": 0.1, "u0": 7.0, "nu": 1e-4}
    one, other = ({n: units[n] * b[n] for n in b} for b in (one, other))
    layout = layout.fit([one, other])
    share = layout.energy_share
    np.testing.assert_allclose(share.mean(), 1.0, 1e-14)
    gaps = np.asarray(analysis(layout, one) - analysis(layout, other))

    def mean_square(*fields):
        return np.mean(np.square(np.stack(fields)))

    wanted = [
        mean_square(one[n] - other[n]) / mean_square(one[n], other[n]) for n in units
    ]
    np.testing.assert_allclose(np.mean(share * np.square(gaps)), np.mean(wanted), 1e-12)


def test_energy_share_does_not_depend_on_the_units_of_a_field():
    layout = plane(U, F, levels=2)
    fields = data(layout)
    share = layout.fit([fields]).energy_share
    other = layout.fit([{"u": 1e3 * fields["u"], "f": 1e-3 * fields["f"]}])
    np.testing.assert_allclose(other.energy_share, share, 1e-12)
    squares = np.square(layout.fit([fields]).scale)
    for name in ("u", "f"):  # within a field it is that of the energy
        mine = [channel.startswith(f"{name}:") for channel in layout.channels]
        np.testing.assert_allclose(share[mine].mean(), 1.0, 1e-14)
        ratio = share[mine] / squares[mine]
        np.testing.assert_allclose(ratio, ratio[0], 1e-12)


def test_energy_is_shared_equally_among_fields_without_scales():
    share = plane(U, U0).energy_share
    np.testing.assert_allclose(share, [0.75] * 4 + [1.5] * 2, 1e-14)
    np.testing.assert_array_equal(plane(U, F).energy_share, np.ones(8))


# --- as a function --------------------------------------------------------------------


def test_is_linear():
    layout = plane(U, U0, scale=tuple(np.linspace(0.5, 3.0, 6)))
    x, y = data(layout, seed=1), data(layout, seed=2)
    combined = jax.tree.map(lambda a, b: 2.0 * a - b, x, y)
    z = 2.0 * analysis(layout, x) - analysis(layout, y)
    np.testing.assert_allclose(analysis(layout, combined), z, 0, 1e-13)
    assert_fields_close(synthesis(layout, z), combined, 1e-12)


def test_is_the_same_with_and_without_jit_and_under_vmap():
    layout = plane(U, U0)
    fields = data(layout)
    z = layout.analysis(fields)
    np.testing.assert_allclose(analysis(layout, fields), z, 0, 1e-14)
    single = jax.tree.map(lambda f: f[:, None], fields)
    rows = jax.vmap(layout.analysis)(single)
    np.testing.assert_allclose(rows[:, 0], z, 0, 1e-14)
    back = jax.tree.map(lambda f: f[:, 0], jax.vmap(layout.synthesis)(rows))
    assert_fields_close(back, layout.synthesis(z), 1e-13)


def test_gradient_of_an_orthogonal_synthesis_is_the_analysis():
    layout = plane(U, wavelet="db2")
    wish = data(layout)["u"]
    z = jnp.zeros((3, 4, 6, 4))
    gradient = jax.grad(lambda z: jnp.vdot(wish, layout.synthesis(z)["u"]))(z)
    np.testing.assert_allclose(gradient, analysis(layout, {"u": wish}), 0, 1e-13)


def test_keeps_single_precision():
    layout = plane(U, U0, COARSE, scale=(0.3,) * 10)
    z = analysis(layout, data(layout, dtype="float32"))
    fields = synthesis(layout, z)
    assert {z.dtype, *(f.dtype for f in fields.values())} == {np.dtype("float32")}


def test_equal_layouts_compile_once():
    calls = jax.jit(lambda layout, f: layout.analysis(f).sum(), static_argnums=0)
    layouts = [plane(U, U0, scale=(1.5,) * 6) for _ in range(2)]
    fields = data(layouts[0])
    assert layouts[0] == layouts[1] and hash(layouts[0]) == hash(layouts[1])
    for layout in layouts:
        calls(layout, fields)
    assert calls._cache_size() == 1
    assert layouts[0] != plane(U, U0)
    assert len({*layouts, plane(U, U0), plane(U0, U)}) == 3


# --- bad input ------------------------------------------------------------------------

HALF = ("periodization", "zero")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (8,)}, r"one extent and one mode per axis.*\(8,\).*Give one each"),
        ({"mode": ("zero",)}, r"one mode per axis.*modes \('zero',\)"),
        (
            {"grid": (9, 12)},
            "'periodization' .* 9 samples along 'time'.*divisible by 2",
        ),
        ({"levels": 3}, "12 samples along 'x'.*divisible by 8.*fewer levels"),
        (
            {"mode": ("boundary", "zero"), "grid": (6, 9), "levels": 2},
            "'boundary' .* 6 samples along 'time'.*divisible by 4 .*own field",
        ),
        (
            {"fields": (COARSE,), "mode": HALF, "grid": (8, 9)},
            "coarse fields .* 9 samples along 'x'.*divisible by 2",
        ),
        ({"fields": (Field("u", ("time", "y")),)}, r"\('time', 'x'\).*'u' has .*'y'"),
        ({"fields": (Field("u", ("x", "time")),)}, r"in that order, but 'u' has \('x'"),
        ({"fields": (Field("u", ("x", "x")),)}, r"'u' has \('x', 'x'\).*Rename"),
        ({"scale": (1.0, 2.0)}, "one scale per channel, 6 here, but got 2.*another"),
    ],
)
def test_a_layout_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(plane(U, U0), **change)


def test_an_odd_extent_is_allowed_where_nothing_halves_it():
    layout = dataclasses.replace(plane(U, U0), mode=HALF, grid=(8, 9))
    fields = data(layout)
    assert_fields_close(synthesis(layout, analysis(layout, fields)), fields, 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u0": None}, r"needs the fields \['u', 'u0'\], but 'u0' is missing.*Add it"),
        (
            {"u": (3, 8, 10)},
            r"'u' has axes \(batch, time, x\).*\(8, 12\).*\(3, 8, 10\)",
        ),
        ({"u0": (3, 8, 12)}, r"'u0' has axes \(batch, x\).*Interpolate it"),
        ({"u0": (12,)}, r"'u0' has axes \(batch, x\).*got shape \(12,\)"),
    ],
)
def test_analysis_refuses(change, message):
    layout = plane(U, U0)
    fields = data(layout)
    for name, shape in change.items():
        del fields[name]
        if shape is not None:
            fields[name] = jnp.zeros(shape)
    with pytest.raises(ValueError, match=message):
        layout.analysis(fields)


def test_analysis_asks_for_a_coarse_field_on_its_own_grid():
    with pytest.raises(ValueError, match=r"extents \(batch, \(4, 6\)\), but got shape"):
        plane(COARSE).analysis({"u_coarse": jnp.zeros((3, 8, 12))})


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (2, 4, 5, 6), (2, 8, 12, 6)])
def test_synthesis_refuses_coefficients_of_another_layout(shape):
    message = r"\(4, 6, 6\).*\('u:aa', .*'u0:d'\), but got .*another layout\?"
    with pytest.raises(ValueError, match=message):
        plane(U, U0).synthesis(jnp.zeros(shape))


def test_select_refuses_a_name_that_is_no_field():
    layout = plane(U, U0)
    z = jnp.zeros((1, 4, 6, 6))
    for name in ("v", "u:aa", ""):
        with pytest.raises(ValueError, match=rf"got '{name}'.*\['u', 'u0'\]"):
            layout.select(z, name)


def test_fit_needs_data():
    with pytest.raises(ValueError, match="got no batch.*Pass at least one"):
        plane(U).fit([])


def test_an_unknown_wavelet_is_named():
    with pytest.raises(ValueError, match="'bior24' is not a wavelet.*'bior2.4'"):
        _ = plane(U, wavelet="bior24").coefficient_grid
