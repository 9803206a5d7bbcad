"""Convolutions in the formulation that is fast where they run.

XLA's convolutions on CPUs are good in two dimensions on wide grids and nowhere else: in
three dimensions two to three times slower than the same sum of two-dimensional ones,
on small grids up to five times slower than one product with all patches
(``experiments/benchmarks/convolutions.py``). All formulations are the same sum.
"""

import itertools
import math

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from wdno.networks.layers import Features

Kernel = Float[Array, "*span in out"]
Convolved = Float[Array, "batch *grid out"]

FEW_POINTS = 64
"""Grids of at most so many points a row are convolved as one product of patches."""

FEW_OFFSETS = 27
"""Longer lists of slices take long to compile."""


class Convolution(nnx.Module):
    """A convolution over all grid axes, zeros beyond the ends, with bias.

    Args:
        span: odd number of grid points along each axis.
        width_in: channels of the input.
        width_out: channels of the output.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, span: tuple[int, ...], width_in: int, width_out: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create kernel (*span, in, out) and bias."""
        initial = nnx.initializers.lecun_normal()
        shape = (*span, width_in, width_out)
        self.kernel = nnx.Param(initial(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(width_out, jnp.float32))

    def __call__(self, x: Features) -> Convolved:
        """Convolve."""
        y = convolve(x, self.kernel[...])
        return y + jnp.broadcast_to(self.bias[...], y.shape)


def convolve(x: Features, kernel: Kernel) -> Convolved:
    """``y[n] = sum_m x[n + m - span // 2] kernel[m]`` with zeros beyond the ends."""
    grid, span = x.shape[1:-1], kernel.shape[:-2]
    if math.prod(span) == 1:
        return x @ kernel.reshape(kernel.shape[-2:])
    if math.prod(grid) <= FEW_POINTS and math.prod(span) <= FEW_OFFSETS:
        return _patches(x, span) @ kernel.reshape(-1, kernel.shape[-1])
    if len(grid) > 2:
        return _slice_by_slice(x, kernel)
    axes = "HW"[: len(grid)]
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(
        x, kernel, (1,) * len(grid), "SAME", dimension_numbers=numbers
    )


def _patches(x: Features, span: tuple[int, ...]) -> Convolved:
    """The neighbourhood of each point, offsets and channels in one axis."""
    around = [(m // 2, m // 2) for m in span]
    padded = jnp.pad(x, [(0, 0), *around, (0, 0)])
    grid = x.shape[1:-1]
    shifted = [
        padded[(slice(None), *(slice(o, o + n) for o, n in zip(at, grid, strict=True)))]
        for at in itertools.product(*map(range, span))
    ]
    return jnp.concatenate(shifted, axis=-1)


def _slice_by_slice(x: Features, kernel: Kernel) -> Convolved:
    """The first axis by a sum over offsets, its slices as rows of a batch."""
    depth, reach = x.shape[1], kernel.shape[0]
    ends = [(0, 0)] * x.ndim
    ends[1] = (reach // 2, reach // 2)
    padded = jnp.pad(x, ends)
    total = 0.0
    for offset in range(reach):
        rows = padded[:, offset : offset + depth].reshape(-1, *x.shape[2:])
        total = total + convolve(rows, kernel[offset])
    return jnp.reshape(total, (*x.shape[:-1], -1))
