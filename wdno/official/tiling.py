"""Fields packed into one array of fixed extents, conditions as tiles of their own.

Where a `WaveletLayout` broadcasts what is given beside what is generated, here both lie
in one array: subbands padded with zeros at the end, and channels cut into bands, each
filled with one subband of a field that lacks the axis of the bands.
`records` says what is packed, `channel_groups` has the kinds of channels, and
`array_layout` makes layouts of them.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from wdno._json import register
from wdno.official.records import Geometry, Record
from wdno.wavelets.packing import check_scale

Packed = Float[Array, "batch *padded channel"]
Known = Bool[np.ndarray, "*padded channel"]
Records = Mapping[str, Array]


@runtime_checkable
class Slot(Protocol):
    """One or more channels of an array."""

    @property
    def records(self) -> tuple[Record, ...]:
        """What lies in them."""
        ...

    def channels(self, on: Geometry) -> tuple[str, ...]:
        """Their names."""
        ...

    def check(self, on: Geometry) -> None:
        """Raise ValueError if they do not fit into the array."""
        ...

    def pack(self, on: Geometry, records: Records, like: Array) -> Packed:
        """Their values; zero for records that are missing."""
        ...

    def unpack(self, on: Geometry, z: Packed) -> dict[str, Array]:
        """The records that they determine."""
        ...

    def known(self, on: Geometry, names: Collection[str]) -> Known:
        """Where they are padding or belong to records of these names."""
        ...


@register
@dataclass(frozen=True)
class Tiling:
    """All channels of an array.

    Attributes:
        geometry: grids of array and records.
        slots: what lies in the channels, in order.
        scale: divisor of each channel; empty means 1 everywhere.
    """

    geometry: Geometry
    slots: tuple[Slot, ...]
    scale: tuple[float, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check once what every later call relies on."""
        dims = self.geometry.dims
        for slot in self.slots:
            for record in slot.records:
                if record.dims != tuple(dim for dim in dims if dim in record.dims):
                    raise ValueError(
                        f"A record has axes of the array, {dims}, in that order, but "
                        f"{record.name!r} has {record.dims}. Rename them."
                    )
            slot.check(self.geometry)
        check_scale(self.scale, self.channels)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(
            name for slot in self.slots for name in slot.channels(self.geometry)
        )

    @cached_property
    def divisor(self) -> Float[np.ndarray, " channel"]:
        """The scale, one number a channel."""
        return np.asarray(self.scale or (1.0,) * len(self.channels), float)

    def pack(self, records: Mapping[str, Array]) -> Packed:
        """The array of records by name, divided by the scale; zero where one lacks.

        Coarser records that lack are taken from those that they belong to.
        """
        for coarse in self._coarser(records):
            samples = (slice(None, None, r) for r in coarse.ratio)
            some = records[coarse.fine][(slice(None), *samples)]
            records = {coarse.name: some, **records}
        self._check(records)
        like = next(iter(records.values()))
        parts = [slot.pack(self.geometry, records, like) for slot in self.slots]
        z = jnp.concatenate(parts, axis=-1)
        return z / jnp.broadcast_to(jnp.asarray(self.divisor, z.dtype), z.shape)

    def unpack(self, z: Packed) -> dict[str, Array]:
        """The records of an array; the inverse of `pack`."""
        z, records = self.in_units(z), {}
        for slot, place in self.places():
            records |= slot.unpack(self.geometry, z[..., place])
        return records

    def in_units(self, z: Packed) -> Packed:
        """Coefficients in units of their fields: multiplied by the scale."""
        expected = (*self.geometry.padded, len(self.channels))
        if z.shape[1:] != expected:
            raise ValueError(
                f"This tiling has arrays of shape (batch, {expected}) with channels "
                f"{self.channels}, but got {z.shape}. Was this one packed by another?"
            )
        return z * jnp.broadcast_to(jnp.asarray(self.divisor, z.dtype), z.shape)

    def places(self) -> Iterator[tuple[Slot, slice]]:
        """Each slot with its channels."""
        start = 0
        for slot in self.slots:
            stop = start + len(slot.channels(self.geometry))
            yield slot, slice(start, stop)
            start = stop

    def known(self, names: Sequence[str]) -> Bool[np.ndarray, "*padded channel"]:
        """Where the array is known: in the padding, and where fields of `names` lie."""
        names = (*names, *(coarse.name for coarse in self._coarser(names)))
        parts = [slot.known(self.geometry, names) for slot in self.slots]
        return np.concatenate(parts, axis=-1)

    @property
    def refinement(self) -> tuple[int, ...]:
        """Ratio of the grid to that of its coarser records; 2 if there are none."""
        ratios = {record.ratio for record in self.records if record.ratio}
        return ratios.pop() if ratios else (2,) * len(self.geometry.dims)

    def _coarser(self, names: Collection[str]) -> list[Record]:
        """Coarser records of those with these names."""
        return [record for record in self.records if record.fine in names]

    def _check(self, records: Mapping[str, Array]) -> None:
        for name, array in records.items():
            record = self.record(name)
            if record is None:
                continue
            extents = self.geometry.packing(record.dims, record.ratio).extents
            if array.shape[1:] != extents:
                raise ValueError(
                    f"The record of {name!r} has the extents {extents} along "
                    f"{record.dims}, but got the shape {array.shape}. Interpolate it, "
                    "or build the tiling on its grid."
                )

    @property
    def records(self) -> tuple[Record, ...]:
        """What lies in the array."""
        return tuple(record for slot in self.slots for record in slot.records)

    def record(self, name: str) -> Record | None:
        """The record of a field, if it has one."""
        return next((record for record in self.records if record.name == name), None)

    def on(self, extents: Sequence[int]) -> "Tiling":
        """The same tiling for records on another grid, the padding scaled alike."""
        on, halves = self.geometry, [n // 2 for n in extents]
        padded = [
            n * half / (old // 2)
            for n, half, old in zip(on.padded, halves, on.extents, strict=True)
        ]
        if any(n % 1 for n in padded):
            raise ValueError(
                f"Padding to {on.padded} belongs to records of {on.extents} and scales "
                f"with them, but {tuple(extents)} would pad to {padded}. Refine or "
                "coarsen by a power of two."
            )
        whole = tuple(int(n) for n in padded)
        new = dataclasses.replace(on, extents=tuple(extents), padded=whole)
        return dataclasses.replace(self, geometry=new)
