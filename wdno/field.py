"""What a layout says of one quantity: its axes, its grid, its walls."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Field:
    """A named quantity on some of the axes of a layout.

    Attributes:
        name: key of the array in `Fields`.
        dims: the layout's axes that the quantity has, in the layout's order; it is
            constant along the others (an initial state lacks "time", a scalar all).
        level: the quantity is given on a grid coarser by 2^level along its axes.
        held: values act until the next instant, as those of controls do.
        walls: axes between two walls at which the quantity vanishes (a homogeneous
            Dirichlet condition): one at the first position, the other one spacing
            beyond the last. A layout sets it to zero there, in both directions.

    Raises:
        ValueError: there are walls along an axis that the quantity does not have.
    """

    name: str
    dims: tuple[str, ...]
    level: int = 0
    held: bool = False
    walls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse walls along other axes."""
        if others := [dim for dim in self.walls if dim not in self.dims]:
            raise ValueError(
                f"A quantity has walls along axes of its own, but {self.name!r} has "
                f"the axes {self.dims} and walls along {others}. Drop these."
            )

    def between_walls(
        self, x: Float[Array, "batch *extent"]
    ) -> Float[Array, "batch *extent"]:
        """Values of the quantity, with zeros at the walls."""
        for dim in self.walls:
            axis = 1 + self.dims.index(dim)
            others = [n for n in range(x.ndim) if n != axis]
            inside = jnp.expand_dims(jnp.arange(x.shape[axis]) > 0, others)
            x = jnp.where(inside, x, jnp.zeros_like(x))
        return x
