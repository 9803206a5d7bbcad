"""Where a model lies in space, and how far apart its samples are."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wdno._arrays import evenly_spaced


class Domain(NamedTuple):
    """Where a model lives: position of the first sample and spacing of each axis.

    The first entry is time, whose origin is free: only its spacing matters.
    """

    start: tuple[float, ...]
    spacing: tuple[float, ...]

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
            spacing=tuple(float(points[1] - points[0]) for points in axes.values()),
        )

    def coords(
        self, dims: tuple[str, ...], grid: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """Coordinates of each axis, with one more instant than the grid has frames."""
        counts = (grid[0] + 1, *grid[1:])
        axes = zip(dims, self.start, self.spacing, counts, strict=True)
        return {dim: start + step * np.arange(n) for dim, start, step, n in axes}
