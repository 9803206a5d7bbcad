"""The backbone that took part in the bake-off and did not stay in the package."""

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


NETWORKS[MixerConfig] = Mixer
