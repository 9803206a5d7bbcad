"""A shift by whole rows of coefficients is one in time, or it is refused."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from wdno import Field, Role, WaveletLayout
from wdno.wavelets.shift import rows_of, shifted

FIELDS = (
    Field("u", ("time", "x")),
    Field("share", ("time",)),
    Field("u_coarse", ("time", "x"), Role.COARSE, of="u", level=1),
    Field("u0", ("x",), Role.INITIAL, of="u"),
)


def layout_of(wavelet, mode="periodization", levels=1, frames=16):
    modes = (mode, "periodization")
    return WaveletLayout(FIELDS, ("time", "x"), (frames, 8), wavelet, modes, levels)


def random_fields(frames=16):
    draw = np.random.default_rng(0)
    shapes = {
        "u": (2, frames, 8),
        "share": (2, frames),
        "u_coarse": (2, frames // 2, 4),
        "u0": (2, 8),
    }
    return {name: jnp.asarray(draw.normal(size=s)) for name, s in shapes.items()}


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    ("wavelet", "mode"),
    [(w, "periodization") for w in ("haar", "db4", "sym4", "bior1.3", "bior2.4")]
    + [("haar", mode) for mode in ("boundary", "zero", "symmetric")],
)
def test_rows_are_shifted_exactly(wavelet, mode, levels):
    layout, fields = layout_of(wavelet, mode, levels), random_fields()
    frames = 2 * 2**levels
    later = {
        name: jnp.roll(u, -frames // (1 + (name == "u_coarse")), axis=1)
        for name, u in fields.items()
    } | {"u0": fields["u0"]}
    z = shifted(layout, layout.analysis(fields), frames)
    np.testing.assert_allclose(z, layout.analysis(later), rtol=0, atol=1e-12)
    assert rows_of(layout, frames) == 2


@pytest.mark.parametrize(
    ("wavelet", "mode"),
    [("db4", "boundary"), ("bior2.4", "symmetric"), ("db2", "zero")],
)
def test_filters_that_see_the_edge_are_refused(wavelet, mode):
    layout = layout_of(wavelet, mode)
    z = layout.analysis(random_fields())
    whole = layout.analysis({n: jnp.roll(u, -2, 1) for n, u in random_fields().items()})
    assert abs(jnp.roll(z, -1, axis=1) - whole)[..., 0].max() > 1e-3  # and rightly so
    with pytest.raises(ValueError, match="commutes with shifts.*'periodization'"):
        shifted(layout, z, 2)


@pytest.mark.parametrize("frames", [0, 3, 2, 16, True])
def test_what_is_no_whole_row_is_refused(frames):
    with pytest.raises(ValueError, match="multiples of 4 frames.*Choose such a tick"):
        rows_of(layout_of("haar", levels=2), frames)


def test_an_extent_that_halves_with_a_rest_is_refused():
    layout = layout_of("haar", "zero")
    layout = dataclasses.replace(layout, fields=FIELDS[:1], grid=(15, 8))
    with pytest.raises(ValueError, match="commutes with shifts"):
        rows_of(layout, 2)
