"""One field <-> its wavelet subbands stacked as channels of one grid.

With several levels the subbands of a field live on grids of different size. They are
brought to the coarsest one by moving each block of finer coefficients into channels, so
that every level is kept exactly and a field with d axes has 2^(levels d) channels, as
many as a critically sampled transform needs.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno.wavelets import transform


@dataclass(frozen=True)
class Packing:
    """Wavelet transform of one field and the order of its subbands.

    Attributes:
        extents: samples along each axis of the field.
        wavelet: a discrete wavelet of PyWavelets.
        mode: boundary treatment of each axis.
        levels: number of transform levels.

    Example:
        >>> Packing((16, 120), "haar", ("periodization",) * 2, levels=1).names
        ('aa', 'ad', 'da', 'dd')
    """

    extents: tuple[int, ...]
    wavelet: str
    mode: tuple[str, ...]
    levels: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels: subband, then level and offset in the block if any."""
        axes = len(self.extents)
        if not axes:
            return ("value",)
        keys = subband_keys(axes)
        if self.levels == 1:
            return keys
        names = [f"{key}{self.levels}" for key in keys]
        for depth in range(1, self.levels):
            blocks = itertools.product(range(2**depth), repeat=axes)
            offsets = [".".join(map(str, block)) for block in blocks]
            level = self.levels - depth
            names += [f"{key}{level}[{o}]" for key in keys[1:] for o in offsets]
        return tuple(names)

    @property
    def depths(self) -> tuple[int, ...]:
        """Of each channel: 0 for the approximation, 1 for the coarsest details, …"""
        axes = len(self.extents)
        finer = range(self.levels if axes else 0)
        counts = ((depth + 1, (2**axes - 1) * 2 ** (depth * axes)) for depth in finer)
        return (0, *(depth for depth, count in counts for _ in range(count)))

    @property
    def grids(self) -> list[tuple[int, ...]]:
        """Extents before the transform and after each level, coarsest last."""
        grids = [self.extents]
        for _ in range(self.levels):
            grids.append(
                tuple(
                    transform.coefficient_length(n, self.wavelet, mode)
                    for n, mode in zip(grids[-1], self.mode, strict=True)
                )
            )
        return grids

    def pack(
        self, x: Float[Array, "batch *extent"]
    ) -> Float[Array, "batch *grid channel"]:
        """Transform a field and stack its subbands on the coarsest grid."""
        if not self.extents:
            return x[..., None]
        axes = tuple(range(1, x.ndim))
        return self.stack(
            transform.analysis(x, self.wavelet, self.mode, axes, self.levels)
        )

    def stack(
        self, coefficients: transform.Coefficients
    ) -> Float[Array, "batch *grid channel"]:
        """Bring subbands of all levels to the coarsest grid, as channels."""
        if not self.extents:
            return coefficients[0][..., None]
        approximation, details = coefficients[0], coefficients[1:]
        parts = [approximation[..., None]]
        for depth, subbands in enumerate(details):
            parts += [
                blocks_to_channels(subbands[key], approximation.shape[1:], 2**depth)
                for key in subband_keys(len(self.extents))[1:]
            ]
        return jnp.concatenate(parts, axis=-1)

    def means(self, x: Float[Array, "batch *extent"]) -> Float[Array, "batch *grid"]:
        """Local means on the coarsest grid: approximations of x over those of one."""
        return self.means_along(x, tuple(range(len(self.extents))))[..., 0]

    def means_along(
        self, x: Float[Array, "batch *extent"], axes: tuple[int, ...]
    ) -> Float[Array, "batch *grid subband"]:
        """Subbands that are local means along some axes, the mean along all first."""
        keys = subband_keys(len(self.extents))
        places = [n for n, key in enumerate(keys) if all(key[a] == "a" for a in axes)]
        of_one = self.pack(jnp.ones((1, *self.extents), x.dtype))[..., :1]
        subbands = self.pack(x)[..., np.asarray(places)]
        return subbands / jnp.broadcast_to(of_one, subbands.shape)

    def of_means(self, axes: tuple[int, ...]) -> tuple[bool, ...]:
        """Which channels only depend on means over pairs of samples along some axes.

        Where the approximation of a wavelet weighs both samples of each pair alike, as
        that of Haar's does, these are all but the finest details along such an axis.

        Args:
            axes: numbers of axes of the field, of even extents.
        """
        lowest = (
            transform.analysis_matrices(self.extents[a], self.wavelet, self.mode[a])[0]
            for a in axes
        )
        alike = all(np.allclose(low[:, ::2], low[:, 1::2]) for low in lowest)
        keys = subband_keys(len(self.extents))[1:]
        blocks = 2 ** ((self.levels - 1) * len(self.extents))
        finest = [
            alike and all(key[axis] == "a" for axis in axes)
            for key in keys
            for _ in range(blocks)
        ]
        return (alike,) * (len(self.names) - len(finest)) + tuple(finest)

    def unpack(
        self, z: Float[Array, "batch *grid channel"]
    ) -> Float[Array, "batch *extent"]:
        """Undo `pack`."""
        if not self.extents:
            return z[..., 0]
        axes = tuple(range(1, 1 + len(self.extents)))
        return transform.synthesis(
            self.unstack(z), self.wavelet, self.mode, axes, self.extents
        )

    def unstack(self, z: Float[Array, "batch *grid channel"]) -> transform.Coefficients:
        """Undo `stack`: each level on its own grid, without what was padded."""
        axes, grids = len(self.extents), self.grids
        coefficients: transform.Coefficients = [z[..., 0]]
        start = 1
        for depth in range(self.levels if axes else 0):
            subbands = {}
            for key in subband_keys(axes)[1:]:
                stop = start + 2 ** (depth * axes)
                fine = grids[self.levels - depth]
                subbands[key] = channels_to_blocks(z[..., start:stop], fine, 2**depth)
                start = stop
            coefficients.append(subbands)
        return coefficients


