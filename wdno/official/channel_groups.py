"""What the channels of a tiled array may hold: subbands of a record, or bands."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import CountOrNone
from wdno.official.records import Geometry, Record
from wdno.official.tiling import Known, Packed, Records
from wdno.wavelets.packing import Packing, subband_keys

Coefficients = Float[Array, "batch *grid channel"]


@register
@dataclass(frozen=True)
class Subbands:
    """A channel for each subband of a record over all axes.

    Coefficients of a coarser record are repeated, so many along each axis as one of its
    samples stands for.

    Attributes:
        record: what is transformed.
        ends: how often the first and the last coefficient along each axis come again.
    """

    record: Record
    ends: tuple[tuple[CountOrNone, CountOrNone], ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """What lies here."""
        return (self.record,)

    def channels(self, on: Geometry) -> tuple[str, ...]:
        """Names: field and subband."""
        return tuple(f"{self.record.name}:{key}" for key in _keys(len(on.dims)))

    def check(self, on: Geometry) -> None:
        """The array holds all coefficients."""
        _require_room(on, self.record.dims, self._extents(on))

    def pack(self, on: Geometry, records: Records, like: Array) -> Packed:
        """Transform and `place`."""
        if self.record.name not in records:
            return jnp.zeros((len(like), *on.padded, 2 ** len(on.dims)), like.dtype)
        packing = on.packing(on.dims, self.record.ratio)
        return self.place(on, _transformed(packing, records[self.record.name]))

    def unpack(self, on: Geometry, z: Packed) -> dict[str, Array]:
        """Undo `pack`."""
        packing = on.packing(on.dims, self.record.ratio)
        return {self.record.name: _restored(packing, self.take(on, z))}

    def place(self, on: Geometry, coefficients: Coefficients) -> Packed:
        """Repeat coefficients, and once more the ends, and pad."""
        z = coefficients
        for axis, repeats in enumerate(self.record.ratio, 1):
            z = jnp.repeat(z, repeats, axis=axis)
        if self.ends:
            z = jnp.pad(z, [(0, 0), *self.ends, (0, 0)], mode="edge")
        return _padded(z, on.padded)

    def take(self, on: Geometry, z: Packed) -> Coefficients:
        """Undo `place`: the first of those that are repeated."""
        grid = on.packing(on.dims, self.record.ratio).grids[-1]
        inside = [
            slice(before, before + n * r, r)
            for n, r, (before, _) in zip(grid, *self._repeats(on), strict=True)
        ]
        return z[(slice(None), *inside)]

    def known(self, on: Geometry, names: Collection[str]) -> Known:
        """All of it if the record is known, otherwise the padding."""
        inside = [slice(n) for n in self._extents(on)]
        known = np.ones((*on.padded, 2 ** len(on.dims)), bool)
        known[tuple(inside)] = self.record.name in names
        return known

    def _extents(self, on: Geometry) -> list[int]:
        grid = on.packing(on.dims, self.record.ratio).grids[-1]
        repeats = zip(grid, *self._repeats(on), strict=True)
        return [n * ratio + sum(ends) for n, ratio, ends in repeats]

    def _repeats(
        self, on: Geometry
    ) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """How often each coefficient comes along each axis, and those at the ends."""
        axes = len(on.dims)
        return self.record.ratio or (1,) * axes, self.ends or ((0, 0),) * axes


@register
@dataclass(frozen=True)
class Bands:
    """One channel in equal bands along an axis, a subband of its records in each.

    Along other axes that a record lacks its coefficients are repeated.

    Attributes:
        axis: along which the bands lie; no record has it.
        records: whose subbands fill the bands, in this order.
    """

    axis: str
    records: tuple[Record, ...]

    def channels(self, on: Geometry) -> tuple[str, ...]:
        """Its name: the fields in it."""
        return ("+".join(record.name for record in self.records),)

    def check(self, on: Geometry) -> None:
        """The array holds all coefficients, and its axis a whole number of bands."""
        count = sum(2 ** len(record.dims) for record in self.records)
        extent = on.padded[on.dims.index(self.axis)]
        if not self.records or extent % count:
            raise ValueError(
                f"Bands are equal parts of an axis, but {count} bands of "
                f"{[record.name for record in self.records]} do not divide {extent} "
                f"along {self.axis!r}. Pad the array to a multiple of {count}."
            )
        for record in self.records:
            grid = on.packing(record.dims).grids[-1]
            _require_room(on, record.dims, grid)

    def pack(self, on: Geometry, records: Records, like: Array) -> Packed:
        """Transform each record, spread its subbands over their bands."""
        axis, bands = 1 + on.dims.index(self.axis), []
        for record, rows in self._places(on):
            shape = [len(like), *on.padded]
            shape[axis] = rows.stop - rows.start
            count = 2 ** len(record.dims)
            if record.name not in records:
                bands.append(jnp.zeros(shape, like.dtype))
                continue
            shape[axis] //= count
            z = _transformed(on.packing(record.dims), records[record.name])
            z = _padded(z, [on.padded[on.dims.index(dim)] for dim in record.dims])
            for band in range(count):
                wide = jnp.expand_dims(z[..., band], _lacking(on, record))
                bands.append(jnp.broadcast_to(wide, shape))
        return jnp.concatenate(bands, axis=axis)[..., None]

    def unpack(self, on: Geometry, z: Packed) -> dict[str, Array]:
        """Average each band over the axes that its record lacks, and synthesise."""
        axis, found = 1 + on.dims.index(self.axis), {}
        for record, rows in self._places(on):
            packing = on.packing(record.dims)
            inside = tuple(slice(n) for n in packing.grids[-1])
            own = z[(slice(None),) * axis + (rows,)][..., 0]
            bands = jnp.split(own, 2 ** len(record.dims), axis=axis)
            means = [band.mean(axis=_lacking(on, record)) for band in bands]
            coefficients = jnp.stack(means, axis=-1)[(slice(None), *inside)]
            found[record.name] = _restored(packing, coefficients)
        return found

    def known(self, on: Geometry, names: Collection[str]) -> Known:
        """The bands of known records, and what is padding in the others."""
        known = np.ones((*on.padded, 1), bool)
        for record, rows in self._places(on):
            inside = [slice(n) for n in on.padded]
            grid = on.packing(record.dims).grids[-1]
            for dim, n in zip(record.dims, grid, strict=True):
                inside[on.dims.index(dim)] = slice(n)
            inside[on.dims.index(self.axis)] = rows
            known[tuple(inside)] = record.name in names
        return known

    def _places(self, on: Geometry) -> Iterator[tuple[Record, slice]]:
        """Each record with its rows along the axis of the bands."""
        counts = [2 ** len(record.dims) for record in self.records]
        height = on.padded[on.dims.index(self.axis)] // sum(counts)
        ends = height * np.cumsum([0, *counts])
        for record, start, stop in zip(self.records, ends, ends[1:], strict=False):
            yield record, slice(int(start), int(stop))


def _require_room(on: Geometry, dims: Sequence[str], needed: Sequence[int]) -> None:
    room = [on.padded[on.dims.index(dim)] for dim in dims]
    if any(n > m for n, m in zip(needed, room, strict=True)):
        raise ValueError(
            f"An array is padded to hold its coefficients, {tuple(needed)} along "
            f"{tuple(dims)}, but has {tuple(room)}. Pad it further."
        )


def _keys(axes: int) -> tuple[str, ...]:
    """Subbands in the order of the channels: pairs of axes have theirs by columns."""
    return ("aa", "da", "ad", "dd") if axes == 2 else subband_keys(axes)


def _transformed(packing: Packing, record: Array) -> Coefficients:
    keys = _keys(len(packing.extents))
    return packing.pack(record)[..., np.array([packing.names.index(k) for k in keys])]


def _restored(packing: Packing, z: Coefficients) -> Array:
    keys = _keys(len(packing.extents))
    return packing.unpack(z[..., np.array([keys.index(k) for k in packing.names])])


def _lacking(on: Geometry, record: Record) -> tuple[int, ...]:
    return tuple(1 + i for i, dim in enumerate(on.dims) if dim not in record.dims)


def _padded(z: Coefficients, extents: Sequence[int]) -> Packed:
    ends = [(0, to - n) for n, to in zip(z.shape[1:-1], extents, strict=True)]
    return jnp.pad(z, [(0, 0), *ends, (0, 0)])
