"""How much information a cell holds: scores of the cells of a wavelet transform.

A cell is a point of the coarsest grid of a layout, and the block of 2^levels samples
along each axis that belongs to it. Where its finer details are zero, its mean is what
it was: the wavelet tree is the code of several grains that D²iT learns (Jia et al.
2025, arXiv 2504.09454), and setting details to zero its copying of neighbours.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from wdno.wavelets.layout import WaveletLayout

Coefficients = Float[Array, "batch *grid channel"]
Cells = Float[Array, "batch *cell"]
Samples = Float[Array, "batch *extent"]


def depths(layout: WaveletLayout) -> tuple[int, ...]:
    """Of each channel: 0 for approximations, 1 for the coarsest details, and so on."""
    return tuple(
        depth
        for quantity in layout.fields
        for depth in layout.packing(quantity.dims).depths
    )


def fine_channels(layout: WaveletLayout) -> tuple[int, ...]:
    """Channels of the details that are finer than the coarsest ones.

    Raises:
        ValueError: the layout has one level only.
    """
    found = tuple(n for n, depth in enumerate(depths(layout)) if depth > 1)
    if not found:
        raise ValueError(
            "Cells of several grains need details of two levels or more, but the "
            f"layout has levels={layout.levels}. Raise it, as far as the grid "
            f"{layout.grid} allows."
        )
    return found


def detail_energy(
    z: Coefficients,
    channels: tuple[int, ...],
    weight: Float[ArrayLike, "*where"] = 1.0,
) -> Cells:
    """Mean square of some channels in each cell.

    With `WaveletLayout.energy_share` as weight and an orthogonal wavelet it is, up to a
    factor, the squared error of the fields if these channels are zero in the cell
    (Parseval), so that no other choice of cells leaves less.

    Args:
        z: coefficients by a layout.
        channels: their numbers, such as `fine_channels`.
        weight: of each channel, or of each coefficient; with 1 subbands count alike.
    """
    energy = jnp.square(z) * jnp.broadcast_to(jnp.asarray(weight, z.dtype), z.shape)
    return energy[..., list(channels)].mean(axis=-1)


def entropy(
    x: Samples, block: tuple[int, ...], deviation: float = 0.01, bins: int = 256
) -> Cells:
    """Entropy of the values in each cell, their density estimated by Gaussian kernels.

    ``E = -sum_j p_j log p_j`` with ``p_j ~ mean_i exp(-(x_i - b_j)²/(2 deviation²))``
    over the samples of a cell, on uniform b_j (D²iT, section 3.1). Values are those of
    pixels there: each row is mapped to [0, 1].

    Args:
        x: samples of one field.
        block: samples of a cell along each axis.
        deviation: of the kernel, 0.01 in the paper.
        bins: number of b_j, that of the paper's samples in a cell; so many that they
            are closer than the deviation.

    Raises:
        ValueError: cells do not divide the grid.
    """
    axes = tuple(range(1, x.ndim))
    least, most = (f(x, axis=axes, keepdims=True) for f in (jnp.min, jnp.max))
    span = jnp.where(most > least, most - least, 1)
    values = _by_cell((x - least) / span, block)
    points = jnp.linspace(0, 1, bins, dtype=x.dtype)

    def of_cell(samples: Array) -> Array:
        gap = samples[:, None] - points[None]
        density = jnp.exp(-jnp.square(gap) / (2 * deviation**2)).mean(axis=0)
        return jax.scipy.special.entr(density / (density.sum() + 1e-30)).sum()

    flat = values.reshape(-1, values.shape[-1])
    found = jax.lax.map(of_cell, flat, batch_size=64)  # all would fill the memory
    return found.reshape(values.shape[:-1])


def gradient_energy(x: Samples, block: tuple[int, ...]) -> Cells:
    """Mean square of differences of neighbouring samples in each cell.

    Args:
        x: samples of one field.
        block: samples of a cell along each axis.

    Raises:
        ValueError: cells do not divide the grid.
    """
    differences = [
        jnp.diff(x, axis=axis, append=jax.lax.slice_in_dim(x, -1, None, axis=axis))
        for axis in range(1, x.ndim)
    ]
    square = sum(map(jnp.square, differences), start=jnp.zeros_like(x))
    return _by_cell(square, block).mean(axis=-1)


def _by_cell(x: Samples, block: tuple[int, ...]) -> Float[Array, "batch *cell sample"]:
    """The samples of each cell beside each other."""
    if any(n % b for n, b in zip(x.shape[1:], block, strict=True)):
        raise ValueError(
            f"Cells are blocks of {block} samples, but the grid has {x.shape[1:]}. "
            "Take fewer levels, or a grid that 2^levels divides."
        )
    pairs = zip(x.shape[1:], block, strict=True)
    split = x.reshape(len(x), *(n for m, b in pairs for n in (m // b, b)))
    outer, inner = range(1, split.ndim, 2), range(2, split.ndim, 2)
    moved = split.transpose(0, *outer, *inner)
    return moved.reshape(*moved.shape[: x.ndim], math.prod(block))
