"""Backbones that took part in a comparison and did not stay in the package."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks import (
    Shape,
    TokenTransformer,
    TokenTransformerConfig,
    register,
)
from wdno.networks.layers import (
    Condition,
    Embedding,
    Features,
    Modulation,
    NoiseEmbedding,
    crop,
    pad_to_multiple,
)


@dataclass(frozen=True)
class AttentionUNetConfig:
    """Configuration of an `AttentionUNet`.

    Attributes:
        widths: features per resolution, finest first; each step halves the grid.
        blocks: residual blocks per resolution, on the way down and again up.
        heads: attention heads at the coarsest resolution.
    """

    widths: tuple[int, ...] = (64, 128, 256)
    blocks: int = 2
    heads: int = 4


class ResidualBlock(nnx.Module):
    """norm–SiLU–conv twice, modulated by the noise level, plus the input."""

    def __init__(
        self, axes: int, inputs: int, width: int, embedding: int, *, rngs: nnx.Rngs
    ) -> None:
        """Create the layers; the last convolution starts at zero."""
        kernel = (3,) * axes
        self.norm_in = nnx.RMSNorm(inputs, rngs=rngs)
        self.conv_in = nnx.Conv(inputs, width, kernel, rngs=rngs)
        self.modulation = Modulation(embedding, width, rngs=rngs)
        self.norm_out = nnx.RMSNorm(width, rngs=rngs)
        self.conv_out = nnx.Conv(
            width, width, kernel, kernel_init=nnx.initializers.zeros, rngs=rngs
        )
        self.skip = nnx.Linear(inputs, width, rngs=rngs) if inputs != width else None

    def __call__(
        self, x: Features, embedding: Embedding
    ) -> Float[Array, "batch *grid width"]:
        """Return the refined features."""
        h = self.conv_in(nnx.silu(self.norm_in(x)))
        h = self.modulation(self.norm_out(h), embedding)
        h = self.conv_out(nnx.silu(h))
        return h + (x if self.skip is None else self.skip(x))


class SelfAttention(nnx.Module):
    """Residual attention of every grid point to all others, position-free."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        """Create norm, query–key–value projection and output projection."""
        self.heads = heads
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(
            width, width, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: Features) -> Features:
        """Attend over the flattened grid."""
        tokens = x.reshape(len(x), -1, x.shape[-1])
        qkv = self.qkv(self.norm(tokens))
        q, k, v = (
            part.reshape(*tokens.shape[:2], self.heads, -1)
            for part in jnp.split(qkv, 3, axis=-1)
        )
        mixed = jax.nn.dot_product_attention(q, k, v)
        return x + self.out(mixed.reshape(tokens.shape)).reshape(x.shape)


@register(AttentionUNetConfig)
class AttentionUNet(nnx.Module):
    """U-Net that attends at its coarsest resolution: ``unet(x, c_noise, cond)``.

    Takes any grid: a resolution with an odd extent is halved by rounding up.
    """

    def __init__(
        self, config: AttentionUNetConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        widths, embedding = config.widths, 2 * config.widths[0]
        kernel = (3,) * shape.axes
        zeros = nnx.initializers.zeros

        def block(inputs: int, width: int) -> ResidualBlock:
            return ResidualBlock(shape.axes, inputs, width, embedding, rngs=rngs)

        self.embedding = NoiseEmbedding(embedding, rngs=rngs)
        inputs = shape.channels + shape.condition_channels
        self.stem = nnx.Conv(inputs, widths[0], kernel, rngs=rngs)
        self.down = nnx.List(
            nnx.List(block(width, width) for _ in range(config.blocks))
            for width in widths
        )
        self.halve = nnx.List(
            nnx.Conv(fine, coarse, (2,) * shape.axes, strides=2, rngs=rngs)
            for fine, coarse in itertools.pairwise(widths)
        )
        self.attention = SelfAttention(widths[-1], config.heads, rngs=rngs)
        self.narrow = nnx.List(
            nnx.Linear(coarse, fine, rngs=rngs)
            for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nnx.List(
            nnx.List(
                block(width if depth else 2 * width, width)
                for depth in range(config.blocks)
            )
            for width in widths
        )
        self.norm = nnx.RMSNorm(widths[0], rngs=rngs)
        self.head = nnx.Conv(
            widths[0], shape.channels, kernel, kernel_init=zeros, rngs=rngs
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Descend, attend at the coarsest grid, ascend with skip connections."""
        embedding = self.embedding(c_noise)
        h = self.stem(jnp.concatenate([x, cond], axis=-1))
        skips = []
        for resolution, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, embedding)
            skips.append(h)
            if resolution < len(self.halve):
                h = self.halve[resolution](h)
        h = self.attention(h)
        for resolution in reversed(range(len(self.up))):
            h = jnp.concatenate([h, skips[resolution]], axis=-1)
            for block in self.up[resolution]:
                h = block(h, embedding)
            if resolution:
                finer = skips[resolution - 1].shape[1:-1]
                h = upsample(self.narrow[resolution - 1](h), finer)
        return self.head(nnx.silu(self.norm(h)))


