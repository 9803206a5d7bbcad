"""What configurations of networks of tokens have in common."""

from dataclasses import dataclass

from wdno._ranges import MOST_BLOCKS, check_counts


@dataclass(frozen=True)
class TokenNetworkConfig:
    """Size of a network whose blocks attend between patches of a grid.

    No network is built from it alone: a configuration that is registered adds to it.

    Attributes:
        patch: grid points of a token along each axis.
        width: features per token.
        depth: number of blocks.
        heads: attention heads.

    Raises:
        ValueError: a number out of range, or heads that do not divide the width.
    """

    patch: tuple[int, ...] = (2, 4)
    width: int = 256
    depth: int = 6
    heads: int = 8

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        check_counts(patch=self.patch, width=self.width, heads=self.heads)
        check_counts(MOST_BLOCKS, depth=self.depth)
        if self.width % self.heads:
            raise ValueError(
                f"Heads share the features of a token evenly, but {self.heads} heads "
                f"do not divide a width of {self.width}. Change one of the two."
            )

    def token_grid(self, points: tuple[int, ...]) -> tuple[int, ...]:
        """Tokens along each axis of a grid, the last ones padded if it ends within."""
        return tuple(-(-n // p) for n, p in zip(points, self.patch, strict=True))
