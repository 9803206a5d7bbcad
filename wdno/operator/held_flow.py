"""Velocities on a finer grid, where a control decides them from instant to instant."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.interpolation import doubled, level
from wdno.operator.residual import Coefficients, Estimate, OnBase, Residual, begun
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.protocols import Conditions


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class HeldFlow(OnBase):
    """Coarse velocities, interpolated in space between walls and held in time.

    ``v = c + I (v_coarse - c_coarse)`` at a coarse instant and at the one before

    with the control c, which is known on the fine grid, and linear interpolation I of
    what it causes. A flow that follows its control at once has at both instants what
    the control of their interval makes of it, and nothing of the interval before:
    hence it is held. Along the axis of a component I is plain, as nothing flows into a
    wall; along the others the flow slips, and values within walls do not count:
    ``I u = (L m u) / (L m)`` with m = 1 outside walls and linear interpolation L.

    Attributes:
        velocity: targets along the axes of space, in their order; their coarse values
            are given.
        copied: for each of them the given control.
        walls: what is given and is 1 in walls, on the axes of space.
        base: estimates the other targets; without one they have mean 0.

    Raises:
        ValueError: there is not one control a velocity.

    Example:
        >>> mean = HeldFlow(("vy", "vx"), ("cy", "cx"), "obstacle", Interpolation())
    """

    velocity: tuple[str, ...] = field(metadata={"static": True})
    copied: tuple[str, ...] = field(metadata={"static": True})
    walls: str = field(metadata={"static": True})
    base: Residual | None = None

    def __post_init__(self) -> None:
        """Refuse velocities without a control."""
        if len(self.velocity) != len(self.copied):
            raise ValueError(
                "Each velocity follows one control, but there are the velocities "
                f"{self.velocity} and controls {self.copied}. Name one each."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The estimate of the base, with the interpolated velocities."""
        first = begun(self.base, known, condition, targets, given)
        coarse, free = keys_of(Role.COARSE, given), 1 - known[self.walls]
        found = {
            name: _held(known[coarse[name]], known[control], free, 2 + own)
            for own, (name, control) in enumerate(
                zip(self.velocity, self.copied, strict=True)
            )
        }
        mean = targets.analysis(targets.synthesis(first.mean) | found)
        return first._replace(mean=mean)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "HeldFlow":
        """With a base of fresh parameters.

        Raises:
            ValueError: a field is none of the model's, or lies on other axes.
        """
        evolving = {q.name for q in targets.fields if q.dims == targets.dims}
        coarse = keys_of(Role.COARSE, given)
        over = {q.name: q.dims for q in given.fields}
        wrong = [v for v in self.velocity if v not in evolving or v not in coarse]
        wrong += [c for c in self.copied if over.get(c) != targets.dims]
        if wrong or over.get(self.walls) != targets.dims[1:]:
            raise ValueError(
                f"A flow is held that is a target on {targets.dims} with coarse values "
                "given, by a control on these axes, between walls given on those of "
                f"space, but these are not so: {wrong or [self.walls]}. The model is "
                f"given {over}. Name others, or add them to the recipe."
            )
        return super().built(targets, given, rngs)


def _held(
    coarse: Float[Array, "batch coarse_frames *coarse_space"],
    control: Float[Array, "batch frames *space"],
    free: Float[Array, "batch *space"],
    own: int,
) -> Float[Array, "batch frames *space"]:
    """One component, which lies along the axis `own`."""
    every = (slice(None, None, 2),) * (control.ndim - 2)
    thin = (slice(None), *every)
    outside = free[thin][:, None]
    caused = (coarse - control[:, 1::2][(slice(None), *thin)]) * outside
    weight = jnp.broadcast_to(outside, caused.shape)
    for axis in range(2, caused.ndim):
        if axis != own:
            caused, weight = (doubled(u, axis, level) for u in (caused, weight))
    # Deep in walls nothing is near, and nothing flows.
    caused = caused / jnp.where(weight > 0, weight, 1)
    caused = jnp.repeat(doubled(caused, own, level), 2, axis=1)
    return (control + caused) * free[:, None]
