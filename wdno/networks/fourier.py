"""Fourier neural operator on grids of wavelet coefficients (arXiv 2010.08895)."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex, Float, Int

from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    NoiseEmbedding,
)


@dataclass(frozen=True)
class FourierConfig:
    """Shape of a `Fourier` operator.

    Attributes:
        modes: Fourier modes with a multiplier along each axis of the grid, counted on
            the doubled grid: both signs of frequency, but for the last axis.
        width: features per grid point.
        depth: number of blocks.
    """

    modes: tuple[int, ...] = (8, 16)
    width: int = 64
    depth: int = 4


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
            waves = jnp.asarray(_pairs(_waves(k, n))[:, : len(z)], x.dtype)
            z = jnp.tensordot(waves, z, axes=((1, 3), (0, z.ndim - 2)))
        places = np.ix_(*(k % m for k, m in zip(kept, self.modes, strict=True)))
        (a, b), (c, d) = z, self.weight[...][:, *places].astype(x.dtype)
        z = jnp.stack([a @ c - b @ d, a @ d + b @ c])
        both_signs = np.where(kept[-1] % grid[-1] == 0, 1, 2)
        for axis in reversed(range(len(grid))):
            waves = _waves(kept[axis], grid[axis]).conj().T / (2 * grid[axis])
            waves = waves * both_signs if axis == len(grid) - 1 else waves
            z = jnp.tensordot(
                jnp.asarray(_pairs(waves), x.dtype), z, axes=((1, 3), (0, z.ndim - 3))
            )
        return jnp.moveaxis(z[0], -2, 0)


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


class FourierBlock(nnx.Module):
    """Spectral convolution, then a modulated two-layer perceptron at every point."""

    def __init__(self, config: FourierConfig, *, rngs: nnx.Rngs) -> None:
        """Create the layers; the residual branch starts small."""
        width = config.width
        self.spectral = SpectralConvolution(config.modes, width, rngs=rngs)
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.modulation = Modulation(width, width, rngs=rngs)
        self.inner = nnx.Linear(width, 2 * width, rngs=rngs)
        self.outer = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: Features, embedding: Embedding) -> Features:
        """Return the refined features."""
        h = self.norm(self.spectral(x) + x)
        h = self.modulation(h, embedding)
        return x + self.outer(nnx.gelu(self.inner(h)))


class Fourier(nnx.Module):
    """Fourier backbone: ``fourier(x, c_noise, cond)`` with the shape of x.

    Lifts every grid point with its position to features, applies the blocks, and
    projects back. Takes any grid.
    """

    def __init__(
        self,
        config: FourierConfig,
        axes: int,
        channels: int,
        condition_channels: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        if len(config.modes) != axes:
            raise ValueError(
                f"Modes are counted along each grid axis, {axes} here, but got "
                f"{config.modes}. Give {axes} numbers."
            )
        width = config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        self.lift = nnx.Linear(channels + condition_channels + axes, width, rngs=rngs)
        self.blocks = nnx.List(
            FourierBlock(config, rngs=rngs) for _ in range(config.depth)
        )
        self.head = nnx.Linear(
            width, channels, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift, convolve, project."""
        embedding = self.embedding(c_noise)
        grid = x.shape[1:-1]
        place = np.stack(np.meshgrid(*map(_ramp, grid), indexing="ij"), axis=-1)
        place = jnp.broadcast_to(jnp.asarray(place, x.dtype), (len(x), *place.shape))
        h = self.lift(jnp.concatenate([x, cond, place], axis=-1))
        for block in self.blocks:
            h = block(h, embedding)
        return self.head(nnx.gelu(h))


def _ramp(points: int) -> Float[np.ndarray, " points"]:
    """Positions from -1 to 1."""
    return np.linspace(-1.0, 1.0, points)
