"""Backbones that took part in the bake-off and did not stay in the package."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx

from wdno.networks import NETWORKS
from wdno.networks.layers import Modulation, NoiseEmbedding, crop, pad_to_multiple


@dataclass(frozen=True)
class MixerConfig:
    """Dense mixing along time and space of patches on one fixed grid of tokens."""

    tokens: tuple[int, ...]
    patch: tuple[int, ...] = (2, 2)
    width: int = 192
    depth: int = 6


class MixerBlock(nnx.Module):
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


class Mixer(nnx.Module):
    """Patches, dense token mixing (MLP-Mixer, arXiv 2105.01601, gated), patches."""

    def __init__(self, config, axes, channels, condition_channels, *, rngs):
        self.patch, width = config.patch, config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        patching = {"kernel_size": config.patch, "strides": config.patch}
        inputs = channels + condition_channels
        self.embed = nnx.Conv(inputs, width, padding="VALID", **patching, rngs=rngs)
        count = 1
        for n, patch in zip(config.tokens, config.patch, strict=True):
            count *= -(-n // patch)
        self.position = nnx.Param(0.02 * rngs.normal((count, width)))
        self.blocks = nnx.List(
            MixerBlock(count, width, rngs=rngs) for _ in range(config.depth)
        )
        self.head = nnx.ConvTranspose(
            width, channels, padding="VALID", **patching, rngs=rngs
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
class FourierConfig:
    """Fourier neural operator with the noise level as a modulation."""

    modes: tuple[int, ...] = (8, 16)
    width: int = 96
    depth: int = 4


class FourierBlock(nnx.Module):
    """A learned multiplier on low Fourier modes beside a pointwise perceptron."""

    def __init__(self, config: FourierConfig, *, rngs: nnx.Rngs) -> None:
        width, (rows, columns) = config.width, config.modes
        self.modes = config.modes
        shape = (2, rows, columns, width, width)
        self.weight = nnx.Param(rngs.normal(shape) / width)
        self.modulation = Modulation(width, width, rngs=rngs)
        self.norm = nnx.RMSNorm(width, rngs=rngs)
        self.inner = nnx.Linear(width, 2 * width, rngs=rngs)
        self.outer = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x, embedding):
        rows, columns = self.modes
        extents = tuple(2 * n for n in x.shape[1:3])  # zero padding: not periodic
        padded = jnp.pad(x, ((0, 0), *((0, n) for n in x.shape[1:3]), (0, 0)))
        low = jnp.fft.rfft2(padded, axes=(1, 2))[:, :, :columns]
        low = jnp.concatenate([low[:, : rows // 2], low[:, -(rows // 2) :]], 1)
        real, imaginary = self.weight[...]
        product = jnp.einsum("btxc,txcd->btxd", low, real + 1j * imaginary)
        full = jnp.zeros(
            (len(x), extents[0], extents[1] // 2 + 1, x.shape[-1]), low.dtype
        )
        full = full.at[:, : rows // 2, :columns].set(product[:, : rows // 2])
        full = full.at[:, -(rows // 2) :, :columns].set(product[:, rows // 2 :])
        smooth = crop(jnp.fft.irfft2(full, extents, axes=(1, 2)), x.shape[1:3])
        h = self.modulation(self.norm(smooth + x), embedding)
        return x + self.outer(nnx.gelu(self.inner(h)))


class Fourier(nnx.Module):
    """Lift, `depth` Fourier blocks, project (Li et al. 2021, arXiv 2010.08895)."""

    def __init__(self, config, axes, channels, condition_channels, *, rngs):
        width = config.width
        self.embedding = NoiseEmbedding(width, rngs=rngs)
        inputs = channels + condition_channels + 2
        self.lift = nnx.Linear(inputs, width, rngs=rngs)
        self.blocks = nnx.List(
            FourierBlock(config, rngs=rngs) for _ in range(config.depth)
        )
        self.project = nnx.Linear(width, channels, rngs=rngs)

    def __call__(self, x, c_noise, cond):
        embedding = self.embedding(c_noise)
        axes = [jnp.linspace(-1, 1, n, dtype=x.dtype) for n in x.shape[1:3]]
        place = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)[None]
        place = jnp.broadcast_to(place, (*x.shape[:3], 2))
        h = self.lift(jnp.concatenate([x, cond, place], -1))
        for block in self.blocks:
            h = block(h, embedding)
        return self.project(nnx.gelu(h))


NETWORKS.update({MixerConfig: Mixer, FourierConfig: Fourier})