def upsample(
    x: Features, grid: tuple[int, ...]
) -> Float[Array, "batch *finer channel"]:
    """Repeat every grid point twice along each axis and crop to `grid`."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis=axis)
    return crop(x, grid)


@dataclass(frozen=True)
class GatedMixerConfig:
    """Dense mixing along time and space of patches on one fixed grid of tokens."""

    tokens: tuple[int, ...]
    patch: tuple[int, ...] = (2, 2)
    width: int = 192
    depth: int = 6


class GatedMixerBlock(nnx.Module):
    """A dense matrix over all tokens, then a modulated perceptron over channels."""

    def __init__(self, tokens: int, width: int, *, rngs: nnx.Rngs) -> None:
        zeros = nnx.initializers.zeros
        self.norms = nnx.List(nnx.RMSNorm(width, rngs=rngs) for _ in range(2))
        self.gate = nnx.Linear(width, 2 * width, rngs=rngs)
        self.mix = nnx.Linear(tokens, tokens, rngs=rngs)
        self.project = nnx.Linear(width, width, kernel_init=zeros, rngs=rngs)
        self.modulation = Modulation(width, width, rngs=rngs)
        self.inner = nnx.Linear(width, 3 * width, rngs=rngs)
        self.outer = nnx.Linear(3 * width, width, kernel_init=zeros, rngs=rngs)

    def __call__(self, tokens, embedding):
        value, gate = jnp.split(self.gate(self.norms[0](tokens)), 2, axis=-1)
        mixed = self.mix(value.swapaxes(1, 2)).swapaxes(1, 2)
        tokens = tokens + self.project(mixed * nnx.silu(gate))
        h = self.modulation(self.norms[1](tokens), embedding)
        return tokens + self.outer(nnx.gelu(self.inner(h)))


@register(GatedMixerConfig)
class GatedMixer(nnx.Module):
    """Patches, dense token mixing (MLP-Mixer, arXiv 2105.01601, gated), patches."""

    def __init__(
        self, config: GatedMixerConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        self.config, self.patch, width = config, config.patch, config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        patching = {"kernel_size": config.patch, "strides": config.patch}
        inputs = shape.channels + shape.condition_channels
        self.embed = nnx.Conv(inputs, width, padding="VALID", **patching, rngs=rngs)
        count = 1
        for n, patch in zip(config.tokens, config.patch, strict=True):
            count *= -(-n // patch)
        self.position = nnx.Param(0.02 * rngs.normal((count, width)))
        self.blocks = nnx.List(
            GatedMixerBlock(count, width, rngs=rngs) for _ in range(config.depth)
        )
        self.head = nnx.ConvTranspose(
            width, shape.channels, padding="VALID", **patching, rngs=rngs
        )

    def __call__(self, x, c_noise, cond):
        embedding = self.embedding(c_noise)
        both = pad_to_multiple(jnp.concatenate([x, cond], -1), self.patch)
        grid = self.embed(both)
        tokens = grid.reshape(len(x), -1, grid.shape[-1]) + self.position[...][None]
        for block in self.blocks:
            tokens = block(tokens, embedding)
        return crop(self.head(tokens.reshape(grid.shape)), x.shape[1:-1])


@dataclass(frozen=True)
class CoarseConfig:
    """Configuration of a `Coarse`: a `TokenTransformerConfig`, and channels left out.

    Attributes:
        fine: channels of the finer details, which are zero.
    """

    fine: tuple[int, ...]
    patch: tuple[int, ...]
    width: int
    depth: int
    heads: int
    windows: tuple[tuple[int, ...], ...] = ()


@register(CoarseConfig)
class Coarse(nnx.Module):
    """A transformer of the coarse coefficients; finer details are zero in x0."""

    def __init__(self, config: CoarseConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        kept = [n for n in range(shape.channels) if n not in config.fine]
        entries = vars(config).copy()
        del entries["fine"]
        self.kept = tuple(kept)
        self.tokens = TokenTransformer(
            TokenTransformerConfig(**entries),
            Shape(shape.axes, len(kept), shape.condition_channels),
            rngs=rngs,
        )

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """The output alone, zero where there is no estimate."""
        return self.estimated(x, c_noise, cond)[0]

    def estimated(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> tuple[Features, Array]:
        """The output, and where there is one: see `diffusion.denoiser`."""
        coarse = self.tokens(x[..., list(self.kept)], c_noise, cond)
        output = jnp.zeros_like(x).at[..., list(self.kept)].set(coarse)
        there = jnp.zeros(x.shape, bool).at[..., list(self.kept)].set(True)
        return output, there
