"""Small U-Nets of both kinds, and a grid for each."""

import pytest
from flax import nnx
from tiny_networks import shape

from wdno.networks import build
from wdno.official.unet import UNet
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNet, VideoUNetConfig

_SIZE = {"groups": 2, "heads": 2, "head_width": 4}
CONFIGS = {
    "unet": UNetConfig(8, (1, 2), **_SIZE),
    "video": VideoUNetConfig(8, (1, 2), **_SIZE),
}
CLASSES = {"unet": UNet, "video": VideoUNet}
GRIDS = {"unet": (8, 10), "video": (2, 8, 10)}
each_unet = pytest.mark.parametrize("kind", CONFIGS)


def fresh_unet(kind, axes=None):
    axes = len(GRIDS[kind]) if axes is None else axes
    return build(CONFIGS[kind], shape(axes), rngs=nnx.Rngs(0))
