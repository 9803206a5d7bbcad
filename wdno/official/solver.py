"""The official solver of Burgers' equation, with which its plans are judged.

`wdno.systems.Burgers` is more accurate and a thousand times faster; this one gives the
official numbers, the interpolation that shifts fields by half a cell included.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Initial = Float[Array, "batch x"]
Forces = Float[Array, "batch interval x"]
States = Float[Array, "batch instant x"]


@partial(jax.jit, static_argnames=("viscosity", "duration", "frames", "steps"))
def solve_burgers(
    u0: Initial,
    f: Forces,
    *,
    viscosity: float = 0.01,
    duration: float = 8.0,
    frames: int = 80,
    steps: int = 614_400,
) -> States:
    """Central differences of second order and explicit Euler steps.

    ``u_t = -(u^2/2)_x + viscosity u_xx + f`` on 0 < x < 1, at the interior points
    ``x_i = (i + 1)/(points + 1)``, with u = 0 at both ends.

    Args:
        u0: initial states.
        f: forces, each constant over its share of the record.
        viscosity: of the fluid.
        duration: of the record.
        frames: states after the initial one, equidistant; divides `steps`.
        steps: Euler steps; the number of intervals of f divides it.

    Returns:
        States at t = 0 and after each frame.

    Raises:
        ValueError: `frames` or the intervals of f do not divide `steps`.
    """
    intervals = f.shape[1]
    if steps % frames or steps % intervals:
        raise ValueError(
            f"Frames and intervals of the force divide the steps, but there are {steps}"
            f" steps, {frames} frames and {intervals} intervals. Choose a multiple."
        )
    dt, points = duration / steps, u0.shape[1]
    per_x, per_xx = (points + 1) / 2, (points + 1) ** 2

    def step(n: Array, u: Initial) -> Initial:
        walled = jnp.pad(u, ((0, 0), (1, 1)))
        before, after = walled[:, :-2], walled[:, 2:]
        flux = per_x * (after**2 - before**2) / 2
        diffusion = viscosity * per_xx * (after - 2 * u + before)
        force = f[:, n // (steps // intervals)]
        return u + dt * (diffusion - flux + force)

    def frame(u: Initial, k: Array) -> tuple[Initial, Initial]:
        begin = k * (steps // frames)
        u = lax.fori_loop(begin, begin + steps // frames, step, u)
        return u, u

    _, later = lax.scan(frame, u0, jnp.arange(frames))
    return jnp.concatenate([u0[:, None], jnp.moveaxis(later, 0, 1)], axis=1)


def on_finer_points(
    field: Float[Array, "*batch x"], points: int
) -> Float[Array, "*batch finer"]:
    """Interpolate as if samples were means of cells: the official half-cell shift.

    Fine point i lies at ``(i + 1/2) n / points - 1/2`` of n coarse ones, and beyond the
    outermost of these their value holds. Every so many-th of the fine points is then
    taken for the coarse one, which it is not (`docs/official.md`).
    """
    count = field.shape[-1]
    at = (np.arange(points) + 0.5) * count / points - 0.5
    weights = [np.interp(at, np.arange(count), row) for row in np.eye(count)]
    return field @ jnp.asarray(np.array(weights), field.dtype)
