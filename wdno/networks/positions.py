"""Positions of tokens on a grid: added to features, or turning keys and queries."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Positions = Int[Array, "rows token axis"]
"""Index along each axis, of the tokens of each row or once for all rows."""


def position_encoding(
    shape: tuple[int, ...], dtype: jnp.dtype
) -> Float[Array, "*grid width"]:
    """Sines and cosines of each axis' index, equal shares of the width an axis.

    Vaswani et al. 2017, section 3.5, with wavelengths up to 1,000 tokens.
    """
    *grid, width = shape
    share = width // (2 * len(grid))
    frequencies = _frequencies(share, dtype)
    parts = []
    for axis, extent in enumerate(grid):
        phase = jnp.arange(extent, dtype=dtype)[:, None] * frequencies[None]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        others = [1 if other != axis else extent for other in range(len(grid))]
        parts.append(jnp.broadcast_to(waves.reshape(*others, -1), (*grid, 2 * share)))
    code = jnp.concatenate(parts, axis=-1)
    return jnp.pad(code, [*((0, 0) for _ in grid), (0, width - code.shape[-1])])


def positions_of(places: Int[Array, "rows token"], grid: tuple[int, ...]) -> Positions:
    """Indices along each axis of places that are counted with the last axis fastest."""
    indices = []
    for extent in reversed(grid):
        indices.append(places % extent)
        places = places // extent
    return jnp.stack(indices[::-1], axis=-1)


def rotated(
    features: Float[Array, "batch token head feature"], positions: Positions
) -> Float[Array, "batch token head feature"]:
    """Turn pairs of features by angles in proportion to the index along an axis.

    Products of a query and a key that are turned so depend on the difference of their
    positions only (RoPE, arXiv 2104.09864, section 3.2). Each axis has an equal share
    of the pairs, in wavelengths up to 1,000 tokens; what is left over is not turned.
    """
    axes = positions.shape[-1]
    share = features.shape[-1] // (2 * axes)
    scaled = positions[..., None].astype(features.dtype)
    angles = scaled * _frequencies(share, features.dtype)[None, None, None]
    angles = angles.reshape(*positions.shape[:2], 1, axes * share)
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second, rest = jnp.split(features, (axes * share, 2 * axes * share), axis=-1)
    turned = first * cosine - second * sine, first * sine + second * cosine
    return jnp.concatenate([*turned, rest], axis=-1)


def _frequencies(count: int, dtype: jnp.dtype) -> Float[Array, " count"]:
    """Angles a token, of waves from 4 tokens to 1,000."""
    return 2 * jnp.pi * jnp.geomspace(1 / 4, 1 / 1000, count, dtype=dtype)
