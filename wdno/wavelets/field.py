"""What a layout says of one quantity: its axes, its grid, its part in a problem."""

from dataclasses import dataclass
from enum import Enum

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._json import register


class Role(Enum):
    """The part that a quantity has in a problem.

    It is said once, where a field is made; nothing is read off a name.
    """

    EVOLVING = "evolving"
    """Values at the instants of a record."""
    PIECEWISE_CONSTANT = "piecewise constant"
    """Values that act from one instant to the next, as those of controls do."""
    INITIAL = "initial"
    """Values of an evolving quantity just before the record."""
    FINAL = "final"
    """Values wished for at the end of the record."""
    COARSE = "coarse"
    """Values of an evolving quantity on a coarser grid."""
    PAST = "past"
    """Values observed before the initial ones."""
    STATIC = "static"
    """What never changes: obstacles, numbers of the equation."""


DERIVED = (Role.INITIAL, Role.FINAL, Role.COARSE)
"""Roles of fields that follow from the record of another one, which they name."""

MOST_LEVELS = 16
"""Bound on how often a grid is halved: each time doubles what a file asks for."""


@register
@dataclass(frozen=True)
class Field:
    """A named quantity on some of the axes of a layout.

    Attributes:
        name: key of the array in `Fields`.
        dims: the layout's axes that the quantity has, in the layout's order; it is
            constant along the others (an initial state lacks "time", a scalar all).
        role: its part in the problem.
        of: the evolving quantity whose initial, final or coarse values these are.
        level: the quantity is given on a grid coarser by 2^level along its axes.
        walls: axes between two walls at which the quantity vanishes (a homogeneous
            Dirichlet condition): one at the first position, the other one spacing
            beyond the last. A layout sets it to zero there, in both directions.

    Raises:
        ValueError: there are walls along an axis that the quantity does not have, the
            level is negative or large, or a derived role does not say what it is of.

    Example:
        >>> Field("u0", ("x",), Role.INITIAL, of="u")
    """

    name: str
    dims: tuple[str, ...]
    role: Role = Role.EVOLVING
    of: str = ""
    level: int = 0
    walls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if others := [dim for dim in self.walls if dim not in self.dims]:
            raise ValueError(
                f"A quantity has walls along axes of its own, but {self.name!r} has "
                f"the axes {self.dims} and walls along {others}. Drop these."
            )
        if not self.name or not 0 <= self.level <= MOST_LEVELS:
            raise ValueError(
                f"A quantity has a name and a level from 0 to {MOST_LEVELS}, but got "
                f"the name {self.name!r} and level {self.level}. Correct them."
            )
        if (self.role in DERIVED) != bool(self.of):
            raise ValueError(
                f"Fields with the roles {[role.value for role in DERIVED]} name the "
                f"quantity that they are `of`, and others do not, but {self.name!r} "
                f"is {self.role.value} and of {self.of!r}. Correct one of the two."
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
