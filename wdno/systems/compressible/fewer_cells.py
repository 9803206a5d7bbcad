"""A gas that is solved on fewer cells than its record has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._arguments import is_whole
from wdno._json import register
from wdno._typing import Fields
from wdno.systems.compressible.finite_volume import (
    Conserved,
    Primitive,
    to_conserved,
    to_primitive,
)
from wdno.systems.compressible.system import CompressibleNavierStokes

__all__ = ["OnFewerCells"]

Record = Float[Array, "batch time cell"]


@register
@dataclass(frozen=True)
class OnFewerCells:
    """A run on fewer cells, parted again: what a network can begin with.

    Initial states are merged, so that mass, momentum and energy of the few cells are
    those of the many. The solution is parted by straight lines in ρ, v and p with the
    monotonised central slope (van Leer 1977, doi:10.1016/0021-9991(77)90095-X), which
    stay between the means around them.

    Attributes:
        system: the gas on the few cells.
        parts: cells of the record for each of them.

    Raises:
        ValueError: ``parts`` is no whole number above 0.

    Example:
        >>> coarse = OnFewerCells(CompressibleNavierStokes(points=128), parts=8)
        >>> mean = LearnedMean(TokenTransformerConfig((5, 4)), base=SolvedMean(coarse))
    """

    system: CompressibleNavierStokes
    parts: int = 8

    def __post_init__(self) -> None:
        """Refuse parts that are none."""
        if not is_whole(self.parts, 1):
            raise ValueError(
                "A cell is parted into one or more, but `parts` is "
                f"{self.parts!r}. Correct it."
            )

    @property
    def points(self) -> int:
        """Cells of the record."""
        return self.system.points * self.parts

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """Instants, and the centres of the cells of the record."""
        return replace(self.system, points=self.points).coords

    def over(self, frames: int) -> "OnFewerCells":
        """The same for a record of that many intervals of the same length."""
        return replace(self, system=self.system.over(frames))

    def solve(self, inputs: Fields) -> Fields:
        """Merge, solve, and part.

        Args:
            inputs: ``density0``, ``velocity0`` and ``pressure0``, (batch, points).

        Returns:
            ``density``, ``velocity`` and ``pressure``, (batch, frames, points).
        """
        names = self.system.state
        start = self._merged(Primitive(*(inputs[f"{name}0"] for name in names)))
        few = {f"{name}0": u for name, u in zip(names, start, strict=True)}
        return {name: self._parted(u) for name, u in self.system.solve(few).items()}

    def _merged(self, gas: Primitive) -> Primitive:
        ratio = self.system.heat_ratio
        cells = self.system.points
        means = (
            values.reshape(len(values), cells, self.parts).mean(axis=2)
            for values in to_conserved(gas, ratio)
        )
        return to_primitive(Conserved(*means), ratio)

    def _parted(self, record: Record) -> Float[Array, "batch time part"]:
        ends = [(0, 0)] * (record.ndim - 1) + [(1, 1)]
        change = jnp.diff(jnp.pad(record, ends, mode="edge"), axis=-1)
        behind, ahead = change[..., :-1], change[..., 1:]
        least = jnp.minimum(
            2 * jnp.minimum(abs(behind), abs(ahead)), abs(behind + ahead) / 2
        )
        slope = jnp.where(behind * ahead > 0, jnp.sign(ahead) * least, 0)
        centre = (np.arange(self.parts) + 0.5) / self.parts - 0.5
        rise = jnp.einsum("btc,p->btcp", slope, centre.astype(record.dtype))
        parts = record[..., None] + rise
        return parts.reshape(*record.shape[:-1], -1)
