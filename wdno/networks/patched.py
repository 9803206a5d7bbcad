"""What transformers on patches have in common: all but their blocks."""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from wdno.networks.attention import Where
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
    PatchEmbedding,
    Patches,
    from_patches,
    place,
    take,
    to_patches,
)
from wdno.networks.positions import position_encoding, positions_of
from wdno.networks.registry import Shape


class PatchedTransformer(nnx.Module):
    """A stack of blocks between patches of a grid and patches of a grid.

    What patches are made of features at the end is each one's own: `estimates`.

    Attributes:
        config: with the entries patch and width.
        blocks: functions of features and of what `enter` says of noise and places.
    """

    config: Any
    blocks: nnx.List

    def add_ends(self, shape: Shape, rngs: nnx.Rngs) -> None:
        """Create what is before and after the blocks."""
        width, inputs = self.config.width, shape.channels + shape.condition_channels
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        self.embed = PatchEmbedding(self.config.patch, inputs, width, rngs=rngs)
        self.norm = nnx.RMSNorm(width, rngs=rngs)

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
        estimates = self.estimates(self.norm(h), patches)
        if tokens is not None:
            estimates = place(estimates, tokens, math.prod(grid))
        whole = from_patches(estimates.reshape(len(h), *grid, -1), self.patch)
        return crop(whole, points)

    def estimates(self, h: Kept, patches: Patches) -> Patches:
        """Patches of the output, from normalised features and the patches of x."""
        raise NotImplementedError