def subband_keys(axes: int) -> tuple[str, ...]:
    """PyWavelets' subband keys in channel order, the approximation first."""
    letters = itertools.product("ad", repeat=axes)
    return tuple("".join(key) for key in letters)


def check_scale(scale: tuple[float, ...], channels: tuple[str, ...]) -> None:
    """Refuse divisors that do not belong to the channels; empty means 1 everywhere.

    Raises:
        ValueError: there are more or fewer, or one is not positive and finite.
    """
    if scale and len(scale) != len(channels):
        raise ValueError(
            f"There is one scale per channel, {len(channels)} here, but got "
            f"{len(scale)}. Was this scale fitted for another layout?"
        )
    check_divisors(scale)


def check_divisors(scale: tuple[float, ...]) -> None:
    """Refuse what nothing can be divided by.

    Raises:
        ValueError: one is not positive and finite.
    """
    if wrong := [divisor for divisor in scale if not 0 < divisor < math.inf]:
        raise ValueError(
            f"Scales are positive and finite, but there are {wrong[:4]}. Fit them to "
            "data (`WaveletLayout.fit`)."
        )


def blocks_to_channels(
    coefficients: Float[Array, "batch *fine"], grid: Sequence[int], factor: int
) -> Float[Array, "batch *grid block"]:
    """Zero-pad to ``factor * grid`` and move each block of coefficients to the end."""
    axes = len(grid)
    padding = [
        (0, factor * coarse - fine)
        for coarse, fine in zip(grid, coefficients.shape[1:], strict=True)
    ]
    padded = jnp.pad(coefficients, [(0, 0), *padding])
    pairs = itertools.chain.from_iterable((n, factor) for n in grid)
    split = padded.reshape(-1, *pairs)
    order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2)]
    return split.transpose(order).reshape(-1, *grid, factor**axes)


def channels_to_blocks(
    channels: Float[Array, "batch *grid block"], fine: Sequence[int], factor: int
) -> Float[Array, "batch *fine"]:
    """Undo `blocks_to_channels`: blocks back in place, padding cut off."""
    grid = channels.shape[1:-1]
    axes = len(grid)
    split = channels.reshape(-1, *grid, *(factor,) * axes)
    pairs = itertools.chain.from_iterable((1 + a, 1 + axes + a) for a in range(axes))
    whole = split.transpose([0, *pairs]).reshape(-1, *(factor * n for n in grid))
    return whole[(slice(None), *(slice(n) for n in fine))]
