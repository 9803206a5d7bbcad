"""A backbone that sees what is known written over the noisy array."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks.layers import Condition, Features
from wdno.networks.registry import register
from wdno.official.unet import UNet
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNet, VideoUNetConfig


@dataclass(frozen=True)
class InpaintingConfig:
    """Shape of an `Inpainting` backbone.

    Attributes:
        network: what sees the array.
    """

    network: UNetConfig = UNetConfig()


@register(InpaintingConfig)
class Inpainting(nnx.Module):
    """``network(where(known, values, x), c_noise)`` of a condition (values, known).

    The condition has two channels for each of x: values, then 1 where they are known
    (`wdno.official.array_layout.TiledConditions`).
    """

    def __init__(
        self,
        config: InpaintingConfig,
        axes: int,
        channels: int,
        condition_channels: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create the network; see `wdno.networks.build` for the arguments."""
        if condition_channels != 2 * channels:
            raise ValueError(
                "What is known has a value and a mask for each of the "
                f"{channels} channels, but the condition has {condition_channels} "
                "channels. Condition by TiledConditions."
            )
        self.config = config
        shape = config.network
        kind = VideoUNet if isinstance(shape, VideoUNetConfig) else UNet
        self.network = kind(shape, axes, channels, 0, rngs=rngs)

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Overwrite and pass on."""
        values, known = jnp.split(cond, 2, axis=-1)
        seen = jnp.where(known > 0, values, x)
        return self.network(seen, c_noise, jnp.zeros((*x.shape[:-1], 0), x.dtype))
