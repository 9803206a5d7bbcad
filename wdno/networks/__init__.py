"""Backbones: ``backbone(x, c_noise, cond)`` on any grid in any number of dimensions."""

from collections.abc import Callable

from flax import nnx

from wdno.networks.fourier import Fourier, FourierConfig
from wdno.networks.inpainting import Inpainting, InpaintingConfig
from wdno.networks.local import Local, LocalConfig
from wdno.networks.mixer import Mixer, MixerConfig
from wdno.networks.multiplier import Multiplier, MultiplierConfig
from wdno.networks.transformer import Transformer, TransformerConfig
from wdno.networks.unet import UNet
from wdno.networks.unet_blocks import UNetConfig
from wdno.networks.video_unet import VideoUNet, VideoUNetConfig

__all__ = [
    "NETWORKS",
    "Fourier",
    "FourierConfig",
    "Inpainting",
    "InpaintingConfig",
    "Local",
    "LocalConfig",
    "Mixer",
    "MixerConfig",
    "Multiplier",
    "MultiplierConfig",
    "NetworkConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNetConfig",
    "VideoUNet",
    "VideoUNetConfig",
    "build",
]

NetworkConfig = (
    FourierConfig
    | InpaintingConfig
    | LocalConfig
    | MixerConfig
    | MultiplierConfig
    | TransformerConfig
    | UNetConfig
)
"""Shape of a backbone, which is what a model card stores of it."""

NETWORKS: dict[type, Callable[..., nnx.Module]] = {
    FourierConfig: Fourier,
    InpaintingConfig: Inpainting,
    LocalConfig: Local,
    MixerConfig: Mixer,
    MultiplierConfig: Multiplier,
    TransformerConfig: Transformer,
    UNetConfig: UNet,
    VideoUNetConfig: VideoUNet,
}
"""The backbone that belongs to each configuration."""


def build(
    config: NetworkConfig,
    axes: int,
    channels: int,
    condition_channels: int,
    *,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Make the backbone of a configuration, with fresh parameters.

    Args:
        config: shape of the backbone; its class chooses the kind.
        axes: number of grid axes (2 for time and x).
        channels: channels of input and output.
        condition_channels: channels of the condition.
        rngs: source of the initial parameters.
    """
    network = NETWORKS[type(config)]
    return network(config, axes, channels, condition_channels, rngs=rngs)
