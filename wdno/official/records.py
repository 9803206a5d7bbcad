"""What lies in an array of the official code: fields with every instant they have."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from wdno._json import register
from wdno._ranges import Count, check_counts
from wdno._typing import Fields
from wdno.wavelets.packing import Packing


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
        fine: of a coarser record, the one of which it has every so many samples.
        ratio: these numbers, along each axis.
    """

    name: str
    dims: tuple[str, ...]
    before: int = 0
    after: int = 0
    mode: str = "edge"
    fine: str = ""
    ratio: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        """Refuse more instants than one on either side, and unknown ways of padding."""
        known = self.mode in ("edge", "constant")
        if not {self.before, self.after} <= {0, 1} or not known:
            raise ValueError(
                "A record has 0 or 1 instants before and after its frames, found by "
                f"mode 'edge' or 'constant', but {self.name!r} has {self.before} and "
                f"{self.after} by {self.mode!r}. Correct them."
            )

    def coarser(self, ratio: tuple[int, ...]) -> "Record":
        """The record "<name>_coarse" of every so many samples of this one."""
        name = f"{self.name}_coarse"
        return dataclasses.replace(self, name=name, fine=self.name, ratio=ratio)

    def of(self, fields: Fields) -> Array:
        """The record from frames and, where it is known, the initial instant.

        That of a coarser record is the one of the record that it belongs to.
        """
        record, before = fields[self.name], self.before
        initial = fields.get(f"{self.fine or self.name}0")
        if before and initial is not None:
            space = (slice(None, None, r) for r in self.ratio[1:])
            first = initial[(slice(None), *space)]
            record = jnp.concatenate([first[:, None], record], axis=1)
            before = 0
        ends = [(0, 0), (before, self.after)] + [(0, 0)] * record.ndim
        return jnp.pad(record, ends[: record.ndim], mode=self.mode)

    def fields(self, record: Array) -> dict[str, Array]:
        """Frames, and the instants beside them as "<name>_first" and "<name>_last"."""
        frames = record[:, self.before : record.shape[1] - self.after]
        first = {f"{self.name}_first": record[:, 0]} if self.before else {}
        last = {f"{self.name}_last": record[:, -1]} if self.after else {}
        return {self.name: frames} | first | last
