"""Local operator: what happens at a point depends on a neighbourhood of grid points."""

from dataclasses import dataclass

from flax import nnx

from wdno._ranges import MOST_BLOCKS, check_counts
from wdno.networks.kernel_operator import KernelOperator
from wdno.networks.layers import Features
from wdno.networks.registry import Shape, register


@dataclass(frozen=True)
class LocalConfig:
    """Configuration of a `Local` operator.

    Attributes:
        reach: grid points that a kernel spans along each axis, odd numbers.
        width: features per grid point.
        depth: number of blocks; each widens the neighbourhood by a reach.
    """

    reach: tuple[int, ...] = (3, 5)
    width: int = 48
    depth: int = 6

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(reach=self.reach, width=self.width)
        check_counts(MOST_BLOCKS, depth=self.depth)


@dataclass(frozen=True)
class RingConfig:
    """Configuration of a `Ring` operator.

    Attributes:
        reach: grid points that a kernel spans along each axis, odd numbers; along a
            ring not more than there are.
        width: features per grid point.
        depth: number of blocks; each widens the neighbourhood by a reach.
    """

    reach: tuple[int, ...] = (3, 5)
    width: int = 48
    depth: int = 6

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        check_counts(reach=self.reach, width=self.width)
        check_counts(MOST_BLOCKS, depth=self.depth)


class SeparableConvolution(nnx.Module):
    """A convolution along each axis in turn.

    It costs the sum of the reaches where one over all axes costs their product.

    Args:
        reach: grid points along each axis.
        width: features of a grid point.
        beyond: what lies beyond the ends of each axis: zeros, "SAME", or the other end,
            "CIRCULAR".
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        reach: tuple[int, ...],
        width: int,
        beyond: tuple[str, ...],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create one convolution an axis."""
        self.along = nnx.List(
            nnx.Conv(
                width,
                width,
                tuple(span if other == axis else 1 for other in range(len(reach))),
                padding=padding,
                rngs=rngs,
            )
            for axis, (span, padding) in enumerate(zip(reach, beyond, strict=True))
        )

    def __call__(self, x: Features) -> Features:
        """Convolve, axis by axis."""
        for convolution in self.along:
            x = convolution(x)
        return x


class _Separable(KernelOperator):
    """An operator of separable convolutions."""

    def __init__(
        self,
        config: LocalConfig | RingConfig,
        shape: Shape,
        beyond: tuple[str, ...],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.config = config
        shape.check_numbers_per_axis(reach=config.reach)
        if any(span % 2 == 0 for span in config.reach):
            raise ValueError(
                "The reach is an odd number of points, so that it has a centre, but "
                f"got {config.reach}. Give odd numbers."
            )
        super().__init__(
            lambda: SeparableConvolution(config.reach, config.width, beyond, rngs=rngs),
            config.depth,
            config.width,
            shape.channels,
            shape.condition_channels,
            rngs=rngs,
        )


@register(LocalConfig)
class Local(_Separable):
    """Local backbone: ``local(x, c_noise, cond)`` with the shape of x.

    It sees neighbours but neither positions nor the extent of the grid, so that what it
    has learned on one grid holds on a finer one wherever the fields look alike in units
    of the spacing. Beyond the ends of the grid are zeros. Takes any grid.

    Raises:
        ValueError: the reach has another number of axes than the grid, or no centre.
    """

    def __init__(self, config: LocalConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        super().__init__(config, shape, ("SAME",) * len(config.reach), rngs=rngs)


@register(RingConfig)
class Ring(_Separable):
    """Local backbone whose axes of space, all but the first, are rings.

    As `Local`, but along these axes neighbours of the last points are the first ones:
    a shift around the ring shifts what it returns.

    Raises:
        ValueError: the reach has another number of axes than the grid, or no centre.
    """

    def __init__(self, config: RingConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        beyond = ("SAME", *("CIRCULAR",) * (len(config.reach) - 1))
        super().__init__(config, shape, beyond, rngs=rngs)
