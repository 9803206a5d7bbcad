"""Given fields that a model can do without: zero where they are not given, and a flag.

A model that has learned with and without a condition has two denoisers in one, as
classifier-free guidance needs them (Ho and Salimans 2022, arXiv 2207.12598, section
3.1). Zero is a value of fields like any other, so that a channel says which it is.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.wavelets.field import Field
from wdno.wavelets.layout import WaveletLayout


@register
@dataclass(frozen=True)
class OptionalConditions:
    """A layout of given fields some of which may be missing, row by row.

    Each of these adds a channel ``<name>:given``, which is 1 in rows that have the
    field and 0 in the others, whose coefficients are zero whatever came. A field may be
    left out of `analysis` for all rows, or by `withheld` for some.

    Attributes:
        layout: of all given fields.
        optional: names of those that may be missing.

    Raises:
        ValueError: one is not given at all, or all are optional.

    Example:
        >>> given = OptionalConditions(model.given, ("uT",))
        >>> z = given.analysis({"u0": u0})  # no goal
    """

    layout: WaveletLayout
    optional: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse names of nothing, and nothing to go by."""
        names = [quantity.name for quantity in self.fields]
        if {*self.optional} - {*names} or not {*names} - {*self.optional}:
            raise ValueError(
                "Some of the given fields may be optional, and one at least is not, "
                f"but of {names} these are {[*self.optional]}. Name others."
            )

    @property
    def fields(self) -> tuple[Field, ...]:
        """The quantities."""
        return self.layout.fields

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes of the coefficient array, time first."""
        return self.layout.dims

    @property
    def coefficient_grid(self) -> tuple[int, ...]:
        """Extents of the coefficient array along `dims`."""
        return self.layout.coefficient_grid

    @property
    def channels(self) -> tuple[str, ...]:
        """Those of the layout, then one for each optional field, in the same order."""
        names = [q.name for q in self.fields if q.name in self.optional]
        return (*self.layout.channels, *map(flag, names))

    def on(self, grid: Sequence[int]) -> "OptionalConditions":
        """The same on another physical grid."""
        return dataclasses.replace(self, layout=self.layout.on(grid))

    def analysis(self, fields: Fields) -> Float[Array, "batch *grid channel"]:
        """Coefficients of `fields`, zero where they are not given, and the flags.

        Raises:
            ValueError: a field that is not optional is missing, or one has another
                shape.
        """
        z = self.layout.analysis(self._filled(fields))
        parts, flags = [], []
        for quantity in self.fields:
            part = self.layout.select(z, quantity.name)
            if quantity.name in self.optional:
                told = jnp.full(len(z), quantity.name in fields, z.dtype)
                told = fields.get(flag(quantity.name), told).astype(z.dtype)
                told = told.reshape(-1, *(1,) * (z.ndim - 1))
                part = jnp.where(told > 0, part, jnp.zeros_like(part))
                flags.append(jnp.broadcast_to(told, (*z.shape[:-1], 1)))
            parts.append(part)
        return jnp.concatenate([*parts, *flags], axis=-1)

    def _filled(self, fields: Fields) -> Fields:
        """With zeros for optional fields that are left out."""
        there = [fields[q.name] for q in self.fields if q.name in fields]
        filled = dict(fields)
        for quantity in self.fields if there else ():
            if quantity.name in self.optional and quantity.name not in fields:
                extents = (
                    self.layout.grid[self.dims.index(dim)] // 2**quantity.level
                    for dim in quantity.dims
                )
                blank = jnp.zeros((len(there[0]), *extents), there[0].dtype)
                filled[quantity.name] = blank
        return filled


def flag(name: str) -> str:
    """Key of the numbers (batch,) that say in which rows a field is given; channel."""
    return f"{name}:given"


def withheld(
    fields: Fields, names: Iterable[str], given: Float[Array, " batch"]
) -> Fields:
    """Fields some of which are not given in some rows.

    Args:
        fields: by name, batch first.
        names: of those that are withheld.
        given: 1 in rows that have them, 0 in the others.
    """
    return {**fields, **{flag(name): given for name in names}}
