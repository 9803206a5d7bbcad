"""Staggered grids: a scalar in the middle of each cell, velocities on its faces.

Arrays have the axes (batch, y, x). Positions and displacements are in cells.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Faces", "advect", "at_centres", "divergence", "gradient"]

Cells = Float[Array, "batch y x"]


class Faces(NamedTuple):
    """One number for each face of a grid of (rows, columns) cells.

    For a velocity it is the component normal to the face.
    """

    x: Array
    """Left and right faces, (…, rows, columns + 1)."""
    y: Array
    """Lower and upper faces, (…, rows + 1, columns)."""


def divergence(velocity: Faces) -> Cells:
    """What flows out of each cell."""
    out_x = velocity.x[:, :, 1:] - velocity.x[:, :, :-1]
    return out_x + velocity.y[:, 1:] - velocity.y[:, :-1]


def gradient(scalar: Cells) -> Faces:
    """Differences across all faces; outside the grid the scalar is zero."""
    ends = jnp.pad(scalar, ((0, 0), (1, 1), (1, 1)))
    return Faces(
        ends[:, 1:-1, 1:] - ends[:, 1:-1, :-1], ends[:, 1:, 1:-1] - ends[:, :-1, 1:-1]
    )


def at_centres(velocity: Faces) -> tuple[Cells, Cells]:
    """Both components in the middle of each cell, second-order accurate."""
    x = (velocity.x[:, :, 1:] + velocity.x[:, :, :-1]) / 2
    return x, (velocity.y[:, 1:] + velocity.y[:, :-1]) / 2


def advect(scalar: Cells, velocity: Faces, step: float) -> Cells:
    """Carry a scalar along: its value where the flow came from, a step of time ago.

    First-order semi-Lagrangian with bilinear interpolation: stable for every step, and
    no new extremes arise, but the sum over cells is kept by uniform flow only. Beyond
    the centres of the first row and column the scalar stays as it is there; beyond
    those of the last ones it is zero, as in the solver of WDNO's data.

    Args:
        scalar: one value a cell.
        velocity: in cells per unit of time.
        step: length of the step.
    """
    rows, columns = scalar.shape[1:]
    along_x, along_y = at_centres(velocity)
    row = jnp.arange(rows, dtype=scalar.dtype)[None, :, None]
    column = jnp.arange(columns, dtype=scalar.dtype)[None, None]
    y = jnp.maximum(row - step * along_y, 0)
    x = jnp.maximum(column - step * along_x, 0)
    inside = (y <= rows - 1) & (x <= columns - 1)
    j = jnp.minimum(y, rows - 2).astype(jnp.int32)
    i = jnp.minimum(x, columns - 2).astype(jnp.int32)
    above, right = y - j.astype(y.dtype), x - i.astype(x.dtype)
    flat = scalar.reshape(len(scalar), -1)
    corner = (j * columns + i).reshape(flat.shape)

    def at(offset: int) -> Cells:
        values = jnp.take_along_axis(flat, corner + offset, axis=1, mode="clip")
        return values.reshape(scalar.shape)

    lower = at(0) + right * (at(1) - at(0))
    upper = at(columns) + right * (at(columns + 1) - at(columns))
    return jnp.where(inside, lower + above * (upper - lower), 0)
