"""Gas that flows for a given time, every row by steps of its own."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wdno.systems.compressible.finite_volume import (
    Boundary,
    Conserved,
    Primitive,
    fluxes,
    strong_stability_step,
    to_primitive,
)

__all__ = ["GasFlow", "fastest_wave"]

Row = Float[Array, " batch"]


@dataclass(frozen=True)
class GasFlow:
    """The semi-discrete equations of a viscous gas, and steps through them.

    Attributes:
        ratio: γ.
        friction: Stress per v_x, ζ + 4 η / 3.
        spacing: Width of a cell.
        courant: Share of a cell that the fastest wave may cross in a step.
        boundary: What is beyond both ends.
    """

    ratio: float
    friction: float
    spacing: float
    courant: float
    boundary: Boundary

    def advance(self, cells: Conserved, duration: float) -> Conserved:
        """Step until every row has come to the end.

        The loop has no fixed length, so it has no reverse mode. A row without a step
        to make comes back as NaN and holds up no other.
        """

        def waits(carry: tuple[Conserved, Row]) -> Bool[Array, ""]:
            return (carry[1] > 0).any()

        def step(carry: tuple[Conserved, Row]) -> tuple[Conserved, Row]:
            cells, left = carry
            # As many equal steps as the rest of the time needs, seen from here.
            count = jnp.ceil(left / self.longest_step(cells))
            size = jnp.where(left > 0, left / jnp.maximum(count, 1), 0)
            size = jnp.where(jnp.isfinite(count), size, jnp.nan)
            moved = strong_stability_step(partial(self.euler, size), cells)
            return moved, jnp.where(count <= 1, 0, left - size)

        left = jnp.full(len(cells.mass), duration, cells.mass.dtype)
        return jax.lax.while_loop(waits, step, (cells, left))[0]

    def longest_step(self, cells: Conserved) -> Row:
        """Courant's condition, with diffusion of momentum as a wave of its own."""
        gas = to_primitive(cells, self.ratio)
        fastest = fastest_wave(gas, self.ratio, 2 * self.friction / self.spacing)
        return self.courant * self.spacing / fastest

    def euler(self, size: Row, cells: Conserved) -> Conserved:
        """One explicit step: what flows in less what flows out."""
        extended = self.boundary.extend(to_primitive(cells, self.ratio))
        # Else XLA would extend the cells again wherever they are used.
        extended = Primitive(*jax.lax.optimization_barrier(tuple(extended)))
        flux = fluxes(extended, self.ratio, self.friction, self.spacing)
        share = (size / self.spacing)[:, None]
        return Conserved(
            *(
                values + share * (through[:, :-1] - through[:, 1:])
                for values, through in zip(cells, flux, strict=True)
            )
        )


def fastest_wave(gas: Primitive, ratio: float, diffusion: float = 0.0) -> Row:
    """Largest |v| + c + diffusion / ρ in each row."""
    volume = 1 / gas.density
    speed = jnp.abs(gas.velocity) + jnp.sqrt(ratio * gas.pressure * volume)
    return (speed + diffusion * volume).max(axis=1)
