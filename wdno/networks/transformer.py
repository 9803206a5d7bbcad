"""Transformer on patches of wavelet coefficients (after DiT, arXiv 2212.09748).

`wdno.networks.token_transformer` is the one for new models.
"""

from dataclasses import dataclass

from flax import nnx
from jaxtyping import Array, Float, Int

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    SelfAttention,
)
from wdno.networks.patched import PatchedTransformer
from wdno.networks.patches import Kept, Patches, PatchHead
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
class Transformer(PatchedTransformer):
    """The transformer of models that were saved before `TokenTransformer` was there.

    Positions enter as sines and cosines alone, and attention knows no noise level.

    Raises:
        ValueError: a patch has another number of axes than the grid.
    """

    def __init__(
        self, config: TransformerConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(patch=config.patch)
        self.add_ends(shape, rngs)
        self.head = PatchHead(config.patch, config.width, shape.channels, rngs=rngs)
        self.blocks = nnx.List(
            TransformerBlock(config.width, config.heads, config.width, rngs=rngs)
            for _ in range(config.depth)
        )

    def enter(
        self,
        x: Features,
        c_noise: Float[Array, " batch"],
        cond: Condition,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> tuple[Kept, Embedding]:
        """What the first block is given: features of patches, and of the noise."""
        h, where = super().enter(x, c_noise, cond, tokens)
        return h, where.embedding

    def estimates(self, h: Kept, patches: Patches) -> Patches:
        """From the features alone."""
        return self.head(h)
