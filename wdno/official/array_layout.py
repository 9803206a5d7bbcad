"""Layouts that keep what is generated and what is given in one array.

`TiledTargets` and `TiledConditions` stand where a `WDNO` has two `WaveletLayout`s. The
condition is the whole array with a mask of what is known in it; the backbone
`wdno.official.inpainting.Inpainting` writes the one over the noisy array wherever the
other says.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.official.tiling import Packed, Tiling
from wdno.wavelets.field import Field

AnyTiled = TypeVar("AnyTiled", bound="_Tiled")


@dataclass(frozen=True)
class _Tiled:
    """Some fields of a tiling."""

    tiling: Tiling
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        """Check once what every later call relies on."""
        found = [self.tiling.record(quantity.name) for quantity in self.fields]
        own = [(quantity.name, quantity.dims) for quantity in self.fields]
        if not own or own != [(r.name, r.dims) for r in found if r is not None]:
            raise ValueError(
                "The fields of a tiled layout are records of its array, "
                f"{list(self.tiling.channels)}, on the axes of these, but got {own}. "
                "Correct names and axes."
            )

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return self.tiling.geometry.dims

    @property
    def coefficient_grid(self) -> tuple[int, ...]:
        """Extents of the array."""
        return self.tiling.geometry.padded

    @property
    def refinement(self) -> tuple[int, ...]:
        """Ratio of the grid to that of coarser records."""
        return self.tiling.refinement

    def on(self: AnyTiled, grid: Sequence[int]) -> AnyTiled:
        """The same fields on another grid."""
        frames, *points = grid
        return dataclasses.replace(self, tiling=self.tiling.on((frames + 1, *points)))


@register
@dataclass(frozen=True)
class TiledTargets(_Tiled):
    """The generated fields of a tiling, as a `Layout` of `wdno.wavelets`.

    Attributes:
        tiling: the array.
        fields: those that are generated.
    """

    @property
    def grid(self) -> tuple[int, ...]:
        """Frames, then points along each axis of space."""
        instants, *points = self.tiling.geometry.extents
        return (instants - 1, *points)

    @property
    def levels(self) -> int:
        """Number of transform levels."""
        return 1

    def span(self, frames: int) -> int:
        """All of them: an array holds a whole record."""
        return frames

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the whole array."""
        return self.tiling.channels

    @property
    def energy_share(self) -> Float[np.ndarray, " channel"]:
        """Squared scale of each channel over the mean of all."""
        square = np.square(self.tiling.divisor)
        return square / square.mean()

    def analysis(self, fields: Fields) -> Packed:
        """The array of all fields that are there, whether generated or not."""
        return self.tiling.pack(_records(self.tiling, fields))

    def synthesis(self, z: Packed) -> Fields:
        """Generated fields; see `Record.fields` for what comes beside the frames."""
        records, found = self.tiling.unpack(z), {}
        for quantity in self.fields:
            record = self.tiling.record(quantity.name)
            if record is not None:
                found |= record.fields(records[quantity.name])
        return found


@register
@dataclass(frozen=True)
class TiledConditions(_Tiled):
    """The given fields of a tiling, with a mask of where they lie.

    Attributes:
        tiling: the array.
        fields: those that are given.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the values, then those of the mask."""
        names = self.tiling.channels
        return (*names, *(f"{name} is known" for name in names))

    def analysis(self, fields: Fields) -> Packed:
        """The array of the given fields, and 1 where it is known."""
        given = tuple(quantity.name for quantity in self.fields)
        if missing := [name for name in given if name not in fields]:
            raise ValueError(
                f"This layout needs the fields {list(given)}, but {missing} are missing"
                f" from {sorted(fields)}. Add them."
            )
        records = _records(self.tiling, {name: fields[name] for name in given})
        z = self.tiling.pack(records)
        known = jnp.asarray(self.tiling.known(given), z.dtype)
        return jnp.concatenate([z, jnp.broadcast_to(known, z.shape)], axis=-1)


def _records(tiling: Tiling, fields: Fields) -> dict[str, Array]:
    """Every record of the tiling whose field is there."""
    named = {name: tiling.record(name) for name in fields}
    return {name: r.of(fields) for name, r in named.items() if r is not None}
