"""A neural operator: points are mixed by its kernels, and by nothing else."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from tiny_networks import CHANNELS, CONDITION, call, filled, inputs

from wdno.networks.kernel_operator import KernelOperator


class Shift(nnx.Module):
    """Moves features by a grid point along the first axis."""

    def __call__(self, x):
        return jnp.roll(x, 1, axis=1)


def test_points_reach_each_other_by_the_kernels_alone():
    """Two shifts: a point reaches the next two."""
    make = lambda: KernelOperator(  # noqa: E731
        Shift, 2, 8, CHANNELS, CONDITION, rngs=nnx.Rngs(0)
    )
    network, (x, c_noise, cond) = filled(make), inputs(7, 3)
    out = call(network, x, c_noise, cond)
    for other in ((x.at[:, 2, 1].add(1.0), cond), (x, cond.at[:, 2, 1].add(1.0))):
        gap = np.asarray(abs(call(network, other[0], c_noise, other[1]) - out))
        reached = np.zeros((7, 3), bool)
        reached[2:5, 1] = True
        np.testing.assert_array_equal(gap.max(axis=(0, 3)) > 1e-6, reached)
