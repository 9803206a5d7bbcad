"""Preconditioning against its conditions, and as the noise prediction of DDPM."""

import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.preconditioning import (
    DiscreteVariancePreserving,
    EDMPreconditioning,
    Preconditioning,
    VariancePreserving,
)
from wdno.diffusion.schedules import CosineSchedule, SigmoidSchedule

SIGMA = jnp.geomspace(1e-3, 1e3, 25)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
def test_karras_conditions(sigma_data):
    """Karras et al. 2022, appendix B.6: eq. 114, 120 and 127."""
    c_skip, c_out, c_in, c_noise = EDMPreconditioning(sigma_data)(SIGMA)

    def target_variance(skip):
        """Of x0 - skip (x0 + sigma n), which F has to predict times c_out."""
        return (1 - skip) ** 2 * sigma_data**2 + (skip * SIGMA) ** 2

    np.testing.assert_allclose(c_in**2 * (SIGMA**2 + sigma_data**2), 1.0, 1e-12)
    np.testing.assert_allclose(c_out**2, target_variance(c_skip), 1e-9)
    for other in (0.999 * c_skip, 1.001 * c_skip):  # errors of F count least
        assert jnp.all(target_variance(other) > target_variance(c_skip))
    np.testing.assert_allclose(c_noise, np.log(SIGMA) / 4, 1e-12)


def test_variance_preserving_is_ddpm():
    """Ho et al. 2020, eq. 4 for the input, eq. 15 for the estimate of x0."""
    c_skip, c_out, c_in, c_noise = VariancePreserving()(SIGMA)
    x, noise = 0.3 + SIGMA, 0.7
    abar = 1 / (1 + SIGMA**2)
    state = jnp.sqrt(abar) * x
    np.testing.assert_allclose(c_in * x, state, 1e-12)
    x0 = (state - jnp.sqrt(1 - abar) * noise) / jnp.sqrt(abar)
    np.testing.assert_allclose(c_skip * x + c_out * noise, x0, 1e-9, 1e-9)
    np.testing.assert_allclose(c_noise, np.log(SIGMA) / 4, 1e-12)


@pytest.mark.parametrize("schedule", [CosineSchedule(), SigmoidSchedule(40)])
def test_a_discrete_network_is_told_the_step_of_its_schedule(schedule):
    levels = jnp.asarray(schedule.table)
    *others, c_noise = DiscreteVariancePreserving(schedule)(levels)
    np.testing.assert_array_equal(c_noise, np.arange(schedule.timesteps))
    for found, expected in zip(others, VariancePreserving()(levels)[:3], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_each_is_a_preconditioning():
    kinds = (EDMPreconditioning, VariancePreserving, DiscreteVariancePreserving)
    assert all(isinstance(kind(), Preconditioning) for kind in kinds)
