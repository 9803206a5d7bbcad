"""Patches of a grid: neighbouring points side by side as channels of one.

Patches that are counted, with the last axis fastest, are the tokens of a row.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from wdno.networks.layers import Features

Patches = Float[Array, "batch kept patched"]
Tokens = Float[Array, "batch token feature"]
Kept = Float[Array, "batch kept feature"]
Places = Int[Array, "batch kept"]


def to_patches(
    x: Features, patch: tuple[int, ...]
) -> Float[Array, "batch *token patched"]:
    """Move the points of every patch to the last axis, their channels beside."""
    axes = len(patch)
    pairs = [
        n
        for points, p in zip(x.shape[1:-1], patch, strict=True)
        for n in (points // p, p)
    ]
    split = x.reshape(len(x), *pairs, x.shape[-1])
    inner = range(2, 2 * axes + 1, 2)
    moved = split.transpose(0, *range(1, 2 * axes, 2), *inner, 2 * axes + 1)
    return moved.reshape(*moved.shape[: 1 + axes], -1)


def from_patches(
    patches: Float[Array, "batch *token patched"], patch: tuple[int, ...]
) -> Features:
    """Undo `to_patches`."""
    axes, tokens = len(patch), patches.shape[1:-1]
    split = patches.reshape(len(patches), *tokens, *patch, -1)
    order = [place for axis in range(axes) for place in (1 + axis, 1 + axes + axis)]
    moved = split.transpose(0, *order, 2 * axes + 1)
    grid = (n * p for n, p in zip(tokens, patch, strict=True))
    return moved.reshape(len(patches), *grid, split.shape[-1])


def take(tokens: Tokens, places: Places) -> Kept:
    """The tokens at these places of each row; NaN at places that a row lacks."""
    return jnp.take_along_axis(tokens, places[..., None], axis=1, mode="fill")


def place(kept: Kept, places: Places, count: int) -> Tokens:
    """Undo `take` on rows of `count` tokens, zero where none was taken."""
    rows = jnp.arange(len(kept))[:, None]
    nothing = jnp.zeros((len(kept), count, kept.shape[-1]), kept.dtype)
    return nothing.at[rows, places].set(kept)


class PatchShrinkage(nnx.Module):
    """Points of every patch from its token and from what they were: ``a + b x``.

    Both a and b are read off the token, and zero at first. A patch may hold more
    numbers than its token has features; the noise of each then cannot pass through the
    token, but a token can tell by how much each is to be scaled. That is the shrinkage
    by which coefficients of wavelets are denoised (Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425, section 2), by factors that are learned.

    Args:
        width: features of a token.
        numbers: of a patch, all its channels.
        rngs: source of the initial parameters.
    """

    def __init__(self, width: int, numbers: int, *, rngs: nnx.Rngs) -> None:
        """Create the layer that reads off a and b."""
        zeros = nnx.initializers.zeros
        self.dense = nnx.Linear(width, 2 * numbers, kernel_init=zeros, rngs=rngs)

    def __call__(self, tokens: Tokens, patches: Patches) -> Patches:
        """Make patches of tokens and of the patches from which these were made."""
        shift, factor = jnp.split(self.dense(tokens), 2, axis=-1)
        return shift + factor * patches


def dilate(
    values: Float[Array, "batch *token"], reach: tuple[int, ...]
) -> Float[Array, "batch *token"]:
    """The largest value within so many tokens along each axis."""
    window = (1, *(2 * r + 1 for r in reach))
    return jax.lax.reduce_window(
        values, -jnp.inf, jax.lax.max, window, (1,) * values.ndim, "SAME"
    )
