"""Fourier multipliers on a ring, modulated by the numbers that an equation depends on.

A linear equation with constant coefficients turns every wave by a factor of its own,
which depends on the wavenumber, on time and on the coefficients: for advection
exp(-i k β t). The backbone has that form: matrices between features, one a wavenumber,
with a scale of every feature between them that depends on the numbers and on the noise.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    NoiseEmbedding,
    block_end,
)
from wdno.networks.patches import from_patches, to_patches
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class MultiplierConfig:
    """Configuration of a `Multiplier`.

    Attributes:
        instants: grid points along the first axis, which are features here.
        numbers: how many numbers are given: the last channels of the condition.
        frequencies: of the sines and cosines of each number, 1, 2, … radians a unit:
            what the multipliers are as functions of the number is a series of these.
        modes: wavenumbers with a matrix; shorter waves are dropped.
        width: features of each wave.
        depth: number of blocks.
    """

    instants: int = 8
    numbers: int = 1
    frequencies: int = 64
    modes: int = 33
    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(
            instants=self.instants,
            numbers=self.numbers,
            frequencies=self.frequencies,
            modes=self.modes,
            width=self.width,
        )
        check_counts(MOST_BLOCKS, depth=self.depth)


class RingConvolution(nnx.Module):
    """Convolution around a ring: a complex matrix of features for each wavenumber."""

    def __init__(self, modes: int, width: int, *, rngs: nnx.Rngs) -> None:
        """Create the matrices, real and imaginary part."""
        shape = (2, modes, width, width)
        deviation = 1 / np.sqrt(2 * width).astype(np.float32)
        self.weight = nnx.Param(rngs.normal(shape, jnp.float32) * deviation)

    def __call__(
        self, x: Float[Array, "batch x feature"]
    ) -> Float[Array, "batch x feature"]:
        """Multiply the features of every wave by its matrix."""
        waves = jnp.fft.rfft(x, axis=1)[:, : self.weight.shape[1]]
        real, imaginary = self.weight[...].astype(x.dtype)
        a, b = jnp.real(waves).swapaxes(0, 1), jnp.imag(waves).swapaxes(0, 1)
        real, imaginary = real[: len(a)], imaginary[: len(a)]
        # Wavenumbers lead, a matrix each; real products, as in `SpectralConvolution`.
        turned = lax.complex(a @ real - b @ imaginary, a @ imaginary + b @ real)
        return jnp.fft.irfft(turned.swapaxes(0, 1), x.shape[1], axis=1)


class MultiplierBlock(nnx.Module):
    """x + B diag(1 + scale) A x with convolutions A, B; at first nearly x."""

    def __init__(self, config: MultiplierConfig, *, rngs: nnx.Rngs) -> None:
        """Create the layers."""
        width = config.width
        self.inner = RingConvolution(config.modes, width, rngs=rngs)
        features = width + 2 * config.frequencies * config.numbers
        self.modulation = Modulation(features, width, rngs=rngs)
        self.outer = RingConvolution(config.modes, width, rngs=rngs)
        self.outer.weight[...] *= 0.1

    def __call__(
        self, x: Float[Array, "batch x feature"], embedding: Embedding
    ) -> Float[Array, "batch x feature"]:
        """Return the refined features."""
        return x + self.outer(self.modulation(self.inner(x), embedding))


@register(MultiplierConfig)
class Multiplier(nnx.Module):
    """Multiplier backbone: ``multiplier(x, c_noise, cond)`` with the shape of x.

    Affine in the fields and equivariant to shifts by a grid point, on grids of two axes
    of which the second is a ring. Takes any number of points along the ring.

    Raises:
        ValueError: the grid has other axes, or another extent along the first.
    """

    def __init__(
        self, config: MultiplierConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        fields = shape.condition_channels - config.numbers
        if shape.axes != 2 or fields <= 0:
            raise ValueError(
                "A multiplier works on time and a ring, given fields and then "
                f"{config.numbers} numbers, but got {shape.axes} axes and "
                f"{shape.condition_channels} channels. Use another backbone."
            )
        width = config.width
        given = config.instants * (shape.channels + fields)
        self.noise = NoiseEmbedding(width, rngs=rngs)
        self.lift = nnx.Linear(given, width, use_bias=False, rngs=rngs)
        self.blocks = nnx.List(
            MultiplierBlock(config, rngs=rngs) for _ in range(config.depth)
        )
        self.modulation = Modulation(width, width, rngs=rngs)
        self.head = nnx.Linear(
            width,
            config.instants * shape.channels,
            use_bias=False,
            kernel_init=nnx.initializers.zeros,
            rngs=rngs,
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift all instants of a place to its features, convolve, project back."""
        if x.ndim != 4 or x.shape[1] != self.config.instants:
            raise ValueError(
                f"A multiplier works on {self.config.instants} instants of a ring, but "
                f"got a grid of {x.shape[1:-1]}. Use a window of that length."
            )
        fields = cond.shape[-1] - self.config.numbers
        noise = self.noise(c_noise)
        numbers = cond[:, 0, 0, fields:, None]  # the same at every point
        tones = jnp.arange(1, 1 + self.config.frequencies, dtype=x.dtype)
        phase = numbers * tones[None, None]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        embedding = jnp.concatenate([noise, waves.reshape(len(x), -1)], axis=-1)
        known = jnp.concatenate([x, cond[..., :fields]], axis=-1)
        patch = (self.config.instants, 1)
        h = self.lift(to_patches(known, patch)[:, 0])
        for block in self.blocks:
            h = block_end(block(h, embedding))
        return from_patches(self.head(self.modulation(h, noise))[:, None], patch)
