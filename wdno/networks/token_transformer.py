"""Transformer on patches whose work is products of matrices (DiT, arXiv 2212.09748).

Norms are modulated by the noise level and every branch enters through a gate that
starts at zero (adaLN-Zero, section 3.2 there); keys and queries are turned by their
positions; on large grids attention stays within windows, of another shape in each
block, which with windows of one row or column is attention along one axis at a time.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.attention import TokenAttention, Where
from wdno.networks.layers import (
    Condition,
    Features,
    NoiseEmbedding,
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
from wdno.networks.positions import position_encoding, positions_of
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class TokenTransformerConfig:
    """Configuration of a `TokenTransformer`.

    Attributes:
        patch: coefficients per token along each axis.
        width: features per token.
        depth: number of blocks.
        heads: attention heads.
        windows: tokens along each axis that attend to each other, 0 for all of an axis;
            one after another, the blocks take these in turn. None for all everywhere.
            Windows of one shape alone would never exchange anything.

    Raises:
        ValueError: a number out of range, or heads that do not divide the width.

    Example:
        Attention along time, then along x:

        >>> TokenTransformerConfig((1, 4), windows=((0, 1), (1, 0)))
    """

    patch: tuple[int, ...] = (2, 4)
    width: int = 256
    depth: int = 6
    heads: int = 8
    windows: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(patch=self.patch, width=self.width, heads=self.heads)
        check_counts(MOST_BLOCKS, depth=self.depth)
        if self.width % self.heads:
            raise ValueError(
                f"Heads share the features of a token evenly, but {self.heads} heads "
                f"do not divide a width of {self.width}. Change one of the two."
            )
        for window in self.windows:
            check_counts(windows=tuple(extent or 1 for extent in window))

    def window(self, block: int) -> tuple[int, ...]:
        """That of a block."""
        everywhere = (0,) * len(self.patch)
        return self.windows[block % len(self.windows)] if self.windows else everywhere


class GatedBlock(nnx.Module):
    """Attention and a two-layer perceptron, each modulated before and gated after.

    ``h + g a((1 + s) norm(h) + b)`` with s, b and g from the embedding, all zero at
    first, so that a block starts as the identity.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: tuple[int, ...],
        embedding: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create the layers."""
        self.norm = nnx.RMSNorm(width, use_scale=False, rngs=rngs)
        zeros = nnx.initializers.zeros
        self.modulation = nnx.Linear(embedding, 6 * width, kernel_init=zeros, rngs=rngs)
        self.attention = TokenAttention(width, heads, window, rngs=rngs)
        self.inner = nnx.Linear(width, 4 * width, rngs=rngs)
        self.outer = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, h: Kept, where: Where) -> Kept:
        """Return the refined tokens."""
        both = self.modulation(where.embedding)[:, None]
        scale, shift, gate, scale_2, shift_2, gate_2 = jnp.split(both, 6, axis=-1)
        h = h + gate * self.attention((1 + scale) * self.norm(h) + shift, where)
        inner = self.inner((1 + scale_2) * self.norm(h) + shift_2)
        return h + gate_2 * self.outer(nnx.gelu(inner))


@register(TokenTransformerConfig)
class TokenTransformer(nnx.Module):
    """Transformer backbone: ``transformer(x, c_noise, cond)`` with the shape of x.

    Takes any grid: it is padded to whole patches and cropped at the end. Positions are
    added as sines and cosines and turn keys and queries, so no table fixes the grid.
    Some patches may pass alone (`wdno.diffusion.denoiser.TokenBackbone`).

    Raises:
        ValueError: a patch or a window has another number of axes than the grid.
    """

    def __init__(
        self, config: TokenTransformerConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(patch=config.patch)
        for window in config.windows:
            shape.check_numbers_per_axis(windows=window)
        self.add_ends(shape, rngs)
        width = config.width
        self.blocks = nnx.List(
            GatedBlock(width, config.heads, config.window(n), width, rngs=rngs)
            for n in range(config.depth)
        )

    def add_ends(self, shape: Shape, rngs: nnx.Rngs) -> None:
        """Create what is before and after the blocks."""
        width, inputs = self.config.width, shape.channels + shape.condition_channels
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        self.embed = PatchEmbedding(self.config.patch, inputs, width, rngs=rngs)
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.head = PatchHead(self.config.patch, width, shape.channels, rngs=rngs)

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
        h, where = self.enter(x, c_noise, cond, tokens)
        for block in self.blocks:
            h = block(h, where)
        return self.leave(h, x.shape[1:-1], tokens)

    def enter(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> tuple[Kept, Where]:
        """What the first block is given: features of patches, and where they are."""
        grid = self.token_grid(x.shape[1:-1])
        count, width = math.prod(grid), self.config.width
        both = pad_to_multiple(jnp.concatenate([x, cond], axis=-1), self.patch)
        patches = to_patches(both, self.patch).reshape(len(x), count, -1)
        code = position_encoding((*grid, width), x.dtype).reshape(1, count, width)
        code = jnp.broadcast_to(code, (len(x), count, width))
        embedding = self.embedding(c_noise)
        if tokens is None:
            every = positions_of(jnp.arange(count)[None], grid)
            return self.embed(patches) + code, Where(embedding, every, grid)
        features = self.embed(take(patches, tokens)) + take(code, tokens)
        return features, Where(embedding, positions_of(tokens, grid), None)

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
