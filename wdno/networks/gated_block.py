"""The block of transformers on tokens: attention and perceptron behind gates."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx

from wdno.networks.attention import TokenAttention, Where
from wdno.networks.patches import Kept


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
        return self.around(lambda u: self.attention(u, where), h, where)

    def around(self, attention: Callable[[Kept], Kept], h: Kept, where: Where) -> Kept:
        """The block with another attention than its own among the tokens that pass."""
        both = self.modulation(where.embedding)[:, None]
        scale, shift, gate, scale_2, shift_2, gate_2 = jnp.split(both, 6, axis=-1)
        h = h + gate * attention((1 + scale) * self.norm(h) + shift)
        inner = self.inner((1 + scale_2) * self.norm(h) + shift_2)
        return h + gate_2 * self.outer(nnx.gelu(inner))
