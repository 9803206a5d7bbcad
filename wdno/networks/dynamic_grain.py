"""A transformer over the wavelet tree: coarse tokens everywhere, fine ones where due.

A coarse token holds the approximation and the coarsest details of a cell, a fine token
the finer details. All coarse tokens pass a transformer first; then the fine tokens of
the K cells that most need them pass a few blocks more, in which they attend to each
other and to the coarse ones ("rough prediction and detail correction" of D²iT, Jia et
al. 2025, arXiv 2504.09454, section 3.2). Finer details of all other cells are zero.
"""

import math
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.attention import CrossAttention, Where
from wdno.networks.cells import Scores, most
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
    Tokens,
    from_patches,
    place,
    take,
    to_patches,
)
from wdno.networks.positions import position_encoding, positions_of
from wdno.networks.registry import Shape, register
from wdno.networks.token_network import TokenNetworkConfig


@dataclass(frozen=True)
class DynamicGrainConfig(TokenNetworkConfig):
    """Configuration of a `DynamicGrain`: a `TokenNetworkConfig`, and what is refined.

    A cell has a coarse token, of `patch` points of the coarsest grid along each axis,
    which pass `depth` blocks.

    Attributes:
        fine: channels of the finer details, `wavelets.grain.fine_channels` of a layout.
        kept: K, cells that are refined.
        refinements: blocks of the fine tokens; the paper's best has 2 after 10.
        reach: cells along each axis by which the choice is widened, see
            `cells.cone_reach`.

    Raises:
        ValueError: as there, or another number out of range.
    """

    patch: tuple[int, ...] = (1, 2)
    width: int = 192
    heads: int = 6
    _: KW_ONLY
    fine: tuple[int, ...]
    kept: int
    refinements: int = 2
    reach: tuple[int, ...] = (1, 1)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        super().__post_init__()
        check_counts(kept=self.kept, fine=tuple(n + 1 for n in self.fine))
        check_counts(MOST_BLOCKS, refinements=self.refinements)
        check_counts(reach=tuple(n + 1 for n in self.reach))


class Grained(NamedTuple):
    """What a `DynamicGrain` returns."""

    output: Features
    there: Bool[Array, "batch *grid channel"]
    """Where there is an estimate: of coarse channels everywhere, of fine in cells."""
    grain: Scores
    """Logits of the cells: whether each is one of those with most information."""


class RefinementBlock(nnx.Module):
    """A gated block whose tokens also attend to the coarse ones."""

    def __init__(self, width: int, heads: int, axes: int, *, rngs: nnx.Rngs) -> None:
        """Create the layers."""
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.coarse_norm = nnx.RMSNorm(width, rngs=rngs)
        self.cross = CrossAttention(width, heads, rngs=rngs)
        self.block = GatedBlock(width, heads, (0,) * axes, width, rngs=rngs)

    def __call__(self, h: Kept, where: Where, coarse: Tokens, whole: Where) -> Kept:
        """Return the refined tokens."""
        asked, found = self.norm(h), self.coarse_norm(coarse)
        h = h + self.cross(asked, where.positions, found, whole.positions)
        return self.block(h, where)


