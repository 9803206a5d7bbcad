"""Attention of tokens to each other, within windows of their grid."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from wdno.networks.layers import Embedding, crop, pad_to_multiple
from wdno.networks.patches import Kept, Places, from_patches, to_patches
from wdno.networks.positions import Positions, rotated

Heads = Float[Array, "batch token head feature"]
KeysValues = Float[Array, "batch every 2 feature"]
"""Keys and values of all tokens of a layer."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Where:
    """What the blocks of a transformer are given beside features: noise and places.

    Attributes:
        embedding: of the noise level of each row.
        positions: of the tokens of each row, or once for all rows.
        grid: tokens along each axis if all are there, in order; None if some are.
    """

    embedding: Embedding
    positions: Positions
    grid: tuple[int, ...] | None = field(metadata={"static": True})


class TokenAttention(nnx.Module):
    """Attention within windows, keys and queries turned by their positions.

    Where all tokens are there, each window is a batch row of its own, so that the work
    grows with the number of windows; where some are missing, a mask says which of them
    share a window.

    Args:
        width: features of a token.
        heads: between which they are divided.
        window: tokens along each axis that attend to each other, 0 for all.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, width: int, heads: int, window: tuple[int, ...], *, rngs: nnx.Rngs
    ) -> None:
        """Create the projections to queries, keys and values, and of the result."""
        self.heads, self.window = heads, window
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, h: Kept, where: Where) -> Kept:
        """What each token finds in those of its window."""
        return self._mixed(*self._projected(h, where), where)

    def remembering(
        self,
        h: Kept,
        where: Where,
        memory: KeysValues,
        places: Places | None,
        every: Int[Array, "1 every axis"],
    ) -> tuple[Kept, KeysValues]:
        """What some tokens find in all of their windows, and what is remembered then.

        Args:
            h: features of these tokens.
            where: their positions.
            memory: keys and values of all tokens, as they were when they passed last.
            places: of these tokens, whose keys and values are made anew; None for all.
            every: positions of all tokens.
        """
        q, k, v = self._projected(h, where)
        new = jnp.stack([part.reshape(h.shape) for part in (k, v)], axis=2)
        if places is None:
            return self._mixed(q, k, v, where), new
        memory = memory.at[jnp.arange(len(h))[:, None], places].set(new)
        k, v = (
            memory[:, :, part].reshape(*memory.shape[:2], self.heads, -1)
            for part in range(2)
        )
        mask = shared_window(where.positions, every, self.window)
        mixed = jax.nn.dot_product_attention(q, k, v, mask=mask)
        return self.out(mixed.reshape(h.shape)), memory

    def _mixed(
        self, q: Heads, k: Heads, v: Heads, where: Where
    ) -> Float[Array, "batch token width"]:
        """Attention among the tokens that are there."""
        if where.grid is None or not any(self.window):
            mask = shared_window(where.positions, where.positions, self.window)
            mixed = jax.nn.dot_product_attention(q, k, v, mask=mask)
        else:
            mixed = _in_windows(q, k, v, where.grid, self.window)
        return self.out(mixed.reshape(*mixed.shape[:2], -1))

    def _projected(self, h: Kept, where: Where) -> tuple[Array, Array, Array]:
        """Queries, keys and values by heads, the first two turned."""
        q, k, v = (
            part.reshape(*h.shape[:2], self.heads, -1)
            for part in jnp.split(self.qkv(h), 3, axis=-1)
        )
        return rotated(q, where.positions), rotated(k, where.positions), v


def shared_window(
    positions: Positions,
    others: Int[Array, "their_rows other axis"],
    window: tuple[int, ...],
) -> Bool[Array, "some_rows 1 token other"] | None:
    """Which tokens lie in the windows of which others; None if there is only one."""
    if not any(window):
        return None
    here, there = (
        jnp.stack([at[..., axis] // w for axis, w in enumerate(window) if w], axis=-1)
        for at in (positions, others)
    )
    return (here[:, None, :, None] == there[:, None, None, :]).all(axis=-1)


def _in_windows(
    q: Heads, k: Heads, v: Heads, grid: tuple[int, ...], window: tuple[int, ...]
) -> Heads:
    """Attention in each window by itself; what is padded is seen by nobody."""
    extents = tuple(min(w, n) or n for w, n in zip(window, grid, strict=True))
    rows, tokens, heads, features = q.shape
    kept = math.prod(extents)

    def cut(u: Array) -> Array:
        padded = pad_to_multiple(u.reshape(len(u), *grid, -1), extents)
        return to_patches(padded, extents)

    def windows(u: Heads) -> Array:
        return cut(u).reshape(-1, kept, heads, features)

    mask = None
    if any(n % extent for n, extent in zip(grid, extents, strict=True)):
        there = cut(jnp.ones((1, tokens, 1), q.dtype)).reshape(-1, 1, 1, kept) > 0
        mask = jnp.tile(there, (rows, 1, 1, 1))
    mixed = jax.nn.dot_product_attention(windows(q), windows(k), windows(v), mask=mask)
    counts = (-(-n // extent) for n, extent in zip(grid, extents, strict=True))
    whole = from_patches(mixed.reshape(rows, *counts, -1), extents)
    return crop(whole, grid).reshape(q.shape)


class CrossAttention(nnx.Module):
    """Attention of some tokens to all others of a coarser kind, at their positions."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        """Create the projections to queries, to keys and values, and of the result."""
        self.heads = heads
        self.query = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.keys_values = nnx.Linear(width, 2 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(
        self,
        h: Kept,
        positions: Positions,
        others: Float[Array, "batch other feature"],
        their_positions: Int[Array, "their_rows other axis"],
    ) -> Kept:
        """What each token finds in the others."""
        k, v = jnp.split(self.keys_values(others), 2, axis=-1)
        q, k, v = (
            part.reshape(*part.shape[:2], self.heads, -1)
            for part in (self.query(h), k, v)
        )
        q, k = rotated(q, positions), rotated(k, their_positions)
        return self.out(jax.nn.dot_product_attention(q, k, v).reshape(h.shape))
