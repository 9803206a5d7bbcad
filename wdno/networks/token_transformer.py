"""Transformer on patches whose work is products of matrices (DiT, arXiv 2212.09748).

Norms are modulated by the noise level and every branch enters through a gate that
starts at zero (adaLN-Zero, section 3.2 there); keys and queries are turned by their
positions; on large grids attention stays within windows, of another shape in each
block, which with windows of one row or column is attention along one axis at a time.
At the end a token makes a patch anew and shrinks the noisy one, so that patches may be
large: that decides what a call costs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from wdno._ranges import check_counts
from wdno.networks.attention import Where
from wdno.networks.gated_block import GatedBlock
from wdno.networks.layers import (
    Condition,
    Features,
    NoiseEmbedding,
    block_end,
    crop,
    pad_to_multiple,
)
from wdno.networks.patches import (
    Kept,
    PatchShrinkage,
    from_patches,
    place,
    take,
    to_patches,
)
from wdno.networks.positions import position_encoding, positions_of
from wdno.networks.registry import Shape, register
from wdno.networks.token_network import TokenNetworkConfig

Memory = Float[Array, "batch layer every 2 feature"]
"""Keys and values of all tokens in every layer."""


@dataclass(frozen=True)
class TokenTransformerConfig(TokenNetworkConfig):
    """Configuration of a `TokenTransformer`: a `TokenNetworkConfig`, with windows.

    Attributes:
        windows: tokens along each axis that attend to each other, 0 for all of an axis;
            one after another, the blocks take these in turn. None for all everywhere.
            Windows of one shape alone would never exchange anything.

    Raises:
        ValueError: as there, or a window has a negative number.

    Example:
        Attention along time, then along x:

        >>> TokenTransformerConfig((1, 4), windows=((0, 1), (1, 0)))
    """

    windows: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        super().__post_init__()
        for window in self.windows:
            check_counts(windows=tuple(extent or 1 for extent in window))

    def window(self, block: int) -> tuple[int, ...]:
        """That of a block."""
        everywhere = (0,) * len(self.patch)
        return self.windows[block % len(self.windows)] if self.windows else everywhere


@register(TokenTransformerConfig)
class TokenTransformer(nnx.Module):
    """Transformer backbone: ``transformer(x, c_noise, cond)`` with the shape of x.

    Takes any grid: it is padded to whole patches and cropped at the end. Positions are
    added as sines and cosines and turn keys and queries, so no table fixes the grid.
    Some patches may pass alone (`wdno.diffusion.denoiser.TokenBackbone`).

    Attributes:
        blocks: functions of features and of what `enter` says of noise and places.

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
        width, points = config.width, math.prod(config.patch)
        inputs = shape.channels + shape.condition_channels
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        self.embed = nnx.Linear(points * inputs, width, rngs=rngs)
        self.blocks = nnx.List(
            GatedBlock(width, config.heads, config.window(n), width, rngs=rngs)
            for n in range(config.depth)
        )
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.head = PatchShrinkage(width, points * shape.channels, rngs=rngs)

    @property
    def patch(self) -> tuple[int, ...]:
        """Grid points of a patch along each axis."""
        return self.config.patch

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Patches along each axis, the last ones padded if the grid ends within."""
        return self.config.token_grid(grid)

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
            h = block_end(block(h, where))
        return self.leave(h, x, tokens)

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
        x: Features,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> Features:
        """The grid that the features after the last block make, like the x before."""
        points = x.shape[1:-1]
        grid = self.token_grid(points)
        patches = to_patches(pad_to_multiple(x, self.patch), self.patch)
        patches = patches.reshape(len(x), math.prod(grid), -1)
        if tokens is not None:
            patches = take(patches, tokens)
        estimates = self.head(self.norm(h), patches)
        if tokens is not None:
            estimates = place(estimates, tokens, math.prod(grid))
        whole = from_patches(estimates.reshape(len(h), *grid, -1), self.patch)
        return crop(whole, points)

    def remembering(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        memory: Memory,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> tuple[Features, Memory]:
        """As the call, but tokens attend also to those that are left out.

        Args:
            x: as there.
            c_noise: as there.
            cond: as there.
            memory: keys and values of all tokens in every layer, see `forgotten`.
            tokens: as there.

        Returns:
            What the call returns, and the memory with that of the tokens made anew.
        """
        grid = self.token_grid(x.shape[1:-1])
        every = positions_of(jnp.arange(math.prod(grid))[None], grid)
        h, where = self.enter(x, c_noise, cond, tokens)
        layers = []
        for n, block in enumerate(self.blocks):

            def attention(u: Kept, block: GatedBlock = block, n: int = n) -> Kept:
                found, layer = block.attention.remembering(
                    u, where, memory[:, n], tokens, every
                )
                layers.append(layer)
                return found

            h = block.around(attention, h, where)
        return self.leave(h, x, tokens), jnp.stack(layers, axis=1)


@cache  # one function for equal calls: jit compiles once
def forgotten(config: TokenTransformerConfig) -> Callable[[Features], Memory]:
    """Makes the memory of a transformer before anything has passed: zeros, for an x."""

    def memory(x: Features) -> Memory:
        count = math.prod(config.token_grid(x.shape[1:-1]))
        return jnp.zeros((len(x), config.depth, count, 2, config.width), x.dtype)

    return memory
