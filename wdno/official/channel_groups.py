"""What the channels of a tiled array may hold: subbands, coarser subbands, bands."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import Count, CountOrNone
from wdno.official.tiling import Geometry, Known, Packed, Record, Records
from wdno.wavelets.packing import Packing, subband_keys

Coefficients = Float[Array, "batch *grid channel"]


@register
@dataclass(frozen=True)
class Subbands:
    """A channel for each subband of a record over all axes.

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
        """Transform, repeat the ends, pad."""
        if self.record.name not in records:
            return _zeros(on, like, 2 ** len(on.dims))
        z = _transformed(on.packing(on.dims), records[self.record.name])
        return _padded(self._extended(z), on.padded)

    def unpack(self, on: Geometry, z: Packed) -> dict[str, Array]:
        """Undo `pack`."""
        packing = on.packing(on.dims)
        starts = [before for before, _ in self.ends or ((0, 0),) * len(on.dims)]
        inside = [
            slice(s, s + n) for s, n in zip(starts, packing.grids[-1], strict=True)
        ]
        return {self.record.name: _restored(packing, z[(slice(None), *inside)])}

    def known(self, on: Geometry, names: Collection[str]) -> Known:
        """All of it if the record is known, otherwise the padding."""
        inside = [slice(n) for n in self._extents(on)]
        known = np.ones((*on.padded, 2 ** len(on.dims)), bool)
        known[tuple(inside)] = self.record.name in names
        return known

    def _extents(self, on: Geometry) -> list[int]:
        grid = on.packing(on.dims).grids[-1]
        ends = self.ends or ((0, 0),) * len(grid)
        return [n + sum(end) for n, end in zip(grid, ends, strict=True)]

    def _extended(self, z: Coefficients) -> Float[Array, "batch *extended channel"]:
        if not self.ends:
            return z
        return jnp.pad(z, [(0, 0), *self.ends, (0, 0)], mode="edge")


@register
@dataclass(frozen=True)
class CoarseSubbands:
    """A channel for each subband of a record's coarser grid, repeated to the finer one.

    Attributes:
        record: of which every so many samples are transformed; a record named
            "<name>_coarse" takes their place where there is one.
        ratio: of the two grids along each axis.
    """

    record: Record
    ratio: tuple[Count, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """What lies here: nothing that could be generated."""
        return ()

    def channels(self, on: Geometry) -> tuple[str, ...]:
        """Names: field and subband."""
        return tuple(f"{self.record.name}_coarse:{key}" for key in _keys(len(on.dims)))

    def check(self, on: Geometry) -> None:
        """The array holds all coefficients, repeated."""
        grid = on.packing(on.dims, self.ratio).grids[-1]
        repeated = [n * r for n, r in zip(grid, self.ratio, strict=True)]
        _require_room(on, self.record.dims, repeated)

    def pack(self, on: Geometry, records: Records, like: Array) -> Packed:
        """Coarsen, transform, repeat each coefficient, pad."""
        name = self.record.name
        if not {name, f"{name}_coarse"} & records.keys():
            return _zeros(on, like, 2 ** len(on.dims))
        coarse = records.get(f"{name}_coarse")
        if coarse is None:
            strides = (slice(None, None, r) for r in self.ratio)
            coarse = records[name][(slice(None), *strides)]
        z = _transformed(on.packing(on.dims, self.ratio), coarse)
        for axis, repeats in enumerate(self.ratio, 1):
            z = jnp.repeat(z, repeats, axis=axis)
        return _padded(z, on.padded)

    def unpack(self, on: Geometry, z: Packed) -> dict[str, Array]:
        """Nothing: the finer grid has its own channels."""
        return {}

    def known(self, on: Geometry, names: Collection[str]) -> Known:
        """Everywhere: what is coarse is given."""
        return np.ones((*on.padded, 2 ** len(on.dims)), bool)


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


def _zeros(on: Geometry, like: Array, channels: int) -> Packed:
    return jnp.zeros((len(like), *on.padded, channels), like.dtype)
