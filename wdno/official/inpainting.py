"""A backbone that sees what is known written over the noisy array."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks.layers import Condition, Features
from wdno.networks.registry import Shape, register
from wdno.official.unet import UNet
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNet, VideoUNetConfig


@dataclass(frozen=True)
class InpaintingConfig:
    """Configuration of an `Inpainting` backbone.

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
        self, config: InpaintingConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create the network; see `wdno.networks.build` for the arguments."""
        if shape.condition_channels != 2 * shape.channels:
            raise ValueError(
                "What is known has a value and a mask for each of the "
                f"{shape.channels} channels, but the condition has "
                f"{shape.condition_channels} channels. Condition by TiledConditions."
            )
        self.config = config
        kind = VideoUNet if isinstance(config.network, VideoUNetConfig) else UNet
        seen = replace(shape, condition_channels=0)
        self.network = kind(config.network, seen, rngs=rngs)

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Overwrite and pass on."""
        values, known = jnp.split(cond, 2, axis=-1)
        seen = jnp.where(known > 0, values, x)
        return self.network(seen, c_noise, jnp.zeros((*x.shape[:-1], 0), x.dtype))
