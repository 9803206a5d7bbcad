"""U-Net that treats all grid axes alike (Ho et al. 2020, arXiv 2006.11239)."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks.layers import Condition, Features
from wdno.networks.registry import Shape, register
from wdno.official import attention
from wdno.official.attention import Attention, channel_norm
from wdno.official.convolution import Convolution
from wdno.official.unet_blocks import (
    TimestepEmbedding,
    UNetConfig,
    check_extents,
    doubled,
    over_space,
    residual_block,
    space_to_depth,
)


@register(UNetConfig)
class UNet(nnx.Module):
    """U-Net on any number of grid axes, all alike: ``unet(x, c_noise, cond)``.

    Each level has two residual blocks with a skip each, and linear attention; the
    coarsest has full attention. Extents of the grid are divisible by 2^(levels - 1).
    """

    def __init__(self, config: UNetConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        widths = config.widths
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        finest, mid = widths[0], widths[-1]

        block = partial(residual_block, config, shape.axes, rngs=rngs)

        def attend(width: int, *after: nnx.Module) -> Attention:
            inner = config.heads * config.head_width
            out = nnx.Sequential(nnx.Linear(inner, width, rngs=rngs), *after)
            return Attention(width, config.heads, config.head_width, out, rngs=rngs)

        def level(width_in: int, width: int, closing: nnx.Module) -> Any:
            return nnx.Dict(
                first=block(width_in, width),
                second=block(width_in, width),
                attention=attend(width, channel_norm(width, rngs=rngs)),
                closing=closing,
            )

        def convolution(span: int, width_in: int, width: int) -> Convolution:
            return Convolution((span,) * shape.axes, width_in, width, rngs=rngs)

        self.embedding = TimestepEmbedding(config.width, rngs=rngs)
        self.lift = convolution(7, shape.channels + shape.condition_channels, finest)
        self.down = nnx.List(
            level(fine, fine, nnx.Linear(2**shape.axes * fine, coarse, rngs=rngs))
            for fine, coarse in pairs[:-1]
        )
        last, deepest = pairs[-1]
        self.down.append(level(last, last, convolution(3, last, deepest)))
        self.mid = nnx.Dict(
            first=block(mid, mid), attention=attend(mid), second=block(mid, mid)
        )
        self.up = nnx.List(
            level(coarse + fine, coarse, convolution(3, coarse, fine))
            for fine, coarse in reversed(pairs)
        )
        self.final = block(2 * finest, finest)
        self.head = nnx.Linear(finest, shape.channels, rngs=rngs)

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift, refine on ever coarser grids and back, project."""
        check_extents(x.shape[1:-1], len(self.down) - 1)
        embedding = self.embedding(c_noise)
        x = lifted = self.lift(jnp.concatenate([x, cond], axis=-1))
        skips = []
        for depth, level in enumerate(self.down, 1):
            skips.append(level.first(x, embedding))
            x = level.second(skips[-1], embedding)
            x = over_space(level.attention, x, attention.linear)
            skips.append(x)
            x = level.closing(x if depth == len(self.down) else space_to_depth(x))
        x = self.mid.first(x, embedding)
        x = over_space(self.mid.attention, x, attention.full)
        x = self.mid.second(x, embedding)
        for depth, level in enumerate(self.up, 1):
            x = level.first(jnp.concatenate([x, skips.pop()], axis=-1), embedding)
            x = level.second(jnp.concatenate([x, skips.pop()], axis=-1), embedding)
            x = over_space(level.attention, x, attention.linear)
            x = level.closing(x if depth == len(self.up) else doubled(x))
        return self.head(self.final(jnp.concatenate([x, lifted], axis=-1), embedding))
