"""What a layout says of one quantity: its axes, its grid, its part in a problem."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
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


Values = TypeVar("Values", np.ndarray, Array)

DERIVED = (Role.INITIAL, Role.FINAL, Role.COARSE)
"""Roles of fields that follow from the record of another one, which they name."""

TIME = "time"
"""Name of the axis of instants."""
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
        level: the quantity is given on a grid coarser by 2^level along the axes on
            which it is `refined`.
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

    @property
    def cells(self) -> tuple[str, ...]:
        """Axes along which values are means over cells: none, they are at points."""
        return ()

    @property
    def refined(self) -> tuple[str, ...]:
        """Axes along which coarse values have fewer samples: all."""
        return self.dims

    @property
    def strides(self) -> tuple[int, ...]:
        """Samples of the grid of the layout for one of the quantity, by axis."""
        return tuple(2**self.level if d in self.refined else 1 for d in self.dims)

    def coarsened(self, x: Values, factors: Mapping[str, int]) -> Values:
        """Values on a coarser grid: of positions x_0, x_1, … every r-th from the first.

        Of instants t_1, t_2, … every r-th from t_r on.

        Args:
            x: of shape (batch, *extents of the axes of the quantity).
            factors: r by axis; 1 along others.
        """
        places = [slice(None)]
        for dim in self.dims:
            factor = factors.get(dim, 1)
            places.append(slice(factor - 1 if dim == TIME else 0, None, factor))
        return x[tuple(places)]

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


@register
@dataclass(frozen=True)
class CellMeans(Field):
    """A quantity whose values are means over cells of space, as finite volumes have.

    The mean over a cell is that of the means over its parts, ``ū = (ū_l + ū_r) / 2``:
    what is conserved on a grid is so on finer ones. Coarse values are means over larger
    cells at the same instants.

    Attributes:
        walls: none, for at walls there are values of points.

    Raises:
        ValueError: as of any quantity, or there are walls.

    Example:
        >>> CellMeans("density0", ("x",), Role.INITIAL, of="density")
    """

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        super().__post_init__()
        if self.walls:
            raise ValueError(
                "A quantity that vanishes at walls is given at points, the first of "
                f"them on a wall, but {self.name!r} is one of means over cells and has "
                f"walls along {self.walls}. Drop these, or make it a `Field`."
            )

    @property
    def cells(self) -> tuple[str, ...]:
        """All axes of space."""
        return tuple(dim for dim in self.dims if dim != TIME)

    @property
    def refined(self) -> tuple[str, ...]:
        """Those of the cells; instants stay."""
        return self.cells

    def coarsened(self, x: Values, factors: Mapping[str, int]) -> Values:
        """Means over r cells along each axis of space; see `Field.coarsened`."""
        for dim in self.cells:
            axis = 1 + self.dims.index(dim)
            merged = (-1, factors.get(dim, 1))
            parted: Any = x.reshape(*x.shape[:axis], *merged, *x.shape[axis + 1 :])
            x = parted.mean(axis=axis + 1)
        others = {dim: r for dim, r in factors.items() if dim not in self.cells}
        return super().coarsened(x, others)
