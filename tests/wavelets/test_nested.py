"""Coefficients of a layout as the nested lists of PyWavelets, and back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wdno.wavelets import as_wavedec, as_wavedec2, from_nested, to_nested
from wdno.wavelets.field import Field
from wdno.wavelets.layout import WaveletLayout

analysis = jax.jit(WaveletLayout.analysis, static_argnums=0)
nested_of = jax.jit(to_nested, static_argnums=0)

pytestmark = pytest.mark.filterwarnings("ignore:Level value of")

OTHERS = [mode for mode in pywt.Modes.modes if mode != "periodization"]
U, U0, NU = Field("u", ("time", "x")), Field("u0", ("x",)), Field("nu", ())
FULL = Field("v", ("time", "y", "x"))


def layout(*fields, dims=("time", "x"), grid=(8, 12), mode="periodization", **more):
    modes = (mode,) * len(dims) if isinstance(mode, str) else mode
    made = WaveletLayout(fields, dims, grid, mode=modes, **({"wavelet": "db2"} | more))
    scale = 0.5 + np.arange(len(made.channels))
    return dataclasses.replace(made, scale=tuple(scale.tolist()))


def data(made, batch=3):
    draw = np.random.default_rng(0)
    return {
        q.name: draw.normal(
            size=(batch, *(made.grid[made.dims.index(d)] for d in q.dims))
        )
        for q in made.fields
    }


def analysed(made, fields):
    return analysis(made, {name: jnp.asarray(v) for name, v in fields.items()})


def assert_alike(ours, theirs):
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-12)
    assert len(ours) == len(theirs)
    for level, expected in zip(ours[1:], theirs[1:], strict=True):
        assert level.keys() == expected.keys()
        for key in expected:
            np.testing.assert_allclose(level[key], expected[key], atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "levels", "grid"),
    [
        *((pair, 2, (12, 17)) for pair in zip(OTHERS[::2], OTHERS[1::2], strict=True)),
        ("periodization", 1, (8, 12)),
        ("periodization", 3, (8, 24)),
    ],
)
def test_coefficients_are_those_of_pywavelets(mode, levels, grid):
    made = layout(U, U0, NU, grid=grid, mode=mode, levels=levels)
    fields = data(made)
    nested = nested_of(made, analysed(made, fields))
    modes, names = dict(zip(made.dims, made.mode, strict=True)), {"u": U, "u0": U0}
    for name, quantity in names.items():
        own = tuple(modes[dim] for dim in quantity.dims)
        axes = tuple(range(1, 1 + len(quantity.dims)))
        theirs = pywt.wavedecn(fields[name], made.wavelet, own, levels, axes=axes)
        assert_alike(nested[name], theirs)
    np.testing.assert_allclose(nested["nu"], [fields["nu"]])


def test_coefficients_on_three_axes_are_those_of_pywavelets():
    dims, modes = ("time", "y", "x"), ("periodization", "symmetric", "zero")
    made = layout(FULL, dims=dims, grid=(8, 4, 6), mode=modes, levels=2)
    fields = data(made)
    theirs = pywt.wavedecn(fields["v"], made.wavelet, modes, 2, axes=(1, 2, 3))
    assert_alike(nested_of(made, analysed(made, fields))["v"], theirs)


class Tensor:
    """What is no array of NumPy but can be read as one, like a tensor of PyTorch."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_what_pywavelets_transforms_becomes_the_fields_again():
    """In its three forms, beside scales, with a field that lacks an axis."""
    made = layout(U, U0, levels=2, grid=(8, 12))
    fields = data(made)
    how = {"wavelet": "db2", "mode": "periodization", "level": 2}
    wide = pywt.wavedecn(fields["u"], axes=(1, 2), **how)
    triples = pywt.wavedec2(fields["u"], axes=(1, 2), **how)
    single = pywt.wavedec(fields["u0"], axis=1, **how)
    read = [Tensor(wide[0]), *({k: Tensor(v) for k, v in b.items()} for b in wide[1:])]
    for u in (wide, triples, tuple(read)):
        z = from_nested(made, {"u": u, "u0": single})
        np.testing.assert_allclose(z, analysed(made, fields), atol=1e-12)
    nested = nested_of(made, z)
    np.testing.assert_allclose(from_nested(made, nested), z, atol=1e-12)
    how.pop("level")
    back = pywt.waverecn(nested["u"], axes=(1, 2), **how)
    np.testing.assert_allclose(back, fields["u"], atol=1e-12)
    back = pywt.waverec2(as_wavedec2(nested["u"]), axes=(1, 2), **how)
    np.testing.assert_allclose(back, fields["u"], atol=1e-12)
    back = pywt.waverec(as_wavedec(nested["u0"]), axis=1, **how)
    np.testing.assert_allclose(back, fields["u0"], atol=1e-12)


def test_modes_that_pywavelets_lacks_come_back_unchanged():
    made = layout(U, NU, mode="boundary", wavelet="db4", grid=(16, 24), levels=2)
    z = analysed(made, data(made))
    np.testing.assert_allclose(from_nested(made, nested_of(made, z)), z, atol=1e-12)


def test_coefficients_of_other_layouts_are_refused():
    made = layout(U, U0, levels=2, grid=(8, 12))
    z = analysed(made, data(made))
    nested = nested_of(made, z)
    u, u0 = nested["u"], nested["u0"]
    lacking = [*u[:2], {key: band for key, band in u[2].items() if key != "ad"}]
    other = [u[0], u[1], {**u[2], "ad": u[2]["ad"][:, :-1]}]
    cases = [
        ({"u": u}, r"came for \['u'\]"),
        ({"u": u[:2], "u0": u0}, "the details of 2 levels, but 2 entries came"),
        ({"u": lacking, "u0": u0}, r"level 1 of 'u' .* the keys \['da', 'dd'\] came"),
        ({"u": other, "u0": u0}, r"'ad' on level 1 of 'u' has the shape \(3, 4, 6\)"),
        ({"u": [*u[:2], (1.0, 2.0)], "u0": u0}, "but 2 arrays came"),
        ({"u": [*u[:2], None], "u0": u0}, "but a NoneType came"),
        ({"u": u, "u0": [1.0, *u0[1:]]}, r"approximation of 'u0' has the shape \(3,"),
        ({"u": u, "u0": [np.asarray(u0[0]) * 1j, *u0[1:]]}, "complex"),
        (
            {"u": u, "u0": [u0[0][:2], {"d": u0[1]["d"][:2]}, {"d": u0[2]["d"][:2]}]},
            r"\{'u': 3, 'u0': 2\}",
        ),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            from_nested(made, given)
    with pytest.raises(ValueError, match="another layout"):
        to_nested(made, z[..., :-1])
    with pytest.raises(ValueError, match="This form is for details on 1 of the axes"):
        as_wavedec(u)
    with pytest.raises(ValueError, match=r"got \['d'\]"):
        as_wavedec2(u0)
