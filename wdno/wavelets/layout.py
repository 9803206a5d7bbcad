"""Named physical fields <-> one array of wavelet coefficients with named channels.

A `WaveletLayout` owns every offset, padding and channel number of the package.
`analysis` takes fields to coefficients of shape (batch, *coefficient grid, channel),
divided by a scale per channel; `synthesis` is its inverse.
"""

import dataclasses
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.wavelets.checks import check_parts
from wdno.wavelets.field import Field
from wdno.wavelets.packing import Packing, check_scale


@register
@dataclass(frozen=True)
class WaveletLayout:
    """How named fields are packed into wavelet coefficients, and back.

    Attributes:
        fields: the quantities, in channel order.
        dims: names of the axes of the coefficient array, e.g. ("time", "x").
        grid: number of samples along each axis of `dims` in physical space.
        wavelet: a discrete wavelet of PyWavelets, e.g. "bior2.4".
        mode: boundary treatment per axis (PyWavelets' modes and "boundary").
        levels: number of transform levels.
        scale: divisor per channel; empty means 1 everywhere. See `fit`.

    Raises:
        ValueError: a grid that the levels cannot halve, unknown dims, wrong lengths.

    Example:
        >>> layout = WaveletLayout(
        ...     fields=(Field("u", ("time", "x")), Field("u0", ("x",))),
        ...     dims=("time", "x"), grid=(16, 120), wavelet="bior2.4",
        ...     mode=("periodization", "periodization"))
        >>> layout.channels
        ('u:aa', 'u:ad', 'u:da', 'u:dd', 'u0:a', 'u0:d')
    """

    fields: tuple[Field, ...]
    dims: tuple[str, ...]
    grid: tuple[int, ...]
    wavelet: str
    mode: tuple[str, ...]
    levels: int = 1
    scale: tuple[float, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check once what every later call relies on."""
        check_parts(self.fields, self.dims, self.grid, self.mode, self.levels)
        # Found once, and so are wavelets and modes that nobody knows.
        _ = self.coefficient_grid
        check_scale(self.scale, self.channels)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Channel names: ``field:subband``, then level and block where needed."""
        return tuple(
            f"{quantity.name}:{name}"
            for quantity in self.fields
            for name in self.packing(quantity.dims).names
        )

    @cached_property
    def coefficient_grid(self) -> tuple[int, ...]:
        """Extents of the coefficient array along `dims`."""
        return self.packing(self.dims).grids[-1]

    @property
    def refinement(self) -> tuple[int, ...]:
        """Coarse fields have half the samples along the axes that are refined."""
        kept = {dim for q in self.fields for dim in q.dims if dim not in q.refined}
        return tuple(1 if dim in kept else 2 for dim in self.dims)

    def span(self, frames: int) -> int:
        """Always one window: however fine, records are chains of these."""
        return self.grid[0]

    @cached_property
    def energy_share(self) -> Float[np.ndarray, " channel"]:
        """Squared scale of each channel, as a share of its field's, 1 on average.

        Squared errors weighted by it add up to those of the fields, each in units of
        its mean square, for an orthogonal wavelet (Parseval).
        """
        share = np.square(self._divisor)
        for place in map(self._place, (quantity.name for quantity in self.fields)):
            share[place] /= share[place].sum()
        return share / share.mean()

    @cached_property
    def repeats(self) -> tuple[int, ...]:
        """Places with one number, by channel: several where the field lacks an axis."""
        extents = self.coefficient_grid
        found = []
        for quantity in self.fields:
            missing = self.missing(quantity)
            times = math.prod(extents[axis - 1] for axis in missing)
            found += [times] * len(self.packing(quantity.dims).names)
        return tuple(found)

    def on(self, grid: Sequence[int]) -> "WaveletLayout":
        """The same layout on another physical grid."""
        return dataclasses.replace(self, grid=tuple(grid))

    def analysis(self, fields: Fields) -> Float[Array, "batch *grid channel"]:
        """Coefficients of `fields`, one channel per subband, divided by the scale.

        Args:
            fields: arrays of shape (batch, *extents of the field's own axes).

        Raises:
            ValueError: a missing field or one of another shape.
        """
        self._check(fields)
        packed = [self._analyse(fields[q.name], q) for q in self.fields]
        z = jnp.concatenate(packed, axis=-1)
        return z / jnp.broadcast_to(jnp.asarray(self._divisor, z.dtype), z.shape)

    def synthesis(self, z: Float[Array, "batch *grid channel"]) -> Fields:
        """Fields of the coefficients `z`; the inverse of `analysis`.

        A quantity that lacks an axis is the mean over it of its channels.
        """
        expected = (*self.coefficient_grid, len(self.channels))
        if z.shape[1:] != expected:
            raise ValueError(
                f"`synthesis` expected coefficients of shape (batch, {expected}) with "
                f"channels {self.channels}, but got {z.shape}. Was this array made by "
                "another layout?"
            )
        z = z * jnp.broadcast_to(jnp.asarray(self._divisor, z.dtype), z.shape)
        return {
            q.name: self._synthesise(self.select(z, q.name), q) for q in self.fields
        }

    def select(
        self, z: Float[Array, "batch *grid channel"], name: str
    ) -> Float[Array, "batch *grid subband"]:
        """The channels of `z` that belong to the field `name`."""
        return z[..., self._place(name)]

    def means(self, x: Float[Array, "batch *extent"]) -> Float[Array, "batch *grid"]:
        """Local means of a field with all axes, on the grid of coefficients."""
        return self.packing(self.dims).means(x)

    def fit(self, batches: Iterable[Fields]) -> "WaveletLayout":
        """The same layout with scales fitted: root mean square of each channel.

        Channels that are zero, up to rounding of their field's largest, keep scale 1.
        """
        plain = dataclasses.replace(self, scale=())
        analysis = jax.jit(WaveletLayout.analysis, static_argnums=0)
        return self.scaled_to(analysis(plain, fields) for fields in batches)

    def scaled_to(
        self, batches: Iterable[Float[Array, "batch *grid channel"]]
    ) -> "WaveletLayout":
        """The same layout, its scales the root mean squares of these coefficients.

        Args:
            batches: coefficients by the layout without scales, or what is left of them.
        """
        total, count = np.zeros(len(self.channels)), 0
        for coefficients in batches:
            z = np.asarray(coefficients, np.float64)
            total += np.square(z).sum(axis=tuple(range(z.ndim - 1)))
            count += math.prod(z.shape[:-1])
        if not count:
            raise ValueError("Scales need data, but got no batch. Pass at least one.")
        rms, floor = np.sqrt(total / count), np.zeros_like(total)
        for quantity in self.fields:
            place = self._place(quantity.name)
            floor[place] = 1e-6 * rms[place].max()
        scale = np.where(rms > floor, rms, 1.0)
        return dataclasses.replace(self, scale=tuple(scale.tolist()))

    @cached_property
    def _divisor(self) -> Float[np.ndarray, " channel"]:
        return np.asarray(self.scale or (1.0,) * len(self.channels))

    def _place(self, name: str) -> slice:
        """Where the channels of a field lie."""
        places = [i for i, key in enumerate(self.channels) if key.split(":")[0] == name]
        if not places:
            raise ValueError(
                f"`select` takes a field of the layout, but got {name!r}. "
                f"Known fields: {[q.name for q in self.fields]}."
            )
        return slice(places[0], places[-1] + 1)

    def packing(self, dims: Sequence[str]) -> Packing:
        """Transform of a field on these axes of the layout."""
        places = [self.dims.index(dim) for dim in dims]
        extents = tuple(self.grid[place] for place in places)
        mode = tuple(self.mode[place] for place in places)
        return Packing(extents, self.wavelet, mode, self.levels)

    def _analyse(
        self, x: Float[Array, "batch *extent"], quantity: Field
    ) -> Float[Array, "batch *grid subband"]:
        x = quantity.between_walls(x)
        for axis, stride in enumerate(quantity.strides, start=1):
            x = jnp.repeat(x, stride, axis=axis)
        z = self.packing(quantity.dims).pack(x)
        z = jnp.expand_dims(z, self.missing(quantity))
        return jnp.broadcast_to(z, (len(x), *self.coefficient_grid, z.shape[-1]))

    def _synthesise(
        self, z: Float[Array, "batch *grid subband"], quantity: Field
    ) -> Float[Array, "batch *extent"]:
        z = z.mean(axis=self.missing(quantity))
        x = self.packing(quantity.dims).unpack(z)
        last = (slice(stride - 1, None, stride) for stride in quantity.strides)
        return quantity.between_walls(x[(slice(None), *last)])

    def missing(self, quantity: Field) -> tuple[int, ...]:
        """Axes of the coefficient array along which the quantity is constant."""
        return tuple(1 + i for i, d in enumerate(self.dims) if d not in quantity.dims)

    def _check(self, fields: Fields) -> None:
        for quantity in self.fields:
            if quantity.name not in fields:
                raise ValueError(
                    f"This layout needs the fields {[q.name for q in self.fields]}, "
                    f"but {quantity.name!r} is missing from {sorted(fields)}. Add it."
                )
            fine = self.packing(quantity.dims).extents
            extent = tuple(map(operator.floordiv, fine, quantity.strides))
            got = fields[quantity.name].shape
            if got[1:] != extent:
                raise ValueError(
                    f"The field {quantity.name!r} has axes (batch, "
                    f"{', '.join(quantity.dims)}) of extents (batch, {extent}), but "
                    f"got shape {got}. Interpolate it or build the layout on its grid."
                )