@register(DynamicGrainConfig)
class DynamicGrain(nnx.Module):
    """Backbone of two grains: ``network(x, c_noise, cond)`` with the shape of x.

    Which cells are refined is read off the coarse tokens, which see the condition and
    the noisy coarse coefficients: at first the condition alone tells, later the sample
    itself, so that in control the choice follows the plan. `cells` overrules it, in
    training by the true ones.

    Raises:
        ValueError: a setting has another number of axes than the grid, there are no
            such channels, or on a call fewer cells than are to be refined.
    """

    def __init__(
        self, config: DynamicGrainConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(patch=config.patch, reach=config.reach)
        fine, every = set(config.fine), range(shape.channels)
        if not fine < set(every):
            raise ValueError(
                "Channels of finer details are some of those that are generated, "
                f"0 to {shape.channels - 1}, but `fine` is {config.fine}. Take "
                "`wavelets.grain.fine_channels` of the model's targets."
            )
        self.coarse_channels = tuple(n for n in every if n not in fine)
        width, heads, points = config.width, config.heads, math.prod(config.patch)
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        low, high = (points * n for n in (len(self.coarse_channels), len(config.fine)))
        self.embed = nnx.Linear(
            low + points * shape.condition_channels, width, rngs=rngs
        )
        self.embed_fine = nnx.Linear(high, width, rngs=rngs)
        window = (0,) * shape.axes
        self.blocks = nnx.List(
            GatedBlock(width, heads, window, width, rngs=rngs)
            for _ in range(config.depth)
        )
        self.refinements = nnx.List(
            RefinementBlock(width, heads, shape.axes, rngs=rngs)
            for _ in range(config.refinements)
        )
        self.norm, self.norm_fine = (nnx.RMSNorm(width, rngs=rngs) for _ in range(2))
        self.grain = nnx.Linear(width, 1, rngs=rngs)
        self.head = PatchShrinkage(width, low, rngs=rngs)
        self.head_fine = PatchShrinkage(width, high, rngs=rngs)

    def __call__(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        cells: Int[Array, "batch kept"] | None = None,
    ) -> Features:
        """The output alone, zero where there is no estimate."""
        return self.grained(x, c_noise, cond, cells).output

    def estimated(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> tuple[Features, Bool[Array, "batch *grid channel"]]:
        """The output, and where there is one: see `diffusion.denoiser`."""
        output, there, _ = self.grained(x, c_noise, cond)
        return output, there

    def grained(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        cells: Int[Array, "batch kept"] | None = None,
    ) -> Grained:
        """Coarse tokens, the choice of cells, and their fine tokens."""
        points, fine = x.shape[1:-1], list(self.config.fine)
        grid = self.cell_grid(points)
        count = math.prod(grid)
        low, high = x[..., list(self.coarse_channels)], self._patches(x[..., fine])
        coarse = jnp.concatenate([low, cond], axis=-1)
        every = positions_of(jnp.arange(count)[None], grid)
        whole = Where(self.embedding(c_noise), every, grid)
        code = position_encoding((*grid, self.config.width), x.dtype)
        h = self.embed(self._patches(coarse))
        h = h + jnp.broadcast_to(code.reshape(1, count, -1), h.shape)
        for block in self.blocks:
            h = block_end(block(h, whole))
        known = self.norm(h)
        grain = self.grain(known).reshape(len(x), *grid)
        if cells is None:
            cells = most(grain, self.config.kept, self.config.reach)
        where = Where(whole.embedding, positions_of(cells, grid), None)
        f = take(self.embed_fine(high) + h, cells)
        for block in self.refinements:
            f = block_end(block(f, where, h, whole))
        details = self.head_fine(self.norm_fine(f), take(high, cells))
        details = place(details, cells, count)
        rough = self.head(known, self._patches(low))
        chosen = place(jnp.ones_like(f[..., :1]), cells, count)
        chosen = jnp.broadcast_to(chosen, (len(x), count, math.prod(self.config.patch)))
        there = self._points(chosen, points)[..., :1] > 0
        return Grained(
            self._joined(self._points(rough, points), self._points(details, points)),
            self._joined(
                jnp.ones((*x.shape[:-1], len(self.coarse_channels)), bool),
                jnp.broadcast_to(there, (*x.shape[:-1], len(fine))),
            ),
            grain,
        )

    def cell_grid(self, points: tuple[int, ...]) -> tuple[int, ...]:
        """Cells along each axis of a grid."""
        return self.config.token_grid(points)

    def _patches(self, x: Features) -> Tokens:
        patch = self.config.patch
        patches = to_patches(pad_to_multiple(x, patch), patch)
        return patches.reshape(len(x), -1, patches.shape[-1])

    def _points(self, patches: Tokens, points: tuple[int, ...]) -> Features:
        on_grid = patches.reshape(len(patches), *self.cell_grid(points), -1)
        return crop(from_patches(on_grid, self.config.patch), points)

    def _joined(self, coarse: Array, fine: Array) -> Array:
        """Channels in the order in which they came."""
        order = np.argsort((*self.coarse_channels, *self.config.fine))
        return jnp.concatenate([coarse, fine], axis=-1)[..., order]
