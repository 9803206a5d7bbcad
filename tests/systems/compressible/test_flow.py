"""Steps of a gas: their length, where they end, and rows that diverge."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.systems.compressible.finite_volume import PERIODIC, Primitive, to_conserved
from wdno.systems.compressible.flow import GasFlow, fastest_wave

FLOW = GasFlow(ratio=1.4, friction=1e-9, spacing=0.1, courant=0.5, boundary=PERIODIC)


def uniform(*rows):
    """Conserved densities of rows of uniform gas (ρ, v, p) on eight cells."""
    columns = np.array(rows, float).T
    tiled = (jnp.tile(jnp.asarray(column)[:, None], (1, 8)) for column in columns)
    return to_conserved(Primitive(*tiled), 1.4)


def test_the_fastest_wave_runs_with_the_flow():
    columns = np.array([[1.4, 5.6], [0.5, -3.0], [1.0, 4.0]])
    gas = Primitive(*(jnp.asarray(column)[None] for column in columns))
    np.testing.assert_allclose(fastest_wave(gas, 1.4), [4.0])


def test_longest_step_is_that_of_courant():
    step = FLOW.longest_step(uniform((1.4, 0.5, 1.0), (1.4, -3.0, 4.0)))
    np.testing.assert_allclose(step, [0.5 * 0.1 / 1.5, 0.5 * 0.1 / 5], rtol=1e-6)


def test_a_viscous_gas_takes_the_steps_of_diffusion():
    """h² / 2 ν with ν = friction / ρ, where sound hardly matters."""
    thick = dataclasses.replace(FLOW, friction=1e4)
    step = thick.longest_step(uniform((2.0, 0.0, 1.0)))
    np.testing.assert_allclose(step, 0.5 * 0.1**2 / (2 * 1e4 / 2), rtol=1e-4)


def test_uniform_gas_stays():
    cells = uniform((1.0, 0.3, 1.0), (2.0, -7.0, 0.1))
    for before, after in zip(cells, FLOW.advance(cells, 1.0), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-12)


@pytest.mark.parametrize("duration", [0.001, 0.1, 0.3333])
def test_every_row_ends_on_time(duration):
    """An Euler step that adds its size: the sum is the time."""

    class Clock(GasFlow):
        def euler(self, size, cells):
            return cells._replace(mass=cells.mass + 1e-6 * size[:, None])

    clock = Clock(**vars(FLOW))
    cells = uniform((1.4, 0.5, 1.0), (1.4, -3.0, 4.0), (1.4, 90.0, 4.0))
    passed = clock.advance(cells, duration).mass - cells.mass
    np.testing.assert_allclose(1e6 * passed, duration, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_a_row_that_makes_no_sense_ends_as_nan_alone(bad):
    cells = uniform((1.0, 0.3, bad), (1.0, 0.3, 1.0))
    after = jax.jit(FLOW.advance, static_argnums=1)(cells, 0.5)
    assert np.isnan(after.energy[0]).all()
    np.testing.assert_allclose(after.energy[1], cells.energy[1], rtol=1e-12)
