"""A mean that is a linear map of given fields, each instant by itself.

Where an operator is linear, or nearly so, ridge regression finds in a minute what a
network only approaches: the first rival of every network, and a mean that leaves it
little to do.
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


class LinearMaps(NamedTuple):
    """What is fitted: the parameters of a `LinearMean`."""

    offset: Float[Array, "*space target"]
    local: Float[Array, "pair input output"]
    """From the tile of a pair's input to that of its output, see `Tiles.pairs`."""
    down: Float[Array, "tile input rank"]
    up: Float[Array, "rank *space target"]


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LinearMean(OnBase):
    """Some targets as a linear map of given fields at the same instant.

    ``y_t = b + c_t + S x_t + U D x_t``

    with what is given x, those of it that targets begin with c, matrices S between
    adjacent tiles of space, and U D of low rank: copy what is imposed, correct it by
    what is near, and add the few patterns by which it acts at a distance. For a control
    that is constant over an interval x_t is that of the interval which ends at t. The
    maps are fitted by ridge regression (`wdno.training.closed_form`).

    Attributes:
        targets: names of the targets, on all axes.
        inputs: names of the given fields x, on all axes; or of targets that the base
            estimates.
        rank: of U D.
        tiles: between which S acts.
        copied: for each target the given field c that it begins with; empty for none.
        base: estimates the other targets; without one they have mean 0.
        scale: one number a channel, see `wdno.operator.residual.scaled`.
        maps: the parameters; None in recipes and on cards.

    Raises:
        ValueError: nothing is named, there is not one copied field a target, or a scale
            is not positive and finite.

    Example:
        >>> mean = LinearMean(("vx", "vy"), ("cx", "cy"), 64, Tiles((8, 8)))
        >>> recipe = replace(recipe, residual=mean)
    """

    targets: tuple[str, ...] = field(metadata={"static": True})
    inputs: tuple[str, ...] = field(metadata={"static": True})
    rank: CountOrNone = field(metadata={"static": True})
    tiles: Tiles = field(metadata={"static": True})
    copied: tuple[str, ...] = field(default=(), metadata={"static": True})
    base: Residual | None = None
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})
    maps: Any = None

    def __post_init__(self) -> None:
        """Refuse what maps nothing."""
        check_divisors(self.scale)
        if not (self.targets and self.inputs) or not 0 <= self.rank <= LARGEST_COUNT:
            raise ValueError(
                "A linear mean maps one given field or more to one target or more, "
                f"with a rank from 0 to {LARGEST_COUNT}, but got {self.inputs} to "
                f"{self.targets} and rank {self.rank}. Correct them."
            )
        if self.copied and (
            len(self.copied) != len(self.targets) or set(self.copied) - {*self.inputs}
        ):
            raise ValueError(
                "Targets begin with one of the inputs each, or none does, but there "
                f"are the targets {self.targets}, the inputs {self.inputs} and copied "
                f"{self.copied}. Name one a target."
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
        first = begun(self.base, known, condition, targets, given)
        before = targets.synthesis(first.mean)
        there = before | {q.name: known[q.name] for q in given.fields}
        found = self.mapped({name: there[name] for name in self.inputs})
        mean = targets.analysis(before | found)
        return scaled(Estimate(mean, first.scale, first.features), self.scale)

    def mapped(self, inputs: Fields) -> Fields:
        """The targets, of the shape of the inputs (batch, frames, *space).

        Raises:
            ValueError: the grid is another one than that of the maps.
        """
        maps = self.maps
        x = jnp.stack([inputs[name] for name in self.inputs], axis=-1)
        batch, frames, *space = x.shape[:-1]
        if tuple(space) != maps.offset.shape[:-1]:
            raise ValueError(
                "A linear mean belongs to the grid that it was fitted on, "
                f"{maps.offset.shape[:-1]}, but got fields on {tuple(space)}. "
                "Interpolate them, or fit a mean on that grid."
            )
        maps = jax.tree.map(lambda weights: weights.astype(x.dtype), maps)
        rows = x.reshape(batch * frames, *space, -1)
        acting = self.tiles.split(rows, self.tiles.acting_on(tuple(space)))
        y = self._near(acting, maps.local, tuple(space)) + maps.offset[None]
        patterns = jnp.einsum("nti,tir->nr", acting, maps.down)
        y += jnp.tensordot(patterns, maps.up, axes=1)
        y = y.reshape(batch, frames, *space, -1)
        begun = self.copied or (None,) * len(self.targets)
        return {
            name: y[..., n] if copied is None else y[..., n] + inputs[copied]
            for n, (name, copied) in enumerate(zip(self.targets, begun, strict=True))
        }

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "LinearMean":
        """With maps of zeros, and a base of fresh parameters.

        Raises:
            ValueError: a field is none of the model's or lacks an axis, tiles do not
                fit the grid, or there is another number of scales than of channels.
        """
        check_scale(self.scale, targets.channels)
        begun_with = () if self.base is None else targets.fields
        estimated = [q for q in begun_with if q.name not in self.targets]
        rule = f"A linear mean maps given fields to targets, all on {targets.dims}"
        check_there(rule, self.targets, targets.fields, targets.dims)
        check_there(rule, self.inputs, (*given.fields, *estimated), targets.dims)
        space = targets.grid[1:]
        acting, size = self.tiles.acting_on(space), self.tiles.size
        from_tile, to_tile = size * len(self.inputs), size * len(self.targets)
        maps = LinearMaps(
            jnp.zeros((*space, len(self.targets))),
            jnp.zeros((len(self.tiles.pairs(space)), from_tile, to_tile)),
            jnp.zeros((len(acting), from_tile, self.rank)),
            jnp.zeros((self.rank, *space, len(self.targets))),
        )
        return dataclasses.replace(super().built(targets, given, rngs), maps=maps)

    def described(self) -> "LinearMean":
        """Without maps."""
        return dataclasses.replace(super().described(), maps=None)

    def _near(
        self,
        acting: Float[Array, "row tile input"],
        local: Float[Array, "pair input output"],
        space: tuple[int, ...],
    ) -> Float[Array, "row *space target"]:
        """What acts within tiles and between adjacent ones."""
        outputs, inputs = zip(*self.tiles.pairs(space), strict=True)
        parts = jnp.einsum("npi,pio->npo", acting[:, list(inputs)], local)
        found = jnp.zeros((*acting.shape[:2], local.shape[-1]), acting.dtype)
        found = found.at[:, list(outputs)].add(parts)
        whole = self.tiles.joined(found, self.tiles.acting_on(space), space)
        return whole
