"""A mean that a solver gives, on the grid of the model.

Where a system's equations are known, a run of a solver on a coarse grid costs little
and says most. What that grid does not resolve is left to networks: where fronts are
smeared, how what is stored differs from what the grid alone would make of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.residual import (
    Coefficients,
    Estimate,
    OnBase,
    Residual,
    begun,
    scaled,
)
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors, check_scale
from wdno.wavelets.protocols import Conditions


@runtime_checkable
class Solver(Protocol):
    """A system that can be solved: a frozen dataclass, such as those of the package."""

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """Instants t_0 … t_M under "time", then the positions on each spatial axis."""
        ...

    def solve(self, inputs: Fields) -> Fields:
        """The states at t_1 … t_M; pure and batched."""
        ...

    def over(self, frames: int) -> "Solver":
        """The same for a record of that many intervals of the same length."""
        ...


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SolvedMean(OnBase):
    """What a solver makes of the given fields over a window.

    Features are the coefficients of the solution: errors of a solver are where these
    say that something happens. The mean is as differentiable as the solver.

    Attributes:
        system: with the grid and the time step of the model. It solves from the given
            fields, under their names.
        base: estimates the targets that the system does not give; without one they have
            mean 0.
        least: bounds from below on given fields, by name: a generated state may leave
            the set on which the equations make sense.
        scale: one number a channel, see `wdno.operator.residual.scaled`.

    Raises:
        ValueError: a bound or a scale is not finite, or a scale not positive.

    Example:
        >>> gas = CompressibleNavierStokes(points=128)
        >>> mean = LearnedMean(LocalConfig((3, 5)), base=SolvedMean(gas))
    """

    system: Solver = field(metadata={"static": True})
    base: Residual | None = None
    least: tuple[tuple[str, float], ...] = field(default=(), metadata={"static": True})
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse bounds that are none."""
        check_divisors(self.scale)
        if not all(math.isfinite(bound) for _, bound in self.least):
            raise ValueError(
                f"Given fields are bounded by finite numbers, but got {self.least}. "
                "Leave out a field without a bound."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The solution in place of what the base estimates.

        Raises:
            ValueError: something that the system needs is not given.
        """
        first = begun(self.base, known, condition, targets, given)
        inputs = known | {
            name: jnp.maximum(known[name], bound) for name, bound in self.least
        }
        solution = self.system.over(targets.grid[0]).solve(inputs)
        names = {quantity.name for quantity in targets.fields}
        found = {name: solution[name] for name in solution if name in names}
        mean = targets.analysis(targets.synthesis(first.mean) | found)
        features = jnp.concatenate([first.features, mean], axis=-1)
        return scaled(Estimate(mean, first.scale, features), self.scale)

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Those of the base, and one a channel of the targets."""
        return super().channels(targets, given) + len(targets.channels)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "SolvedMean":
        """With a base of fresh parameters.

        Raises:
            ValueError: the system has another grid than the model, a bounded field is
                not given, or there is another number of scales than of channels.
        """
        check_scale(self.scale, targets.channels)
        grid = {dim: len(self.system.coords[dim]) for dim in targets.dims[1:]}
        wanted = dict(zip(targets.dims[1:], targets.grid[1:], strict=True))
        if grid != wanted:
            raise ValueError(
                f"A solver gives the mean on the grid of the model, {wanted}, but its "
                f"system has {grid}. Use a system with that number of points."
            )
        names = {quantity.name for quantity in given.fields}
        if lost := [name for name, _ in self.least if name not in names]:
            raise ValueError(
                f"Bounds are those of given fields, {sorted(names)}, but {lost} are "
                "not among them. Correct the names."
            )
        return super().built(targets, given, rngs)
