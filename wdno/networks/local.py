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


class SeparableConvolution(nnx.Module):
    """A convolution along each axis in turn, with zeros beyond the ends.

    It costs the sum of the reaches where one over all axes costs their product.
    """

    def __init__(self, reach: tuple[int, ...], width: int, *, rngs: nnx.Rngs) -> None:
        """Create one convolution an axis."""
        self.along = nnx.List(
            nnx.Conv(
                width,
                width,
                tuple(span if other == axis else 1 for other in range(len(reach))),
                rngs=rngs,
            )
            for axis, span in enumerate(reach)
        )

    def __call__(self, x: Features) -> Features:
        """Convolve, axis by axis."""
        for convolution in self.along:
            x = convolution(x)
        return x


@register(LocalConfig)
class Local(KernelOperator):
    """Local backbone: ``local(x, c_noise, cond)`` with the shape of x.

    It sees neighbours but neither positions nor the extent of the grid, so that what it
    has learned on one grid holds on a finer one wherever the fields look alike in units
    of the spacing. Takes any grid.

    Raises:
        ValueError: the reach has another number of axes than the grid, or no centre.
    """

    def __init__(self, config: LocalConfig, shape: Shape, *, rngs: nnx.Rngs) -> None:
        """Create all layers; see `wdno.networks.build` for the arguments."""
        self.config = config
        shape.check_numbers_per_axis(reach=config.reach)
        if any(span % 2 == 0 for span in config.reach):
            raise ValueError(
                "The reach is an odd number of points, so that it has a centre, but "
                f"got {config.reach}. Give odd numbers."
            )
        super().__init__(
            lambda: SeparableConvolution(config.reach, config.width, rngs=rngs),
            config.depth,
            config.width,
            shape.channels,
            shape.condition_channels,
            rngs=rngs,
        )
