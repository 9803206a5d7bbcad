"""Random scenes of smoke: where it starts, and how the ring is driven past way-points.

The distribution of WDNO's data (arXiv 2412.04833, appendix H, and its generator), in
cells of its 128 x 128 grid and steps of its 256.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

__all__ = ["SOURCE", "WAY_Y", "Route", "draw_route"]

SOURCE = 11
"""Edge of the square of smoke at the start."""
WAY_Y = (40.0, 50.0, 64.0, 112.0)
"""Heights of the four way-points: below the lid, beside it, above it, at the exit."""
SEGMENTS = len(WAY_Y)
SCALE_X = (2.0, 5.0)
SCALE_Y = 5.0
JITTER = 0.25


class Route(NamedTuple):
    """A path past four way-points, and the velocities that are meant to follow it."""

    start: Int[Array, "batch 2"]
    """Lower left corner (y, x) of the smoke."""
    velocity: Float[Array, "batch segment 2"]
    """Mean velocity (y, x) imposed at the start of each segment."""
    turn: Int[Array, "batch segment"]
    """Step at which each segment starts, 0 for the first."""


def draw_route(key: PRNGKeyArray, samples: int, steps: int) -> Route:
    """Draw paths from below the lid, round it on the nearer side, to the middle exit.

    Way-points are passed at equal speed; the velocity meant to do so is multiplied by
    a factor between 2 and 5 along x, 5 along y (most of what is imposed at the rim is
    lost on the way to the smoke), and jittered by a quarter of itself.

    Args:
        key: random key.
        samples: number of paths.
        steps: steps of the whole path.
    """
    keys = jax.random.split(key, 8)
    whole = partial(jax.random.randint, shape=(samples,))
    start_x = whole(keys[0], minval=22, maxval=97)
    start_y = whole(keys[1], minval=22, maxval=25)
    left = start_x < 54
    side = [
        jnp.where(left, whole(k, minval=21, maxval=54), whole(k, minval=64, maxval=97))
        for k in keys[2:4]
    ]
    above = whole(keys[4], minval=50, maxval=69)
    end = whole(keys[5], minval=56, maxval=62)
    x = jnp.stack([start_x, *side, above, end], axis=1).astype(jnp.float32)
    heights = jnp.broadcast_to(jnp.asarray(WAY_Y, jnp.float32), (samples, SEGMENTS))
    y = jnp.concatenate([start_y[:, None].astype(jnp.float32), heights], axis=1)
    leg = jnp.stack([jnp.diff(y), jnp.diff(x)], axis=-1)
    length = jnp.linalg.norm(leg, axis=-1)
    total = length.sum(axis=1, keepdims=True)
    direction = leg / length[..., None]
    scale_x = jax.random.uniform(keys[6], (samples,), jnp.float32, *SCALE_X)
    scale = jnp.stack([jnp.full_like(scale_x, SCALE_Y), scale_x], axis=1)
    mean = scale[:, None] * direction * (total / steps)[..., None]
    spread = JITTER * jnp.abs(mean)
    velocity = mean + spread * jax.random.normal(keys[7], mean.shape, jnp.float32)
    duration = jnp.floor(steps * length / total)[:, :-1].astype(jnp.int32)
    turn = jnp.pad(jnp.cumsum(duration, axis=1), ((0, 0), (1, 0)))
    return Route(jnp.stack([start_y, start_x], axis=1), velocity, turn)
