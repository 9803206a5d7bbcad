"""Building blocks that the backbones share."""

import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

Features = Float[Array, "batch *grid channel"]
Condition = Float[Array, "batch *grid given"]
Embedding = Float[Array, "batch embedding"]

BLOCK_END = "block end"
"""Name of what `block_end` marks."""


def block_end(x: Features) -> Features:
    """The features, marked as those between which a gradient may compute all anew.

    See ``jax.checkpoint`` with the policy ``save_only_these_names(BLOCK_END)``.
    """
    return checkpoint_name(x, BLOCK_END)


class NoiseEmbedding(nnx.Module):
    """Embedding of c_noise: sines and cosines at log-spaced frequencies, then an MLP.

    Args:
        width: size of the embedding.
        rngs: source of initial parameters.
    """

    FREQUENCIES = 16

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        """Create the two dense layers."""
        self.inner = nnx.Linear(2 * self.FREQUENCIES, width, rngs=rngs)
        self.outer = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, c_noise: Float[Array, " batch"]) -> Embedding:
        """Map one number per row to a vector per row."""
        # c_noise spans about three units: from less than a turn to many.
        octaves = jnp.linspace(-2.0, 5.0, self.FREQUENCIES, dtype=c_noise.dtype)
        phase = c_noise[:, None] * jnp.exp2(octaves)[None]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        return nnx.silu(self.outer(nnx.silu(self.inner(waves))))


class Modulation(nnx.Module):
    """Scale and shift of features by the embedding (FiLM, arXiv 1709.07871).

    Starts as the identity, since its weights start at zero.
    """

    def __init__(self, embedding: int, width: int, *, rngs: nnx.Rngs) -> None:
        """Create the dense layer from embedding to scale and shift."""
        self.dense = nnx.Linear(
            embedding, 2 * width, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: Features, embedding: Embedding) -> Features:
        """Return (1 + scale) x + shift, the same at every grid point."""
        both = self.dense(embedding)
        both = both.reshape(len(x), *(1,) * (x.ndim - 2), -1)
        scale, shift = jnp.split(both, 2, axis=-1)
        return (1 + scale) * x + shift


def pad_to_multiple(
    x: Features, factor: tuple[int, ...]
) -> Float[Array, "batch *padded channel"]:
    """Zero-pad the end of each grid axis to a multiple of `factor`."""
    padding = [(0, -n % f) for n, f in zip(x.shape[1:-1], factor, strict=True)]
    return jnp.pad(x, [(0, 0), *padding, (0, 0)])


def crop(x: Features, grid: tuple[int, ...]) -> Float[Array, "batch *cropped channel"]:
    """Cut the end of each grid axis down to `grid`."""
    return x[(slice(None), *(slice(n) for n in grid))]
