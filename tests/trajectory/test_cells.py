"""Means over cells: what `cell_methods` says of them, and how they are coarsened."""

import numpy as np
import pytest
import xarray as xr

from wdno.trajectory import averaged_over, coarsen, to_dataset
from wdno.trajectory.cells import in_space

CELLS = {"cell_methods": "x: mean"}


@pytest.fixture
def record():
    """A quantity over 12 cells of the unit interval, and a control."""
    draw = np.random.default_rng(0)
    fields = {
        "u0": draw.normal(size=(2, 12)),
        "u": draw.normal(size=(2, 4, 12)),
        "f": draw.normal(size=(2, 4, 12)),
    }
    coords = {"time": np.arange(5.0), "x": (np.arange(12) + 0.5) / 12}
    return to_dataset(fields, coords, ("u",), ("f",), {"u": CELLS, "f": CELLS})


def test_what_is_said_of_space_stays_beside_time(record):
    assert record.u.attrs["cell_methods"] == "time: point x: mean"
    assert record.f.attrs["cell_methods"] == "time: mean x: mean"
    assert averaged_over(record.u) == averaged_over(record.f) == {"x"}
    assert not averaged_over(record.u.assign_attrs(cell_methods="time: mean"))
    assert in_space("x: point time: mean y: mean") == " x: point  y: mean"


def test_cells_are_merged_around_their_own_centres(record):
    coarse = coarsen(record, {"time": 1, "x": 4})
    np.testing.assert_allclose(coarse.x, (np.arange(3) + 0.5) / 3)
    for name in ("u", "f"):
        parts = record[name].values.reshape(2, 5, 3, 4)
        np.testing.assert_allclose(coarse[name], parts.mean(axis=3))
        assert coarse[name].attrs == record[name].attrs


def test_time_is_coarsened_as_ever(record):
    both = coarsen(record, 2)
    xr.testing.assert_allclose(
        both, coarsen(coarsen(record, {"time": 1, "x": 2}), {"time": 2, "x": 1})
    )
    np.testing.assert_allclose(both.u, record.u[:, ::2].coarsen(x=2).mean())
    acting = record.f[:, :-1].coarsen(x=2, time=2).mean()
    np.testing.assert_allclose(both.f[:, :-1], acting)


def test_bad_cells_are_refused(record):
    with pytest.raises(ValueError, match="factor must divide"):
        coarsen(record.isel(x=slice(11)), {"time": 1, "x": 2})
    mixed = record.assign(f=record.f.assign_attrs(cell_methods="time: mean"))
    with pytest.raises(ValueError, match=r"on 'x' only \['u'\] are such means"):
        coarsen(mixed, 2)
