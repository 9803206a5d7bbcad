"""Pressure that makes a velocity free of divergence around fixed obstacles, exactly."""

from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import ndimage

from wdno.systems.smoke.staggered import Faces, divergence, gradient

__all__ = ["PressureProjection", "open_faces"]

Cells = Float[Array, "batch y x"]


def open_faces(fluid: Bool[np.ndarray, "y x"]) -> Faces:
    """Where something can flow: faces with fluid on both sides, or at the box's end."""
    beyond = np.pad(fluid, 1, constant_values=True)
    return Faces(
        beyond[1:-1, 1:] & beyond[1:-1, :-1], beyond[1:, 1:-1] & beyond[:-1, 1:-1]
    )


class PressureProjection:
    """Orthogonal projection of velocities onto those without divergence.

    The box is open: pressure is zero outside. Obstacles are closed. The pressure solves

    ``∇·(w ∇p) = ∇·(w v)``,  ``v ← w (v - ∇p)``,  w = 1 on open faces, 0 on closed ones.

    Without obstacles (w = 1) sines diagonalise the operator -∇·∇ = K, so that K⁻¹ is
    four products with dense matrices. With them -∇·(w ∇p) = K - DᵀD, where D takes
    differences across the closed faces, and Woodbury's formula gives

    ``p = K⁻¹ (r + Dᵀ y)``,  ``y = (I - D K⁻¹ Dᵀ)⁺ D K⁻¹ r``

    with a small matrix for the closed faces (the capacitance matrix method: Buzbee et
    al., SIAM J. Numer. Anal. 8, 1971). Its null vectors are constant pressures inside
    obstacles, which nothing feels: hence the pseudo-inverse.

    Attributes:
        fluid: which cells (y, x) are no obstacle.

    Raises:
        ValueError: If obstacles close off a part of the fluid, where the pressure
            would have no solution.

    Example:
        >>> project = PressureProjection(np.ones((16, 16), bool))
        >>> calm = project(Faces(jnp.ones((1, 16, 17)), jnp.ones((1, 17, 16))))
    """

    def __init__(self, fluid: Bool[np.ndarray, "y x"]) -> None:
        """Check the geometry; matrices are made when they are needed."""
        self.fluid = fluid
        self.open = open_faces(fluid)
        parts = np.zeros(fluid.shape, int)
        ndimage.label(fluid, output=parts)
        rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        if cut_off := sorted(set(parts.ravel().tolist()) - {0} - set(rim.tolist())):
            where = tuple(int(n) for n in np.argwhere(parts == cut_off[0])[0])
            raise ValueError(
                "Every part of the fluid must reach an open side, or its pressure has "
                f"no solution, but obstacles enclose the cell (y, x) = {where}. Leave "
                "a gap, or fill the hole."
            )

    def __call__(self, velocity: Faces) -> Faces:
        """Project; velocities on closed faces become zero."""
        velocity = self._through_open(velocity)
        pressure = self.pressure(divergence(velocity))
        slope = gradient(pressure)
        return self._through_open(
            Faces(velocity.x - slope.x, velocity.y - slope.y),
        )

    def pressure(self, outflow: Cells) -> Cells:
        """Solve ``∇·(w ∇p) = outflow`` with p = 0 outside the box.

        Args:
            outflow: the divergence of a velocity that is zero on closed faces.
        """
        right = -outflow
        slope = gradient(self._without_obstacles(right))
        (jx, ix), (jy, iy) = self._closed.x.T, self._closed.y.T
        across = jnp.concatenate([slope.x[:, jx, ix], slope.y[:, jy, iy]], axis=1)
        jump = _product(across, jnp.asarray(self._capacitance, across.dtype))
        none = jax.tree.map(jnp.zeros_like, slope)
        split = len(self._closed.x)
        jumps = Faces(
            none.x.at[:, jx, ix].set(jump[:, :split]),
            none.y.at[:, jy, iy].set(jump[:, split:]),
        )
        return self._without_obstacles(right - divergence(jumps))

    def _through_open(self, velocity: Faces) -> Faces:
        return Faces(
            jnp.where(self.open.x[None], velocity.x, 0),
            jnp.where(self.open.y[None], velocity.y, 0),
        )

    def _without_obstacles(self, right: Cells) -> Cells:
        """K⁻¹: to sines along either axis, divided by their eigenvalues, and back."""
        rows, columns = self.fluid.shape
        (sines_y, values_y), (sines_x, values_x) = _sines(rows), _sines(columns)
        into_y, into_x = (jnp.asarray(s, right.dtype) for s in (sines_y, sines_x))
        inverse = 1 / (values_x[:, None] + values_y[None])
        inverse = jnp.asarray(inverse, right.dtype)
        z = _product(_product(right, into_x).swapaxes(1, 2), into_y) * inverse[None]
        return _product(_product(z, into_y).swapaxes(1, 2), into_x)

    @cached_property
    def _closed(self) -> Faces:
        """Places (row, column) of the faces between fluid and obstacle."""
        beyond = np.pad(self.fluid, 1, constant_values=True)
        return Faces(
            np.argwhere(beyond[1:-1, 1:] != beyond[1:-1, :-1]),
            np.argwhere(beyond[1:, 1:-1] != beyond[:-1, 1:-1]),
        )

    @cached_property
    def _capacitance(self) -> Float[np.ndarray, "closed closed"]:
        """(I - D K⁻¹ Dᵀ)⁺, symmetric.

        In sines along either axis a row of D is a product of one vector an axis, so
        that a column of K⁻¹ Dᵀ is two products with dense matrices. Columns are made
        one after another: all of them on 512 x 512 cells would take many gigabytes.
        """
        (sines_y, values_y), (sines_x, values_x) = map(_sines, self.fluid.shape)
        (jx, ix), (jy, iy) = self._closed.x.T, self._closed.y.T
        rows, columns = (np.pad(s, ((1, 1), (0, 0))) for s in (sines_y, sines_x))
        into_y = np.concatenate([rows[jx + 1], rows[jy + 1] - rows[jy]])
        into_x = np.concatenate([columns[ix + 1] - columns[ix], columns[iy + 1]])
        inverse = 1 / (values_y[:, None] + values_x)

        def across(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, " closed"]:
            p = np.pad(sines_y @ (a[:, None] * inverse * b) @ sines_x, 1)
            return np.concatenate(
                [
                    p[jx + 1, ix + 1] - p[jx + 1, ix],
                    p[jy + 1, iy + 1] - p[jy, iy + 1],
                ]
            )

        product = [across(a, b) for a, b in zip(into_y, into_x, strict=True)]
        count = len(product)
        d = np.reshape(product, (count, count))
        values, vectors = np.linalg.eigh(np.eye(count) - (d + d.T) / 2)
        kept = np.divide(1.0, values, out=np.zeros_like(values), where=values > 1e-9)
        return (vectors * kept) @ vectors.T


_product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def _sines(
    count: int,
) -> tuple[Float[np.ndarray, "{count} {count}"], Float[np.ndarray, " {count}"]]:
    """Eigenvectors and eigenvalues of -∂∂ on cells with zero beyond both ends."""
    number = np.arange(1, count + 1)
    angle = np.pi * number / (count + 1)
    vectors = np.sqrt(2 / (count + 1)) * np.sin(angle[:, None] * number[None])
    return vectors, 2 - 2 * np.cos(angle)
