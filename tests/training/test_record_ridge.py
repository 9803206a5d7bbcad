"""Maps of whole records, fitted."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdno.operator.record_mean import RecordMean
from wdno.operator.tiles import Tiles
from wdno.training.record_ridge import fit_record_maps
from wdno.training.records import Records


def make_records(count=40, rank=2, noise=0.0):
    """A control in the left half of eight points, linear in where the state begins."""
    draw = np.random.default_rng(0)
    begin = draw.normal(size=(count, 8))
    begin[:, 5:] = 1.0  # never varies
    down, up = draw.normal(size=(8, rank)), draw.normal(size=(rank, 6, 8))
    up[..., 4:] = 0.0
    f = 0.5 * (np.arange(8) < 4) + np.einsum("nx,xr,rty->nty", begin, down, up)
    f[..., :4] += noise * draw.normal(size=f[..., :4].shape)
    fields = {"u0": begin.astype(np.float32), "f": f.astype(np.float32)}
    return Records(count, lambda rows: {n: a[rows] for n, a in fields.items()})


def make_mean(rank=2):
    return RecordMean(("f",), ("u0",), rank, Tiles((2,)))


def error_on(mean, records):
    fields = records.read(np.arange(records.count))
    found = mean.mapped({"u0": jnp.asarray(fields["u0"])})["f"]
    return float(np.square(found - fields["f"]).mean() / np.square(fields["f"]).mean())


def test_a_linear_course_is_found_from_few_records():
    records = make_records()
    mean = fit_record_maps(make_mean(), records)
    assert mean.tiles.acting == (0, 1)
    assert not np.asarray(mean.maps.down[5:]).any()
    assert error_on(mean, records) < 1e-9


def test_a_lower_rank_is_the_best_of_its_rank():
    records = make_records()
    found = error_on(fit_record_maps(make_mean(1), records), records)
    fields = records.read(np.arange(records.count))
    about = fields["f"].reshape(40, -1) - fields["f"].reshape(40, -1).mean(axis=0)
    values = np.linalg.svd(about, compute_uv=False)
    best = np.square(values[1:]).sum() / np.square(fields["f"]).sum()
    np.testing.assert_allclose(found, best, rtol=1e-3)


def test_noise_is_not_learned_by_heart():
    noisy, clean = make_records(30, noise=1.0), make_records(30)
    found = error_on(fit_record_maps(make_mean(), noisy), clean)
    assert found < 0.1


def test_too_few_or_equal_records_are_refused():
    with pytest.raises(ValueError, match="two or more"):
        fit_record_maps(make_mean(), make_records(1))
    one = make_records(3).read(np.zeros(3, int))
    equal = Records(3, lambda rows: {n: a[rows] for n, a in one.items()})
    with pytest.raises(ValueError, match="inputs that vary"):
        fit_record_maps(make_mean(), equal)
