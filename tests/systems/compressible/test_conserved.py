"""Records of a gas in mass, momentum and energy, against its system."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from wdno.systems.compressible import CompressibleNavierStokes, conserved, primitive
from wdno.trajectory import coarsen

FINE = CompressibleNavierStokes(points=64, frames=4, duration=0.1)


@pytest.fixture(scope="module")
def record():
    return FINE.trajectories(jax.random.key(0), samples=2)


def test_it_comes_back_with_its_labels(record):
    found = conserved(record)
    np.testing.assert_allclose(
        found.energy,
        record.pressure / (FINE.heat_ratio - 1)
        + record.density * record.velocity**2 / 2,
        rtol=1e-6,
    )
    assert found.momentum.attrs["cell_methods"] == "time: point x: mean"
    back = primitive(found)
    xr.testing.assert_allclose(back, record, rtol=1e-5)
    assert back.velocity.attrs["cell_methods"] == "time: point"
    assert back.pressure.dtype == record.pressure.dtype


def test_merged_cells_are_those_that_the_system_stores(record):
    """The same run, stored on 16 cells of 4 each by the solver itself."""
    system = replace(FINE, points=16, refinement=4)
    initial = primitive(coarsen(conserved(record), {"time": 1, "x": 4})).isel(time=0)
    uniform = conserved(record).isel(time=0).coarsen(x=4).mean(keep_attrs=True)
    fine = np.repeat(primitive(uniform).to_array().values, 4, axis=-1)
    started = record.isel(time=0).copy(
        data={name: fine[n] for n, name in enumerate(FINE.state)}
    )
    finely = conserved(FINE.run(started))
    merged = primitive(coarsen(finely, {"time": 1, "x": 4}))
    stored = system.run(initial)
    for name in FINE.state:
        np.testing.assert_allclose(merged[name], stored[name], atol=1e-5)
    np.testing.assert_allclose(merged.x, stored.x)


@pytest.mark.parametrize("change", [conserved, primitive])
def test_what_is_missing_is_named(record, change):
    with pytest.raises(ValueError, match="are missing from"):
        change(record[["density"]])
