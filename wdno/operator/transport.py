"""A mean of what a flow carries, by the velocities that another mean estimates."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import check_counts
from wdno._typing import Fields
from wdno.operator.outflow import Outflow
from wdno.operator.residual import Coefficients, Estimate, OnBase, Residual, scaled
from wdno.operator.tasks import keys_of
from wdno.operator.warp import carried, repeated, upsampled
from wdno.wavelets.field import Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors, check_scale
from wdno.wavelets.protocols import Conditions


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Transport(OnBase):
    """A scalar carried by estimated velocities, frame after frame from its initial one.

    In each of n steps a frame ``s(x) <- s(x - v c / n)``, where v is the velocity at
    the end of the frame and c the number of spacings that a unit of it covers in a
    frame (`wdno.operator.warp.carried`). The scalar is carried on a grid refined by a
    factor: linear interpolation smooths by the spacing, and what a solver on a finer
    grid does is met best on that grid. There the initial value stands from each point
    on to before the next, and velocities are interpolated linearly.

    Attributes:
        base: estimates the velocities, and what is not carried.
        scalar: the target that is carried; its initial value is given.
        velocity: targets along the axes of space, in their order.
        speed: c, by axis.
        steps: n.
        refinement: points of the finer grid a spacing.
        ahead: by how many spacings the velocity along an axis lies before the point of
            its scalar along that axis, on grids where they are staggered.
        outflow: what is counted at exits, if anything.
        scale: one number a channel, see `wdno.operator.residual.scaled`.

    Raises:
        ValueError: counts are not positive, there is not one speed an axis, or a scale
            is not positive and finite.

    Example:
        >>> mean = LinearMean(("vx", "vy"), ("cx", "cy"), rank=64)
        >>> mean = Transport(mean, "density", ("vy", "vx"), (4.0, 4.0))
    """

    base: Residual
    scalar: str = field(metadata={"static": True})
    velocity: tuple[str, ...] = field(metadata={"static": True})
    speed: tuple[float, ...] = field(metadata={"static": True})
    steps: int = field(default=8, metadata={"static": True})
    refinement: int = field(default=1, metadata={"static": True})
    ahead: float = field(default=0.0, metadata={"static": True})
    outflow: Outflow | None = field(default=None, metadata={"static": True})
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what moves nothing."""
        check_counts(MOST_STEPS, steps=self.steps, refinement=self.refinement)
        check_divisors(self.scale)
        finite = all(map(math.isfinite, (*self.speed, self.ahead)))
        if len(self.speed) != len(self.velocity) or not finite:
            raise ValueError(
                "There is one finite speed for each velocity, but got the velocities "
                f"{self.velocity} and speeds {self.speed}, ahead by {self.ahead}. Give "
                "spacings a frame, axis by axis."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The estimate of the base, with the scalar that its velocities carry."""
        first = self.base(known, condition, targets, given)
        fields = targets.synthesis(first.mean)
        initial = known[keys_of(Role.INITIAL, given)[self.scalar]]
        velocity = tuple(fields[name] for name in self.velocity)
        mean = targets.analysis(fields | self.over(initial, velocity))
        return scaled(Estimate(mean, first.scale, first.features), self.scale)

    def over(
        self,
        initial: Float[Array, "batch *space"],
        velocity: tuple[Float[Array, "batch frames *space"], ...],
    ) -> Fields:
        """What becomes of an initial scalar, with the share that has flowed out.

        Args:
            initial: values before the first frame.
            velocity: one array an axis of space, at the end of each frame.

        Returns:
            The scalar (batch, frames, *space), and the share (batch, frames).
        """
        points = (slice(None), *(slice(None, None, self.refinement),) * initial[0].ndim)
        fine = repeated(initial, self.refinement)
        exits = self._exits(fine.shape[1:], fine.dtype)
        outside = np.prod(1 - exits, axis=-1)  # XLA folds such constants slowly
        space = tuple(range(1, fine.ndim))

        def step(state: State, displacement: Array) -> State:
            moved = carried(state[0], displacement)
            remaining = moved[..., 1, None]
            came = jnp.sum(remaining * exits[None], axis=space)
            left = remaining[..., 0] * outside[None]
            return jnp.stack([moved[..., 0], left], axis=-1), state[1] + came

        @jax.checkpoint
        def frame(state: State, flow: tuple[Array, ...]) -> tuple[State, Fields]:
            displacement = self.displacement(flow)
            state, _ = jax.lax.scan(
                lambda state, _: (step(state, displacement), None),
                state,
                length=self.steps,
            )
            record = {self.scalar: state[0][..., 0][points]}
            if self.outflow is not None:
                known = state[1].sum(axis=-1) + state[0][..., 1].sum(axis=space)
                # Nothing is known where nothing was, or all has left elsewhere.
                known = jnp.where(known > 0, known, 1)
                record[self.outflow.share] = state[1][:, self.outflow.goal] / known
            return state, record

        counted = jnp.zeros((len(fine), exits.shape[-1]), fine.dtype)
        start = (jnp.stack([fine, fine], axis=-1), counted)
        by_frame = tuple(jnp.moveaxis(component, 1, 0) for component in velocity)
        _, record = jax.lax.scan(frame, start, by_frame)
        return {name: jnp.moveaxis(values, 0, 1) for name, values in record.items()}

    def displacement(
        self, flow: tuple[Float[Array, "batch *space"], ...]
    ) -> Float[Array, "batch *fine axis"]:
        """By how many spacings of the finer grid a step carries.

        Args:
            flow: velocities in one frame, one array an axis of space.
        """
        parts = []
        for own, (component, speed) in enumerate(
            zip(flow, self.speed, strict=True), start=1
        ):
            for axis in range(1, component.ndim):
                ahead = self.ahead if axis == own else 0.0
                component = upsampled(component, self.refinement, axis, ahead)
            parts.append(component * (speed * self.refinement / self.steps))
        return jnp.stack(parts, axis=-1)

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Transport":
        """With a base of fresh parameters.

        Raises:
            ValueError: a field is none of the model's, lies on other axes, or there is
                another number of scales than of channels.
        """
        check_scale(self.scale, targets.channels)
        by_name = {quantity.name: quantity.dims for quantity in targets.fields}
        wanted = dict.fromkeys((self.scalar, *self.velocity), targets.dims)
        if self.outflow is not None:
            wanted[self.outflow.share] = targets.dims[:1]
        wrong = [name for name, dims in wanted.items() if by_name.get(name) != dims]
        started = self.scalar in keys_of(Role.INITIAL, given)
        if wrong or not started or len(self.velocity) != len(targets.dims) - 1:
            raise ValueError(
                f"Transport carries a target on {targets.dims} whose initial value is "
                "given, by one velocity for each axis of space, and counts along "
                f"{targets.dims[:1]}, but of {list(wanted)} these are not so: "
                f"{wrong or [self.scalar, *self.velocity]}. The model generates "
                f"{by_name}. Name others, or add them to the recipe."
            )
        if self.outflow and any(
            len(region) != len(self.velocity) for region in self.outflow.exits
        ):
            raise ValueError(
                f"Exits have bounds along each axis of space, {targets.dims[1:]}, but "
                f"got {self.outflow.exits}. Give a pair for each."
            )
        return super().built(targets, given, rngs)

    def _exits(self, points: tuple[int, ...], dtype: jnp.dtype) -> np.ndarray:
        """1 in each exit, (*space, exit)."""
        if self.outflow is None:
            return np.zeros((*points, 0), dtype)
        masks = self.outflow.masks(points, self.refinement)
        return np.moveaxis(np.asarray(masks, dtype), 0, -1)


State = tuple[Array, Array]
"""The scalar and what remains of it, (batch, *space, 2), and what exits absorbed."""

MOST_STEPS = 256
"""Bound on steps a frame and points a spacing."""
