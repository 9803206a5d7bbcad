"""What a model asks of its layouts, whatever the transform behind them."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.wavelets.field import Field


@runtime_checkable
class Conditions(Protocol):
    """What a model asks of the layout of the fields that it is given."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The quantities."""
        ...

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes of the coefficient array, time first."""
        ...

    @property
    def coefficient_grid(self) -> tuple[int, ...]:
        """Extents of the coefficient array along `dims`."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        ...

    def on(self, grid: Sequence[int]) -> "Conditions":
        """The same layout on another physical grid."""
        ...

    def analysis(self, fields: Fields) -> Float[Array, "batch *grid channel"]:
        """Coefficients of `fields`."""
        ...


@runtime_checkable
class Layout(Conditions, Protocol):
    """What a model asks of the layout of the fields that it generates."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Frames of a window, then points along each axis of space."""
        ...

    @property
    def levels(self) -> int:
        """How often the grid is halved."""
        ...

    @property
    def refinement(self) -> tuple[int, ...]:
        """By what a refiner multiplies the samples along each axis."""
        ...

    def span(self, frames: int) -> int:
        """Frames that are refined at once in a record of so many."""
        ...

    @property
    def energy_share(self) -> Float[np.ndarray, " channel"]:
        """What a squared error of each channel counts in physical space."""
        ...

    def on(self, grid: Sequence[int]) -> "Layout":
        """The same layout on another physical grid."""
        ...

    def synthesis(self, z: Float[Array, "batch *grid channel"]) -> Fields:
        """Fields of the coefficients `z`."""
        ...
