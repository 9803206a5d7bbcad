"""Random scenes of smoke: where it starts, and how the ring is driven past way-points.

The distribution of WDNO's data (arXiv 2412.04833, appendix H, and its generator), in
cells of its 128 x 128 grid and steps of its 256.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno.systems.smoke.flow import Controls, Flow, Plane
from wdno.systems.smoke.geometry import LENGTH
from wdno.systems.smoke.staggered import Faces

__all__ = ["SOURCE", "WAY_Y", "Route", "draw_route", "drive", "random_drive", "squares"]

SOURCE = 11
"""Edge of the square of smoke at the start."""
WAY_Y = (40.0, 50.0, 64.0, 112.0)
"""Heights of the four way-points: below the lid, beside it, above it, at the exit."""
SEGMENTS = len(WAY_Y)
SCALE_X = (2.0, 5.0)
SCALE_Y = 5.0
JITTER = 0.25
DRIFT = 0.1
"""Standard deviation of what a random control gains at every step and place."""
ROUGHNESS = 0.1
"""Noise of a random control where it is set anew, as a share of it."""


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
    whole = partial(jax.random.randint, shape=(samples,), dtype=jnp.int32)
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


def squares(corner: Int[Array, "sample 2"], points: int) -> Float[Array, "sample y x"]:
    """Squares of smoke of density 1 on stored points.

    Args:
        corner: lower left corners (y, x), in cells.
        points: stored along each axis.
    """
    places = jnp.arange(points, dtype=jnp.float32) * (LENGTH / points)
    start = jnp.asarray(corner, jnp.float32)
    y, x = (places[None] - start[:, axis, None] for axis in (0, 1))
    y, x = ((edge >= 0) & (edge < SOURCE) for edge in (y, x))
    return (y[:, :, None] & x[:, None]).astype(jnp.float32)


def drive(
    flow: Flow,
    frames: int,
    mean: Float[Array, "batch segment 2"],
    turn: Int[Array, "batch segment"],
    noise: Callable[[Array], Faces],
) -> tuple[Controls, Controls]:
    """Controls of a random scene, at the first step of every interval.

    At each turn the ring gets a uniform velocity, rough by a tenth of it; at every
    other step it keeps what the projection has left of it, and drifts.

    Args:
        flow: The solver.
        frames: Number of intervals.
        mean: Velocity (y, x) of each segment.
        turn: Step at which each segment begins.
        noise: Standard normal numbers on all faces, from the number of the step.
    """

    def step(velocity: Faces, number: Array) -> tuple[Faces, Faces]:
        turning = turn == number
        set_anew = turning.any(axis=1)[:, None, None]
        target = jnp.where(turning[..., None], mean, 0).sum(axis=1)
        parts = []
        for component, old, draw in zip((1, 0), velocity, noise(number), strict=True):
            new = target[:, component, None, None]
            rough = new + ROUGHNESS * jnp.abs(new) * draw
            parts.append(jnp.where(set_anew, rough, old + DRIFT * draw))
        imposed = Faces(*parts)
        return flow.moved(velocity, imposed), imposed

    def interval(velocity: Faces, first: Array) -> tuple[Faces, tuple[Plane, Plane]]:
        velocity, imposed = step(velocity, first)
        rest = first + 1 + jnp.arange(flow.substeps - 1, dtype=first.dtype)
        velocity, _ = jax.lax.scan(lambda v, n: (step(v, n)[0], None), velocity, rest)
        ring = jnp.asarray(flow.ring[:: flow.refinement, :: flow.refinement])[None]
        cx, cy = (jnp.where(ring, flow.stored(part), 0) for part in imposed)
        return velocity, (cx, cy)

    start = flow.at_rest(len(mean), mean.dtype)
    numbers = jnp.arange(frames, dtype=turn.dtype) * flow.substeps
    _, (cx, cy) = jax.lax.scan(interval, start, numbers)
    return cx.swapaxes(0, 1), cy.swapaxes(0, 1)


@partial(jax.jit, static_argnums=(0, 1))
def random_drive(
    flow: Flow,
    frames: int,
    mean: Float[Array, "batch segment 2"],
    turn: Int[Array, "batch segment"],
    key: PRNGKeyArray,
) -> tuple[Controls, Controls]:
    """Controls with noise that is new at every step; see `drive`."""
    cells = flow.cells
    draw = partial(jax.random.normal, dtype=jnp.float32)

    def noise(number: Array) -> Faces:
        along_x, along_y = jax.random.split(jax.random.fold_in(key, number))
        rows = len(mean)
        return Faces(
            draw(along_x, (rows, cells, cells + 1)),
            draw(along_y, (rows, cells + 1, cells)),
        )

    return drive(flow, frames, mean, turn, noise)
