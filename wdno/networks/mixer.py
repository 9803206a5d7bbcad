"""Mixer on patches of wavelet coefficients (after MLP-Mixer, arXiv 2105.01601)."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.kernel_operator import KernelOperator
from wdno.networks.layers import Condition, Features
from wdno.networks.patches import from_patches, to_patches
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class MixerConfig:
    """Configuration of a `Mixer`.

    Attributes:
        patch: grid points per token along each axis.
        tokens: tokens along each axis.
        width: features per token.
        depth: number of blocks.
    """

    patch: tuple[int, ...] = (2, 4, 4)
    tokens: tuple[int, ...] = (8, 8, 8)
    width: int = 256
    depth: int = 6

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(patch=self.patch, tokens=self.tokens, width=self.width)
        check_counts(MOST_BLOCKS, depth=self.depth)


class TokenMixing(nnx.Module):
    """Every token becomes a weighted sum of all tokens, the same for all features."""

    def __init__(self, tokens: int, *, rngs: nnx.Rngs) -> None:
        """Create the matrix."""
        values = rngs.normal((tokens, tokens), jnp.float32) / math.sqrt(tokens)
        self.weight = nnx.Param(values)

    def __call__(self, x: Features) -> Features:
        """Mix the tokens of every row."""
        tokens = x.reshape(len(x), -1, x.shape[-1])
        weight = self.weight[...].astype(x.dtype)
        # With tokens last it is one product for all rows and features.
        mixed = tokens.swapaxes(1, 2) @ weight
        return mixed.swapaxes(1, 2).reshape(x.shape)


@register(MixerConfig)
class Mixer(KernelOperator):
    """Mixer backbone: ``mixer(x, c_noise, cond)`` with the shape of x.

    Kernels are dense matrices between all tokens. They know every place by itself, and
    so how a fixed geometry guides a flow from one place to another; but they belong to
    one grid. Nearly all work is large products of matrices.

    Raises:
        ValueError: the configuration has another number of axes than the grid, or a
            grid is not that of the configuration.
    """

    def __init__(self, config: MixerConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(patch=config.patch, tokens=config.tokens)
        volume = math.prod(config.patch)
        super().__init__(
            lambda: TokenMixing(math.prod(config.tokens), rngs=rngs),
            config.depth,
            config.width,
            volume * shape.channels,
            volume * shape.condition_channels,
            rngs=rngs,
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Cut into patches, mix, put the patches back."""
        sizes = zip(self.config.patch, self.config.tokens, strict=True)
        grid = tuple(patch * tokens for patch, tokens in sizes)
        if x.shape[1:-1] != grid:
            raise ValueError(
                f"A mixer works on the one grid that it was made for, {grid}, but got "
                f"{x.shape[1:-1]}. Use a backbone without positions on other grids."
            )
        patches = (to_patches(part, self.config.patch) for part in (x, cond))
        mixed = super().__call__(next(patches), c_noise, next(patches))
        return from_patches(mixed, self.config.patch)
