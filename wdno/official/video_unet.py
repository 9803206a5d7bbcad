"""U-Net for fields over time and space that halves space only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno.networks.layers import Condition, Features
from wdno.networks.registry import Shape, register
from wdno.official import attention
from wdno.official.attention import Attention, Mix, RelativePositionBias
from wdno.official.convolution import Convolution
from wdno.official.unet_blocks import (
    TimestepEmbedding,
    UNetConfig,
    check_extents,
    over_space,
    residual_block,
    unmodulated,
)


@dataclass(frozen=True)
class VideoUNetConfig(UNetConfig):
    """Configuration of a `VideoUNet`; see `UNetConfig`."""

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4)
    groups: int = 8


@register(VideoUNetConfig)
class VideoUNet(nnx.Module):
    """U-Net on time and two axes of space: ``unet(x, c_noise, cond)``.

    Convolutions span three points in time and space; each level attends over space
    within a frame, linearly, and over time at a point (Ho et al. 2022, arXiv
    2204.03458, section 3). Extents of space are divisible by 2^(levels - 1).
    """

    def __init__(
        self, config: VideoUNetConfig, shape: Shape, *, rngs: nnx.Rngs
    ) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        if shape.axes != 3:
            raise ValueError(
                "A video has time and two axes of space, but the grid has "
                f"{shape.axes} axes. Take a UNet, which treats all axes alike."
            )
        widths = config.widths
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        finest, mid = widths[0], widths[-1]

        block = partial(residual_block, config, shape.axes, rngs=rngs)

        def attend(width: int, *, use_bias: bool) -> Attention:
            inner = config.heads * config.head_width
            out = nnx.Linear(inner, width, use_bias=use_bias, rngs=rngs)
            return Attention(width, config.heads, config.head_width, out, rngs=rngs)

        def level(width_in: int, width: int) -> Any:
            return nnx.Dict(
                first=block(width_in, width),
                second=block(width, width),
                attention=attend(width, use_bias=True),
                over_time=attend(width, use_bias=False),
            )

        def resampling(kind: Callable[..., nnx.Module], width: int) -> nnx.Module:
            ends = "SAME"  # of a span of four: one point beyond either end
            return kind(width, width, (4, 4), strides=2, padding=ends, rngs=rngs)

        self.embedding = TimestepEmbedding(config.width, rngs=rngs)
        self.position_bias = RelativePositionBias(config.heads, rngs=rngs)
        inputs = shape.channels + shape.condition_channels
        self.lift = Convolution((7, 7, 7), inputs, finest, rngs=rngs)
        self.over_time = attend(finest, use_bias=False)
        self.down = nnx.List(level(fine, coarse) for fine, coarse in pairs)
        self.halve = nnx.List(resampling(nnx.Conv, coarse) for _, coarse in pairs[:-1])
        self.mid = nnx.Dict(
            first=block(mid, mid),
            attention=attend(mid, use_bias=False),
            over_time=attend(mid, use_bias=False),
            second=block(mid, mid),
        )
        self.up = nnx.List(level(2 * coarse, fine) for fine, coarse in reversed(pairs))
        self.double = nnx.List(
            resampling(nnx.ConvTranspose, fine) for fine, _ in reversed(pairs[1:])
        )
        self.final = block(2 * finest, finest, unmodulated)
        self.head = nnx.Linear(finest, shape.channels, rngs=rngs)

    def __call__(
        self, x: Features, c_noise: Float[Array, " batch"], cond: Condition
    ) -> Features:
        """Lift, refine on ever coarser frames and back, project."""
        check_extents(x.shape[2:-1], len(self.halve))
        embedding = self.embedding(c_noise)
        in_order = attention.ordered(self.position_bias(x.shape[1]))

        def refined(level: Any, x: Features) -> Float[Array, "batch *grid refined"]:
            x = level.second(level.first(x, embedding), embedding)
            x = on_frames(partial(over_space, level.attention, mix=attention.linear), x)
            return over_time(level.over_time, x, in_order)

        x = self.lift(jnp.concatenate([x, cond], axis=-1))
        x = lifted = over_time(self.over_time, x, in_order)
        skips = []
        for depth, level in enumerate(self.down):
            x = refined(level, x)
            skips.append(x)
            if depth < len(self.halve):
                x = on_frames(self.halve[depth], x)
        x = self.mid.first(x, embedding)
        x = on_frames(partial(over_space, self.mid.attention, mix=attention.full), x)
        x = over_time(self.mid.over_time, x, in_order)
        x = self.mid.second(x, embedding)
        for depth, level in enumerate(self.up):
            x = refined(level, jnp.concatenate([x, skips.pop()], axis=-1))
            if depth < len(self.double):
                x = on_frames(self.double[depth], x)
        return self.head(self.final(jnp.concatenate([x, lifted], axis=-1), embedding))


def on_frames(
    layer: Callable[[Features], Features], x: Features
) -> Float[Array, "batch frame *rest"]:
    """Apply a layer to each frame by itself."""
    y = layer(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def over_time(attend: Attention, x: Features, mix: Mix) -> Features:
    """Attention of every instant to all others, point by point."""
    points = jnp.moveaxis(x, 1, -2)
    tokens = attend(points.reshape(-1, *points.shape[-2:]), mix)
    return jnp.moveaxis(tokens.reshape(points.shape), -2, 1)
