"""Where a model lies in space, and how far apart its samples are."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from wdno._arrays import evenly_spaced
from wdno._json import register


@register
@dataclass(frozen=True)
class Domain:
    """Where a model lives: position of the first sample and spacing of each axis.

    The first entry is time, whose origin is free: only its spacing matters.

    Raises:
        ValueError: numbers are missing or not finite, samples lie on each other, or
            time runs backwards.
    """

    start: tuple[float, ...]
    spacing: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what gives no coordinates."""
        alike = len(self.start) == len(self.spacing) > 0
        if not alike or not all(map(math.isfinite, (*self.start, *self.spacing))):
            raise ValueError(
                "A domain has a finite start and spacing for each axis, but got "
                f"{self.start} and {self.spacing}. Give one each."
            )
        if not all(self.spacing) or self.spacing[0] < 0:
            raise ValueError(
                "Samples lie apart, and instants in the order of time, but got the "
                f"spacings {self.spacing}, time first. Correct or reverse the axis."
            )

    @classmethod
    def of(cls, axes: Mapping[str, np.ndarray]) -> "Domain":
        """The domain of evenly spaced coordinates.

        Raises:
            ValueError: an axis has one point only, or uneven spacing.
        """
        for name, points in axes.items():
            if np.unique(points).size < 2 or not evenly_spaced(points):
                raise ValueError(
                    f"Axes of a model are evenly spaced, but {name!r} has the "
                    f"{len(points)} points {points[:4]} … Interpolate the data to a "
                    "uniform grid, or fill the gaps."
                )
        return cls(
            start=tuple(float(points[0]) for points in axes.values()),
            # Of all steps: single precision rounds each of them by its own bit.
            spacing=tuple(
                float(points[-1] - points[0]) / (len(points) - 1)
                for points in axes.values()
            ),
        )

    def scaled(
        self, ratios: Mapping[str, float], cells: Collection[str] = ()
    ) -> "Domain":
        """The same domain with samples further apart, or closer.

        The first sample stays, or where samples are centres of cells the end of its
        cell.

        Args:
            ratios: of the new spacings to these, by axis in their order.
            cells: axes of such samples.
        """
        start, spacing = [], []
        axes = zip(ratios.items(), self.start, self.spacing, strict=True)
        for (dim, ratio), first, step in axes:
            spacing.append(ratio * step)
            start.append(first + (ratio - 1) * step / 2 if dim in cells else first)
        return Domain(tuple(start), tuple(spacing))

    def coords(
        self, dims: tuple[str, ...], grid: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """Coordinates of each axis, with one more instant than the grid has frames."""
        counts = (grid[0] + 1, *grid[1:])
        axes = zip(dims, self.start, self.spacing, counts, strict=True)
        return {dim: start + step * np.arange(n) for dim, start, step, n in axes}
