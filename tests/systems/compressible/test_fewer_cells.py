"""A gas on fewer cells than its record: merged, solved and parted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.systems import CompressibleNavierStokes
from wdno.systems.compressible import OnFewerCells

FEW = CompressibleNavierStokes(points=16, frames=4, duration=0.1)
FINE = CompressibleNavierStokes(points=64, frames=4, duration=0.1)


def conserved(density, velocity, pressure):
    momentum = density * velocity
    return density, momentum, pressure * 1.5 + momentum * velocity / 2


def cells_of(u):
    return np.asarray(u).reshape(*u.shape[:-1], FEW.points, -1)


def test_a_cell_in_one_part_is_the_system_itself():
    start = FEW.sample_inputs(jax.random.key(0), 3)
    found, alone = OnFewerCells(FEW, parts=1).solve(start), FEW.solve(start)
    for name, values in alone.items():
        np.testing.assert_allclose(found[name], values, 1e-5, 1e-5)


def test_the_few_cells_have_the_mass_momentum_and_energy_of_the_many():
    start = FINE.sample_inputs(jax.random.key(0), 3)
    merged = conserved(*start.values())
    few = {}
    for name, u in zip(FEW.state, merged, strict=True):
        few[name] = cells_of(u).mean(-1)
    density, momentum, energy = few.values()
    velocity = momentum / density
    pressure = (energy - momentum * velocity / 2) / 1.5
    values = (density, velocity, pressure)
    known = {f"{n}0": jnp.asarray(u) for n, u in zip(FEW.state, values, strict=True)}
    wanted, found = FEW.solve(known), OnFewerCells(FEW, parts=4).solve(start)
    for name, u in wanted.items():
        parts = cells_of(found[name])
        np.testing.assert_allclose(parts.mean(-1), u, 1e-4, 1e-5)
        # Parts lie between the means around them.
        around = np.stack([np.roll(u, n, axis=-1) for n in (-1, 0, 1)])[..., 1:-1]
        inner = parts[..., 1:-1, :]
        assert (inner <= around.max(0)[..., None] + 1e-5).all()
        assert (inner >= around.min(0)[..., None] - 1e-5).all()


def test_it_has_the_grid_of_the_record_and_a_record_of_any_length():
    system = OnFewerCells(FEW, parts=4)
    for name, values in FINE.coords.items():
        np.testing.assert_allclose(system.coords[name], values)
    assert system.over(9) == OnFewerCells(FEW.over(9), parts=4)
    with pytest.raises(ValueError, match="parted into one or more"):
        OnFewerCells(FEW, parts=0)
