"""Fields packed into one array of fixed extents, conditions as tiles of their own.

Where a `WaveletLayout` broadcasts what is given beside what is generated, here both lie
in one array: subbands padded with zeros at the end, and channels cut into bands, each
filled with one subband of a field that lacks the axis of the bands.
`channel_groups` has the kinds of channels, `array_layout` makes layouts of them.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from wdno._json import register
from wdno._ranges import check_counts
from wdno._typing import Fields
from wdno.wavelets.packing import Packing, check_scale

Packed = Float[Array, "batch *padded channel"]
Known = Bool[np.ndarray, "*padded channel"]
Records = Mapping[str, Array]


@register
@dataclass(frozen=True)
class Geometry:
    """Grids of an array and of the records in it.

    Attributes:
        dims: names of the axes, time first.
        extents: of the records along these.
        padded: extents of the array.
        wavelet: a discrete wavelet of PyWavelets.
        mode: boundary treatment, along every axis the same.
    """

    dims: tuple[str, ...]
    extents: tuple[int, ...]
    padded: tuple[int, ...]
    wavelet: str
    mode: str

    def __post_init__(self) -> None:
        """Refuse grids that cannot be."""
        check_counts(extents=self.extents, padded=self.padded)
        if not len(self.dims) == len(self.extents) == len(self.padded):
            raise ValueError(
                "An array has an extent for records and one for itself along each of "
                f"the axes {self.dims}, but got {self.extents} and {self.padded}. Give "
                "one each."
            )

    def packing(self, dims: Sequence[str], ratio: Sequence[int] = ()) -> Packing:
        """The transform of a record on some axes, of a grid coarser by a ratio."""
        extents = [self.extents[self.dims.index(dim)] for dim in dims]
        ratio = ratio or (1,) * len(extents)
        coarse = tuple(-(-n // r) for n, r in zip(extents, ratio, strict=True))
        return Packing(coarse, self.wavelet, (self.mode,) * len(coarse), 1)


@register
@dataclass(frozen=True)
class Record:
    """A field with one instant more than it has frames, if it has any.

    Attributes:
        name: of the field.
        dims: its axes, in the order of the array.
        before: 1 if the record has the initial instant, "<name>0", before its frames.
        after: 1 if it has a closing instant after them.
        mode: how `numpy.pad` finds an instant that nothing gives.
    """

    name: str
    dims: tuple[str, ...]
    before: int = 0
    after: int = 0
    mode: str = "edge"

    def __post_init__(self) -> None:
        """Refuse more instants than one on either side, and unknown ways of padding."""
        known = self.mode in ("edge", "constant")
        if not {self.before, self.after} <= {0, 1} or not known:
            raise ValueError(
                "A record has 0 or 1 instants before and after its frames, found by "
                f"mode 'edge' or 'constant', but {self.name!r} has {self.before} and "
                f"{self.after} by {self.mode!r}. Correct them."
            )

    def of(self, fields: Fields) -> Array:
        """The record from frames and, where it is known, the initial instant."""
        record, before = fields[self.name], self.before
        initial = fields.get(f"{self.name}0")
        if before and initial is not None:
            record = jnp.concatenate([initial[:, None], record], axis=1)
            before = 0
        ends = [(0, 0), (before, self.after)] + [(0, 0)] * record.ndim
        return jnp.pad(record, ends[: record.ndim], mode=self.mode)

    def fields(self, record: Array) -> dict[str, Array]:
        """Frames, and the instants beside them as "<name>_first" and "<name>_last"."""
        frames = record[:, self.before : record.shape[1] - self.after]
        first = {f"{self.name}_first": record[:, 0]} if self.before else {}
        last = {f"{self.name}_last": record[:, -1]} if self.after else {}
        return {self.name: frames} | first | last


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
        """The array of records by name, divided by the scale; zero where one lacks."""
        self._check(records)
        like = next(iter(records.values()))
        parts = [slot.pack(self.geometry, records, like) for slot in self.slots]
        z = jnp.concatenate(parts, axis=-1)
        return z / jnp.broadcast_to(jnp.asarray(self.divisor, z.dtype), z.shape)

    def unpack(self, z: Packed) -> dict[str, Array]:
        """The records of an array; the inverse of `pack`."""
        expected = (*self.geometry.padded, len(self.channels))
        if z.shape[1:] != expected:
            raise ValueError(
                f"This tiling has arrays of shape (batch, {expected}) with channels "
                f"{self.channels}, but got {z.shape}. Was this one packed by another?"
            )
        z = z * jnp.broadcast_to(jnp.asarray(self.divisor, z.dtype), z.shape)
        records, start = {}, 0
        for slot in self.slots:
            stop = start + len(slot.channels(self.geometry))
            records |= slot.unpack(self.geometry, z[..., start:stop])
            start = stop
        return records

    def known(self, names: Sequence[str]) -> Bool[np.ndarray, "*padded channel"]:
        """Where the array is known: in the padding, and where fields of `names` lie."""
        parts = [slot.known(self.geometry, names) for slot in self.slots]
        return np.concatenate(parts, axis=-1)

    def _check(self, records: Mapping[str, Array]) -> None:
        for name, array in records.items():
            record = self.record(name)
            if record is None:
                continue
            extents = self.geometry.packing(record.dims).extents
            if array.shape[1:] != extents:
                raise ValueError(
                    f"The record of {name!r} has the extents {extents} along "
                    f"{record.dims}, but got the shape {array.shape}. Interpolate it, "
                    "or build the tiling on its grid."
                )

    def record(self, name: str) -> Record | None:
        """The record of a field, if it has one."""
        found = (record for slot in self.slots for record in slot.records)
        return next((record for record in found if record.name == name), None)

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
