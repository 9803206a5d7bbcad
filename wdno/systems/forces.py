"""Random forces in space and time."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

__all__ = ["gaussian", "random_forces"]

Bumps = Float[Array, "batch bump"]

MOST = 8
"""Largest number of Gaussians in a force."""


def random_forces(
    keys: Shaped[PRNGKeyArray, "6"],
    samples: int,
    time: Float[Array, " time"],
    x: Float[Array, " x"],
    spans: tuple[float, float],
) -> Float[Array, "samples time x"]:
    """Sums of one to eight Gaussians in space and time (WDNO, appendix F.1).

    ``f = sum_i a_i exp(-(x - c_i)²/2 w_i²) 2 exp(-(t - t_i)²/2 s_i²)`` with a_i uniform
    between -1.5 and 1.5, all but the first present with probability 1/2, c_i and t_i
    uniform, and w_i uniform between 0.1 and 0.4.

    Args:
        keys: one for each of: presence, a, c, w, t, s.
        samples: number of forces.
        time: instants in units of the duration.
        x: positions in units of the length.
        spans: range of s_i in units of the duration.
    """
    draw = partial(jax.random.uniform, shape=(samples, MOST), dtype=jnp.float32)
    present = jax.random.bernoulli(keys[0], shape=(samples, MOST)).at[:, 0].set(True)
    amplitude = jnp.where(present, draw(keys[1], minval=-1.5, maxval=1.5), 0)
    shortest, longest = spans
    width = draw(keys[3], minval=0.1, maxval=0.4)
    span = draw(keys[5], minval=shortest, maxval=longest)
    along_x = gaussian(x, draw(keys[2]), width)
    along_time = gaussian(time, draw(keys[4]), span)
    return jnp.einsum("bk,bkt,bkx->btx", 2 * amplitude, along_time, along_x)


def gaussian(
    at: Float[Array, " point"], centre: Bumps, width: Bumps
) -> Float[Array, "batch bump point"]:
    """Evaluate exp(-(x - centre)² / 2 width²) at the points ``at``."""
    deviation = (at[None, None, :] - centre[..., None]) / width[..., None]
    return jnp.exp(-(deviation**2) / 2)
