"""Attention over tokens, in the forms that U-Nets use."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

Tokens = Float[Array, "batch token channel"]
Heads = Float[Array, "batch token head feature"]
Mix = Callable[[Heads, Heads, Heads], Heads]
"""Queries, keys, values -> what each token gets from the others."""


class Attention(nnx.Module):
    """Residual attention: ``x + out(mix(queries, keys, values of norm(x)))``.

    Args:
        width: channels of the tokens.
        heads: number of heads.
        head_width: features of a head.
        out: from ``heads * head_width`` features to the width.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        out: Callable[[Tokens], Tokens],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create norm and the projection to queries, keys and values."""
        self.heads = heads
        self.norm = channel_norm(width, rngs=rngs)
        inner = 3 * heads * head_width
        self.qkv = nnx.Linear(width, inner, use_bias=False, rngs=rngs)
        self.out = out

    def __call__(self, x: Tokens, mix: Mix) -> Tokens:
        """Attend in the way of `mix`."""
        q, k, v = (
            part.reshape(*x.shape[:2], self.heads, -1)
            for part in jnp.split(self.qkv(self.norm(x)), 3, axis=-1)
        )
        return x + self.out(mix(q, k, v).reshape(*x.shape[:2], -1))


def channel_norm(width: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Zero mean and unit variance over the channels of each point, then a gain."""
    return nnx.LayerNorm(width, epsilon=1e-5, use_bias=False, rngs=rngs)


def linear(q: Heads, k: Heads, v: Heads) -> Heads:
    """``softmax_features(q) softmax_tokens(k)^T v / sqrt(features)``.

    Cost grows linearly with the number of tokens (Shen et al. 2021, arXiv 1812.01243,
    section 3.3).
    """
    q = jax.nn.softmax(q, axis=-1) / np.sqrt(q.shape[-1]).astype(q.dtype)
    k = jax.nn.softmax(k, axis=1)
    context = jnp.einsum("bnhd,bnhe->bhde", k, v)
    return jnp.einsum("bnhd,bhde->bnhe", q, context)


def full(q: Heads, k: Heads, v: Heads) -> Heads:
    """``softmax(q k^T / sqrt(features)) v`` (Vaswani et al. 2017, eq. 1)."""
    return jax.nn.dot_product_attention(q, k, v)


def ordered(bias: Float[Array, "head token token"]) -> Mix:
    """Full attention along an axis whose order counts.

    Queries and keys are turned by their position (`rotated`), and a bias of each head
    for each distance is added before the softmax.
    """

    def mix(q: Heads, k: Heads, v: Heads) -> Heads:
        return jax.nn.dot_product_attention(rotated(q), rotated(k), v, bias[None])

    return mix


def rotated(x: Heads) -> Heads:
    """Turn pairs of features (0, 1), (2, 3), … by angles that grow with position.

    Token n turns pair i of d/2 by ``n 10000^(-2i/d)``, so that products of queries and
    keys depend on distances (Su et al. 2021, arXiv 2104.09864, eq. 15).
    """
    tokens, features = x.shape[1], x.shape[-1]
    speed = 10000.0 ** (-np.arange(0, features, 2) / features)
    angle = np.outer(np.arange(tokens), speed)[:, None].astype(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = (jnp.broadcast_to(f(angle), a.shape) for f in (np.cos, np.sin))
    pairs = jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1)
    return pairs.reshape(x.shape)


class RelativePositionBias(nnx.Module):
    """A learned number for each head and class of distance between two tokens.

    Near distances have a class each, farther ones share classes that widen
    logarithmically; both directions are told apart (Raffel et al. 2020, arXiv
    1910.10683, section 2.1).
    """

    CLASSES = 32
    FARTHEST = 32

    def __init__(self, heads: int, *, rngs: nnx.Rngs) -> None:
        """Create the table, (classes, heads)."""
        self.table = nnx.Param(rngs.normal((self.CLASSES, heads), jnp.float32))

    def __call__(self, tokens: int) -> Float[Array, "head token token"]:
        """The bias of token j for token i."""
        classes = distance_classes(tokens, self.CLASSES, self.FARTHEST)
        return self.table[...][classes].transpose(2, 0, 1)


@cache
def distance_classes(
    tokens: int, classes: int, farthest: int
) -> Int[np.ndarray, "{tokens} {tokens}"]:
    """Class of the distance ``j - i``: the first half holds ``j <= i``.

    Half of each direction's classes hold one distance each.
    """
    distance = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    half = classes // 2
    near = half // 2
    size = np.abs(distance)
    ratio = np.log(np.maximum(size, 1) / near) / np.log(farthest / near)
    far = near + (ratio * (half - near)).astype(int)
    folded = np.where(size < near, size, np.minimum(far, half - 1))
    return folded + np.where(distance > 0, half, 0)
