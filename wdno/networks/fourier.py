"""Fourier neural operator on grids of wavelet coefficients (arXiv 2010.08895)."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex, Float, Int

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.kernel_operator import KernelOperator
from wdno.networks.layers import Condition, Features
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class FourierConfig:
    """Configuration of a `Fourier` operator.

    Attributes:
        modes: Fourier modes with a multiplier along each axis of the grid, counted on
            the doubled grid: both signs of frequency, but for the last axis.
        width: features per grid point.
        depth: number of blocks.
    """

    modes: tuple[int, ...] = (8, 16)
    width: int = 64
    depth: int = 4

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(modes=self.modes, width=self.width)
        check_counts(MOST_BLOCKS, depth=self.depth)


class SpectralConvolution(nnx.Module):
    """Convolution over the whole grid: a matrix of features for each low frequency.

    The grid is doubled with zeros, because the data do not repeat themselves at its
    ends, and frequencies above the modes are dropped. Frequencies that a coarser grid
    does not have are left out there (Li et al. 2021, section 4). Few frequencies of
    short axes are wanted, so each transform is a product with a matrix.
    """

    def __init__(self, modes: tuple[int, ...], width: int, *, rngs: nnx.Rngs) -> None:
        """Create the multipliers, real and imaginary part."""
        self.modes = modes
        shape = (2, *modes, width, width)
        self.weight = nnx.Param(rngs.normal(shape, jnp.float32) / width)

    def __call__(self, x: Features) -> Features:
        """Multiply the low frequencies of every row, channels mixed.

        Complex numbers are pairs along a leading axis: XLA multiplies real matrices
        faster (1.7 times here, on a CPU).
        """
        grid = x.shape[1:-1]
        kept = [_frequencies(m, 2 * n) for m, n in zip(self.modes, grid, strict=True)]
        kept[-1] = np.arange(min(self.modes[-1], grid[-1] + 1))
        z = x[None]
        for k, n in zip(reversed(kept), reversed(grid), strict=True):
            # x is real: the first time there are no imaginary parts to transform.
            waves = jnp.asarray(_pairs(_waves(k, n))[:, : len(z)], x.dtype)
            z = jnp.tensordot(waves, z, axes=((1, 3), (0, z.ndim - 2)))
        # Negative frequencies have the last matrices, counted from the end.
        places = np.ix_(*(k % m for k, m in zip(kept, self.modes, strict=True)))
        (a, b), (c, d) = z, self.weight[...][:, *places].astype(x.dtype)
        z = jnp.stack([a @ c - b @ d, a @ d + b @ c])
        # The last axis comes last: only there are fewer frequencies than points.
        for axis, (k, n) in enumerate(zip(kept, grid, strict=True)):
            waves = _pairs(_waves(k, n).conj().T / (2 * n))
            if axis == len(grid) - 1:  # half its frequencies and the real part will do
                waves = waves[:1] * np.where(k % n == 0, 1, 2)
            waves = jnp.asarray(waves, x.dtype)
            z = jnp.tensordot(waves, z, axes=((1, 3), (0, 1 + axis)))
        return z[0].transpose(-2, *reversed(range(len(grid))), -1)


def _frequencies(count: int, doubled: int) -> Int[np.ndarray, " frequency"]:
    """The lowest frequencies of both signs."""
    half = min(count, doubled) // 2
    return np.arange(-half, half)


def _waves(
    frequencies: Int[np.ndarray, " frequency"], points: int
) -> Complex[np.ndarray, "frequency {points}"]:
    """exp(-2 pi i k n / 2N): discrete Fourier transform of N points and N zeros."""
    return np.exp(-1j * np.pi * np.outer(frequencies, np.arange(points)) / points)


def _pairs(
    matrix: Complex[np.ndarray, "row column"],
) -> Float[np.ndarray, "2 2 row column"]:
    """The complex matrix as it acts on pairs (real part, imaginary part)."""
    real, imaginary = np.real(matrix), np.imag(matrix)
    return np.array([[real, -imaginary], [imaginary, real]])


@register(FourierConfig)
class Fourier(KernelOperator):
    """Fourier backbone: ``fourier(x, c_noise, cond)`` with the shape of x.

    Kernels are spectral convolutions, and every grid point knows its position. Takes
    any grid.

    Raises:
        ValueError: the modes have another number of axes than the grid.
    """

    def __init__(self, config: FourierConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(modes=config.modes)
        super().__init__(
            lambda: SpectralConvolution(config.modes, config.width, rngs=rngs),
            config.depth,
            config.width,
            shape.channels,
            shape.condition_channels + shape.axes,
            rngs=rngs,
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift with the position, convolve, project."""
        ramps = [np.linspace(-1.0, 1.0, points) for points in x.shape[1:-1]]
        place = np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)
        place = jnp.broadcast_to(jnp.asarray(place, x.dtype), (len(x), *place.shape))
        return super().__call__(x, c_noise, jnp.concatenate([cond, place], axis=-1))
