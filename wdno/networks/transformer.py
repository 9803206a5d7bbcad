"""Transformer on patches of wavelet coefficients (after DiT, arXiv 2212.09748)."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

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
from wdno.networks.patches import (
    Kept,
    PatchEmbedding,
    PatchHead,
    from_patches,
    place,
    take,
    to_patches,
)
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class TransformerConfig:
    """Configuration of a `Transformer`.

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
    enter as sines and cosines of the patch index, so no table fixes the grid. Some
    patches may pass alone (`wdno.diffusion.denoiser.TokenBackbone`).

    Raises:
        ValueError: a patch has another number of axes than the grid.
    """

    def __init__(
        self, config: TransformerConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(patch=config.patch)
        width = config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        inputs = shape.channels + shape.condition_channels
        self.embed = PatchEmbedding(config.patch, inputs, width, rngs=rngs)
        self.blocks = nnx.List(
            TransformerBlock(width, config.heads, width, rngs=rngs)
            for _ in range(config.depth)
        )
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.head = PatchHead(config.patch, width, shape.channels, rngs=rngs)

    @property
    def patch(self) -> tuple[int, ...]:
        """Grid points of a patch along each axis."""
        return self.config.patch

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Patches along each axis, the last ones padded if the grid ends within."""
        return tuple(-(-n // p) for n, p in zip(grid, self.patch, strict=True))

    def __call__(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> Features:
        """Cut into patches, attend, put the patches back.

        `tokens` are those of `TokenBackbone`: they attend to each other alone, each at
        its own position. A place beyond the grid makes all estimates of its row NaN.
        """
        h, embedding = self.enter(x, c_noise, cond, tokens)
        for block in self.blocks:
            h = block(h, embedding)
        return self.leave(h, x.shape[1:-1], tokens)

    def enter(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> tuple[Kept, Embedding]:
        """What the first block is given: features of patches, and of the noise."""
        grid = self.token_grid(x.shape[1:-1])
        both = pad_to_multiple(jnp.concatenate([x, cond], axis=-1), self.patch)
        patches = to_patches(both, self.patch).reshape(len(x), math.prod(grid), -1)
        code = position_encoding((*grid, self.config.width), x.dtype)[None]
        code = jnp.broadcast_to(code, (len(x), *code.shape[1:]))
        code = code.reshape(*patches.shape[:2], -1)
        if tokens is not None:
            patches, code = take(patches, tokens), take(code, tokens)
        return self.embed(patches) + code, self.embedding(c_noise)

    def leave(
        self,
        h: Kept,
        points: tuple[int, ...],
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> Features:
        """The grid of so many points that the features after the last block make."""
        grid = self.token_grid(points)
        estimates = self.head(self.norm(h))
        if tokens is not None:
            estimates = place(estimates, tokens, math.prod(grid))
        whole = from_patches(estimates.reshape(len(h), *grid, -1), self.patch)
        return crop(whole, points)


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
