"""A mean that is a linear map of initial fields to whole records.

Where what is wanted of a record is a smooth function of how it begins, such as the best
control, regression on examples finds it: the first rival of every planner.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import LARGEST_COUNT, CountOrNone
from wdno._typing import Fields
from wdno.operator.residual import (
    Coefficients,
    Estimate,
    OnBase,
    Residual,
    begun,
    check_there,
    scaled,
)
from wdno.operator.tiles import Tiles
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors, check_scale
from wdno.wavelets.protocols import Conditions


class RecordMaps(NamedTuple):
    """What is fitted: the parameters of a `RecordMean`."""

    offset: Float[Array, "frame tile within"]
    down: Float[Array, "*space input rank"]
    up: Float[Array, "rank frame tile within"]


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RecordMean(OnBase):
    """Some targets over a whole window as a linear map of given fields of space.

    ``y = b + U D x``

    with a matrix D that sees the fields x, such as initial states, a few patterns U of
    the targets over time and space, and their usual course b. Targets are zero outside
    the tiles that something acts in. The maps are fitted by ridge regression
    (`wdno.training.record_ridge`).

    Attributes:
        targets: names of the targets, on all axes.
        inputs: names of the given fields x, on the axes of space.
        rank: of U D.
        tiles: in which targets differ from zero.
        base: estimates the other targets; without one they have mean 0.
        scale: one number a channel, see `wdno.operator.residual.scaled`.
        maps: the parameters; None in recipes and on cards.

    Raises:
        ValueError: nothing is named, the rank is negative, or a scale is not positive
            and finite.

    Example:
        >>> plan = RecordMean(("cx", "cy"), ("density0",), 12, Tiles((8, 8)))
        >>> recipe = replace(recipe, residual=plan)
    """

    targets: tuple[str, ...] = field(metadata={"static": True})
    inputs: tuple[str, ...] = field(metadata={"static": True})
    rank: CountOrNone = field(metadata={"static": True})
    tiles: Tiles = field(metadata={"static": True})
    base: Residual | None = None
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})
    maps: Any = None

    def __post_init__(self) -> None:
        """Refuse what maps nothing."""
        check_divisors(self.scale)
        if not (self.targets and self.inputs) or not 0 <= self.rank <= LARGEST_COUNT:
            raise ValueError(
                "A mean of records maps one given field or more to one target or more, "
                f"with a rank from 0 to {LARGEST_COUNT}, but got {self.inputs} to "
                f"{self.targets} and rank {self.rank}. Correct them."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """What is known of the targets: mapped, or by the base.

        Raises:
            ValueError: the grid is another one than that of the maps.
        """
        if targets.grid[0] != len(self.maps.offset):
            raise ValueError(
                "A mean of records gives as many frames as those that it was fitted "
                f"to have, {len(self.maps.offset)}, but got a window of "
                f"{targets.grid[0]}. Use that one, or fit a mean to such records."
            )
        first = begun(self.base, known, condition, targets, given)
        found = self.mapped({name: known[name] for name in self.inputs})
        mean = targets.analysis(targets.synthesis(first.mean) | found)
        return scaled(Estimate(mean, first.scale, first.features), self.scale)

    def mapped(self, inputs: Fields) -> Fields:
        """The targets (batch, frames, *space) of inputs (batch, *space).

        Raises:
            ValueError: the grid is another one than that of the maps.
        """
        x = jnp.stack([inputs[name] for name in self.inputs], axis=-1)
        maps = jax.tree.map(lambda weights: weights.astype(x.dtype), self.maps)
        batch, *space = x.shape[:-1]
        if tuple(space) != maps.down.shape[:-2]:
            raise ValueError(
                "A mean of records belongs to the grid that it was fitted on, "
                f"{maps.down.shape[:-2]}, but got fields on {tuple(space)}. "
                "Interpolate them, or fit a mean on that grid."
            )
        patterns = jnp.tensordot(x, maps.down, axes=x.ndim - 1)
        y = maps.offset[None] + jnp.tensordot(patterns, maps.up, axes=1)
        frames = y.shape[1]
        y = y.reshape(batch * frames, *y.shape[2:])
        y = self.tiles.joined(y, self.tiles.acting_on(tuple(space)), tuple(space))
        y = y.reshape(batch, frames, *space, -1)
        return {name: y[..., n] for n, name in enumerate(self.targets)}

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "RecordMean":
        """With maps of zeros, and a base of fresh parameters.

        Raises:
            ValueError: a field is none of the model's or has other axes, tiles do not
                fit the grid, or there is another number of scales than of channels.
        """
        check_scale(self.scale, targets.channels)
        over = targets.dims
        rule = f"A mean of records maps fields of space to targets on all axes, {over}"
        check_there(rule, self.targets, targets.fields, over)
        check_there(rule, self.inputs, given.fields, over[1:])
        frames, *space = targets.grid
        acting = self.tiles.acting_on(tuple(space))
        shape = (frames, len(acting), self.tiles.size * len(self.targets))
        maps = RecordMaps(
            jnp.zeros(shape),
            jnp.zeros((*space, len(self.inputs), self.rank)),
            jnp.zeros((self.rank, *shape)),
        )
        return dataclasses.replace(super().built(targets, given, rngs), maps=maps)

    def described(self) -> "RecordMean":
        """Without maps."""
        return dataclasses.replace(super().described(), maps=None)
