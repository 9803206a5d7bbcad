"""Parts of U-Nets after those of DDPM (Ho et al. 2020, arXiv 2006.11239, appendix B).

They take noise levels as steps of a discrete schedule, embedded like positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from wdno._ranges import check_counts
from wdno.networks.layers import Embedding, Features, Modulation, block_end
from wdno.official.attention import Mix
from wdno.official.convolution import Convolution, Convolved


@dataclass(frozen=True)
class UNetConfig:
    """Configuration of a `UNet`.

    Attributes:
        width: features on the finest grid.
        multipliers: features of each level in units of the width, finest first; each
            but the last halves the grid.
        groups: groups of features that are normalised together.
        heads: heads of each attention.
        head_width: features of a head.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    groups: int = 1
    heads: int = 4
    head_width: int = 32

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(width=self.width, multipliers=self.multipliers)
        check_counts(groups=self.groups, heads=self.heads, head_width=self.head_width)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features before the first level and after each."""
        return (self.width, *(m * self.width for m in self.multipliers))


class TimestepEmbedding(nnx.Module):
    """Sines and cosines of a step at log-spaced frequencies, then a perceptron."""

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        """Create the two dense layers."""
        half = width // 2
        self.frequencies = tuple(10000.0 ** (-np.arange(half) / (half - 1)))
        self.inner = nnx.Linear(width, 4 * width, rngs=rngs)
        self.outer = nnx.Linear(4 * width, 4 * width, rngs=rngs)

    def __call__(self, step: Float[Array, " batch"]) -> Embedding:
        """Map one number per row to a vector per row."""
        phase = step[:, None] * jnp.asarray(self.frequencies, step.dtype)[None]
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
        hidden = nnx.gelu(self.inner(waves), approximate=False)
        return nnx.silu(self.outer(hidden))


class ConvolutionBlock(nnx.Module):
    """Convolution over three points an axis, then normalisation of feature groups."""

    def __init__(
        self, axes: int, width_in: int, width: int, groups: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create the layers."""
        self.convolution = Convolution((3,) * axes, width_in, width, rngs=rngs)
        self.norm = nnx.GroupNorm(width, groups, epsilon=1e-5, rngs=rngs)

    def __call__(self, x: Features) -> Convolved:
        """Return normalised features."""
        return self.norm(self.convolution(x))


class ResidualBlock(nnx.Module):
    """Two convolution blocks, the first modulated, beside a skip.

    Args:
        axes: number of grid axes.
        width_in: features of the input.
        width: features of the output.
        groups: groups of features that are normalised together.
        modulation: ``modulation(x, embedding)``, or `unmodulated`.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        axes: int,
        width_in: int,
        width: int,
        groups: int,
        modulation: Callable[[Features, Embedding], Features],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create the layers; the skip is a matrix where the width changes."""
        self.inner = ConvolutionBlock(axes, width_in, width, groups, rngs=rngs)
        self.modulation = modulation
        self.outer = ConvolutionBlock(axes, width, width, groups, rngs=rngs)
        same = width_in == width
        self.skip = unchanged if same else nnx.Linear(width_in, width, rngs=rngs)

    def __call__(self, x: Features, embedding: Embedding) -> Convolved:
        """Return the refined features."""
        h = nnx.silu(self.modulation(self.inner(x), embedding))
        h = nnx.silu(self.outer(h))
        return block_end(h + self.skip(x))


def unchanged(x: Features) -> Features:
    """The features as they are."""
    return x


def unmodulated(x: Features, embedding: Embedding) -> Features:
    """The features as they are, whatever the noise level."""
    return x


def residual_block(
    config: UNetConfig,
    axes: int,
    width_in: int,
    width: int,
    modulation: Callable[[Features, Embedding], Features] | None = None,
    *,
    rngs: nnx.Rngs,
) -> ResidualBlock:
    """A block of a U-Net, by default modulated by the noise level."""
    if modulation is None:
        modulation = Modulation(4 * config.width, width, rngs=rngs)
    return ResidualBlock(axes, width_in, width, config.groups, modulation, rngs=rngs)


def over_space(attend: Callable, x: Features, mix: Mix) -> Features:
    """Attention of every grid point to all others."""
    return attend(x.reshape(len(x), -1, x.shape[-1]), mix).reshape(x.shape)


def space_to_depth(x: Features) -> Float[Array, "batch *half block"]:
    """Halve every grid axis: blocks of two points an axis become channels."""
    axes, halves = x.ndim - 2, [n // 2 for n in x.shape[1:-1]]
    pairs = [extent for n in halves for extent in (n, 2)]
    order = [0, *range(1, 2 * axes, 2), 2 * axes + 1, *range(2, 2 * axes + 1, 2)]
    blocks = x.reshape(len(x), *pairs, x.shape[-1]).transpose(order)
    return blocks.reshape(len(x), *halves, -1)


def doubled(x: Features) -> Float[Array, "batch *double channel"]:
    """Repeat every grid point along every axis."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis=axis)
    return x


def check_extents(extents: tuple[int, ...], halvings: int) -> None:
    """Raise ValueError if an extent cannot be halved so often."""
    if any(extent % 2**halvings for extent in extents):
        raise ValueError(
            f"This U-Net halves its grid {halvings} times, but the extents are "
            f"{extents}. Pad them to multiples of {2**halvings}."
        )
