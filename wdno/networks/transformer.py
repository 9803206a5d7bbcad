"""Transformer on patches of wavelet coefficients (after DiT, arXiv 2212.09748)."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    NoiseEmbedding,
    SelfAttention,
    crop,
    pad_to_multiple,
)
from wdno.networks.registry import register


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a `Transformer`.

    Attributes:
        patch: coefficients per token along each axis.
        width: features per token.
        depth: number of blocks.
        heads: attention heads.
    """

    patch: tuple[int, ...] = (2, 4)
    width: int = 256
    depth: int = 6
    heads: int = 8

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(patch=self.patch, width=self.width, heads=self.heads)
        check_counts(MOST_BLOCKS, depth=self.depth)
        if self.width % self.heads:
            raise ValueError(
                f"Heads share the features of a token evenly, but {self.heads} heads "
                f"do not divide a width of {self.width}. Change one of the two."
            )


class TransformerBlock(nnx.Module):
    """Attention, then a modulated two-layer perceptron, each with a residual."""

    def __init__(
        self, width: int, heads: int, embedding: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create the layers; both branches start at zero."""
        self.attention = SelfAttention(width, heads, rngs=rngs)
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.modulation = Modulation(embedding, width, rngs=rngs)
        self.inner = nnx.Linear(width, 4 * width, rngs=rngs)
        self.outer = nnx.Linear(
            4 * width, width, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, tokens: Features, embedding: Embedding) -> Features:
        """Return the refined tokens."""
        tokens = self.attention(tokens)
        h = self.modulation(self.norm(tokens), embedding)
        return tokens + self.outer(nnx.gelu(self.inner(h)))


@register(TransformerConfig)
class Transformer(nnx.Module):
    """Transformer backbone: ``transformer(x, c_noise, cond)`` with the shape of x.

    Takes any grid: it is padded to whole patches and cropped at the end. Positions
    enter as sines and cosines of the patch index, so no table fixes the grid.
    """

    def __init__(
        self,
        config: TransformerConfig,
        axes: int,
        channels: int,
        condition_channels: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        if len(config.patch) != axes:
            raise ValueError(
                f"A patch has one extent per grid axis, {axes} here, but got "
                f"{config.patch}. Give {axes} numbers."
            )
        width = config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        inputs = channels + condition_channels
        patching = {"kernel_size": config.patch, "strides": config.patch}
        self.embed = nnx.Conv(inputs, width, padding="VALID", **patching, rngs=rngs)
        self.blocks = nnx.List(
            TransformerBlock(width, config.heads, width, rngs=rngs)
            for _ in range(config.depth)
        )
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.head = nnx.ConvTranspose(
            width,
            channels,
            padding="VALID",
            **patching,
            kernel_init=nnx.initializers.zeros,
            rngs=rngs,
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Cut into patches, attend, put the patches back."""
        embedding = self.embedding(c_noise)
        both = jnp.concatenate([x, cond], axis=-1)
        both = pad_to_multiple(both, self.config.patch)
        tokens = self.embed(both)
        tokens = tokens + position_encoding(tokens.shape[1:], tokens.dtype)[None]
        for block in self.blocks:
            tokens = block(tokens, embedding)
        return crop(self.head(self.norm(tokens)), x.shape[1:-1])


def position_encoding(
    shape: tuple[int, ...], dtype: jnp.dtype
) -> Float[Array, "*grid width"]:
    """Sines and cosines of each axis' index, equal shares of the width an axis.

    Vaswani et al. 2017, section 3.5, with wavelengths up to 1,000 tokens.
    """
    *grid, width = shape
    share = width // (2 * len(grid))
    frequencies = 2 * jnp.pi * jnp.geomspace(1 / 4, 1 / 1000, share, dtype=dtype)
    parts = []
    for axis, extent in enumerate(grid):
        phase = jnp.arange(extent, dtype=dtype)[:, None] * frequencies[None]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        others = [1 if other != axis else extent for other in range(len(grid))]
        parts.append(jnp.broadcast_to(waves.reshape(*others, -1), (*grid, 2 * share)))
    code = jnp.concatenate(parts, axis=-1)
    return jnp.pad(code, [*((0, 0) for _ in grid), (0, width - code.shape[-1])])
