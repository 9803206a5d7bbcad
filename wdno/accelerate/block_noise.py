"""Where the noise of a new block comes from: frozen values, so that they compare."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno.diffusion.keys import RowKeys, row_normal

Noise = Float[Array, "batch *grid channel"]


@runtime_checkable
class BlockNoise(Protocol):
    """Noise of a block, from that of the block before and a key a row."""

    def __call__(self, previous: Noise, shared: int, keys: RowKeys) -> Noise:
        """Standard normal noise.

        Args:
            previous: noise of the earlier block.
            shared: its last rows of coefficients, which are the first of the new one.
            keys: of the draws.
        """
        ...


@dataclass(frozen=True)
class Independent:
    """Another noise for every block, which knows nothing of those before."""

    def __call__(self, previous: Noise, shared: int, keys: RowKeys) -> Noise:
        """Fresh noise."""
        return row_normal(previous.shape, previous.dtype, keys)


@dataclass(frozen=True)
class Overlapping:
    """Another noise, but in the rows that two blocks share the same."""

    def __call__(self, previous: Noise, shared: int, keys: RowKeys) -> Noise:
        """The last rows of the earlier block, and fresh ones."""
        own = previous.shape[1] - shared
        fresh = row_normal(previous.shape, previous.dtype, keys)[:, :own]
        return jnp.concatenate([previous[:, own:], fresh], axis=1)


@dataclass(frozen=True)
class Pooled:
    """One pool of noise for all blocks, permuted: coordinated noise of DualParal.

    The shared rows stay what they are, and the others of the earlier block follow in
    another order: none of the rows that were used last comes again at once. Each block
    has standard normal noise, but a pool that never grows makes blocks resemble each
    other.
    """

    def __call__(self, previous: Noise, shared: int, keys: RowKeys) -> Noise:
        """The last rows of the earlier block, and its others permuted."""
        own = previous.shape[1] - shared
        mixed = jax.vmap(jax.random.permutation)(keys, previous[:, :own])
        return jnp.concatenate([previous[:, own:], mixed], axis=1)
