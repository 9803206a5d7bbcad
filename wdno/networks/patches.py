"""Patches of a grid: neighbouring points side by side as channels of one.

Patches that are counted, with the last axis fastest, are the tokens of a row.
"""

import math

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


class PatchEmbedding(nnx.Module):
    """Features of every patch by itself: one matrix and a bias.

    It is a convolution in steps of a whole patch, and has its parameters; as a product
    it needs no grid, so that patches may be missing.

    Args:
        patch: grid points along each axis.
        channels: channels of a grid point.
        width: features of a token.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, patch: tuple[int, ...], channels: int, width: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create kernel (*patch, channels, width) and bias."""
        initial, zeros = nnx.initializers.lecun_normal(), nnx.initializers.zeros
        shape = (*patch, channels, width)
        self.kernel = nnx.Param(initial(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(zeros(rngs.params(), (width,), jnp.float32))

    def __call__(self, patches: Tokens) -> Float[Array, "batch token width"]:
        """Embed the patches."""
        width = self.kernel.shape[-1]
        matrix = self.kernel[...].astype(patches.dtype).reshape(-1, width)
        tokens = patches @ matrix
        bias = self.bias[...].astype(patches.dtype)
        return tokens + jnp.broadcast_to(bias, tokens.shape)


class PatchHead(nnx.Module):
    """Points of every patch from its token: one matrix and a bias, at first zero.

    It is a transposed convolution in steps of a whole patch, and has its parameters.

    Args:
        patch: grid points along each axis.
        width: features of a token.
        channels: channels of a grid point.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, patch: tuple[int, ...], width: int, channels: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create kernel (*patch, width, channels) and bias."""
        zeros = nnx.initializers.zeros
        shape = (*patch, width, channels)
        self.kernel = nnx.Param(zeros(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(zeros(rngs.params(), (channels,), jnp.float32))

    def __call__(self, tokens: Tokens) -> Float[Array, "batch token patched"]:
        """Make patches of tokens."""
        *patch, width, _ = self.kernel.shape
        # A transposed convolution spreads its kernel from the far end of each axis.
        turned = jnp.flip(self.kernel[...], range(len(patch)))
        matrix = jnp.moveaxis(turned, -2, 0).reshape(width, -1).astype(tokens.dtype)
        bias = jnp.tile(self.bias[...], math.prod(patch)).astype(tokens.dtype)
        patches = tokens @ matrix
        return patches + jnp.broadcast_to(bias, patches.shape)


class PatchShrinkage(nnx.Module):
    """Points of every patch from its token and from what they were: ``a + b x``.

    Both a and b are read off the token, and zero at first. A patch may hold more
    numbers than its token has features; the noise of each then cannot pass through the
    token, but a token can tell by how much each is to be scaled. That is the shrinkage
    by which coefficients of wavelets are denoised (Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425, section 2), by factors that are learned.

    Args:
        patch: grid points along each axis.
        width: features of a token.
        channels: channels of a grid point.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, patch: tuple[int, ...], width: int, channels: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create the two heads."""
        self.shift = PatchHead(patch, width, channels, rngs=rngs)
        self.factor = PatchHead(patch, width, channels, rngs=rngs)

    def __call__(self, tokens: Tokens, patches: Patches) -> Patches:
        """Make patches of tokens and of the patches from which these were made."""
        return self.shift(tokens) + self.factor(tokens) * patches


def dilate(
    values: Float[Array, "batch *token"], reach: tuple[int, ...]
) -> Float[Array, "batch *token"]:
    """The largest value within so many tokens along each axis."""
    window = (1, *(2 * r + 1 for r in reach))
    return jax.lax.reduce_window(
        values, -jnp.inf, jax.lax.max, window, (1,) * values.ndim, "SAME"
    )
