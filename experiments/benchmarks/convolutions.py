"""Which formulation of a convolution is fast: XLA's, all patches at once, slices.

GFLOP/s of the forward pass and of forward pass with gradient, for the layers of the
official U-Nets; `wdno.official.convolution` chooses by these numbers.
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import best, record  # noqa: E402

from wdno.networks import convolution  # noqa: E402

LAYERS = (
    (1, (64, 64), 128, 128),
    (1, (32, 32), 128, 128),
    (1, (16, 16), 256, 256),
    (1, (8, 8), 512, 512),
    (1, (8, 8), 1024, 1024),
    (16, (64, 64), 128, 128),
    (16, (8, 8), 1024, 1024),
    (1, (24, 40, 40), 64, 64),
    (1, (24, 20, 20), 128, 128),
    (1, (24, 10, 10), 256, 256),
)
"""Rows, grid, channels in and out; all spans are three points."""


@dataclass(frozen=True)
class Config:
    """How often each call is timed."""

    repeats: int = 5


def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One convolution of XLA over all axes."""
    axes = "DHW"[3 - (x.ndim - 2) :]
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    ones = (1,) * len(axes)
    return lax.conv_general_dilated(x, kernel, ones, "SAME", dimension_numbers=numbers)


def by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One product with the neighbourhoods of all points."""
    patches = convolution._patches(x, kernel.shape[:-2])
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def main(config: Config) -> None:
    """Time, print and store."""
    ways: dict[str, Callable] = {
        "xla": by_xla,
        "patches": by_patches,
        "chosen": convolution.convolve,
    }
    draw, rows = np.random.default_rng(0), []
    for batch, grid, width_in, width_out in LAYERS:
        x, kernel = (
            jnp.asarray(draw.normal(size=shape), jnp.float32)
            for shape in (
                (batch, *grid, width_in),
                ((3,) * len(grid)) + (width_in, width_out),
            )
        )
        work = 2e-9 * kernel.size * batch * math.prod(grid)
        row: dict[str, object] = {"layer": [batch, *grid, width_in, width_out]}
        for name, way in ways.items():
            forward = jax.jit(way)

            def square(x: jax.Array, kernel: jax.Array, way=way) -> jax.Array:
                return jnp.sum(way(x, kernel) ** 2)

            gradient = jax.jit(jax.grad(square, (0, 1)))
            there = best(lambda f=forward, a=(x, kernel): f(*a), config.repeats)
            back = best(lambda f=gradient, a=(x, kernel): f(*a), config.repeats)
            row[name] = [round(work / there), round(3 * work / back)]
        rows.append(row)
        print(row, flush=True)
    record("convolutions", dataclasses.asdict(config), gflops=rows)


if __name__ == "__main__":
    main(tyro.cli(Config))
