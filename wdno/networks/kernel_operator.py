"""Neural operators: integral kernels and perceptrons in turn (arXiv 2010.08895)."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    NoiseEmbedding,
    block_end,
)

Kernel = Callable[[], nnx.Module]
"""Makes a module that maps features to features by mixing grid points linearly."""


class KernelBlock(nnx.Module):
    """A kernel over the grid, then a modulated two-layer perceptron at every point."""

    def __init__(self, kernel: Kernel, width: int, *, rngs: nnx.Rngs) -> None:
        """Create the layers."""
        self.kernel = kernel()
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.modulation = Modulation(width, width, rngs=rngs)
        self.inner = nnx.Linear(width, 2 * width, rngs=rngs)
        self.outer = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: Features, embedding: Embedding) -> Features:
        """Return the refined features."""
        h = self.norm(self.kernel(x) + x)
        h = self.modulation(h, embedding)
        return x + self.outer(nnx.gelu(self.inner(h)))


class KernelOperator(nnx.Module):
    """Lifts every grid point to features, applies the blocks, projects back.

    Kinds differ in the kernel and in what they add to the condition.
    """

    def __init__(
        self,
        kernel: Kernel,
        depth: int,
        width: int,
        channels: int,
        condition_channels: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create all layers; the head starts at zero.

        Args:
            kernel: makes the kernel of a block.
            depth: number of blocks.
            width: features per grid point.
            channels: channels of input and output.
            condition_channels: channels of the condition.
            rngs: source of the initial parameters.
        """
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        self.lift = nnx.Linear(channels + condition_channels, width, rngs=rngs)
        self.blocks = nnx.List(
            KernelBlock(kernel, width, rngs=rngs) for _ in range(depth)
        )
        self.head = nnx.Linear(
            width, channels, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift, mix, project."""
        embedding = self.embedding(c_noise)
        h = self.lift(jnp.concatenate([x, cond], axis=-1))
        for block in self.blocks:
            h = block_end(block(h, embedding))
        return self.head(nnx.gelu(h))
