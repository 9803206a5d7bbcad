"""What a flow carries on a fine grid, held to coarse values on the way."""

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._typing import Fields
from wdno.operator.interpolation import doubled, level, repeated
from wdno.operator.residual import Coefficients, Estimate, begun, scaled
from wdno.operator.tasks import keys_of
from wdno.operator.transport import Transport
from wdno.operator.warp import carried
from wdno.wavelets.field import Role
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors
from wdno.wavelets.protocols import Conditions

LARGEST = 30.0
"""Bound on features: where next to nothing is left the scale is next to nothing too,
and networks make of numbers that they have never seen what they like."""


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Assimilation:
    """A scalar that is carried from one coarse instant to the next and corrected there.

    With the scalar s carried over the two frames between coarse instants and its values
    C s at coarse points,

    ``s2 <- s2 + I d``,  ``s1(x) <- s1(x) + (I d)(x + v) / 2``,  ``d = s_coarse - C s2``

    where I interpolates linearly and v is the displacement of a frame. This is nudging
    with the innovation d of data assimilation: fronts come from the flow, where no
    interpolation finds them, and errors of the flow do not grow beyond a coarse frame.
    What went wrong over two frames went half wrong in the first, upstream.

    Features are those of the base, the innovation and what transport has changed in the
    scalar; both in units of its scale, and bounded.

    Attributes:
        transport: how the scalar is carried, by which velocities.
        error: size of the errors of the base's scalar, whose scale is divided by it, so
            that it counts like other targets, of scale one, when networks are trained.

    Raises:
        ValueError: the size is not positive and finite, or the transport has scales or
            counts an outflow, which corrections would change.

    Example:
        >>> flow = HeldFlow(("vy", "vx"), ("cy", "cx"), "obstacle", Interpolation())
        >>> mean = Assimilation(Transport(flow, "density", ("vy", "vx"), (4.0, 4.0)))
    """

    transport: Transport
    error: float = field(default=1.0, metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what has no scale, or two."""
        check_divisors((self.error,))
        if self.transport.scale or self.transport.outflow is not None:
            raise ValueError(
                "What is carried between coarse values has the scale of its base and "
                "counts nothing, but the transport has a scale or an outflow. Leave "
                "them out."
            )

    def __call__(
        self,
        known: Fields,
        condition: Coefficients,
        targets: WaveletLayout,
        given: Conditions,
    ) -> Estimate:
        """The estimate of the transport's base, with the scalar followed."""
        transport, scalar = self.transport, self.transport.scalar
        first = begun(transport.base, known, condition, targets, given)
        fields = targets.synthesis(first.mean)
        found = self.followed(
            known[keys_of(Role.INITIAL, given)[scalar]],
            known[keys_of(Role.COARSE, given)[scalar]],
            tuple(fields[name] for name in transport.velocity),
        )
        mean = targets.analysis(fields | {scalar: found.scalar})
        own = [channel.split(":")[0] == scalar for channel in targets.channels]
        units = tuple(1 / self.error if mine else 1.0 for mine in own)
        scale = jnp.broadcast_to(scaled(first, units).scale, mean.shape)
        changed, unit = (
            targets.select(u, scalar) for u in ((mean - first.mean) / scale, scale)
        )
        innovation = targets.means(repeated(found.innovation))[..., None]
        own = [changed, innovation / (unit[..., :1] * self.error)]
        features = [first.features, *(jnp.clip(u, -LARGEST, LARGEST) for u in own)]
        return Estimate(mean, scale, jnp.concatenate(features, axis=-1))

    def followed(
        self,
        initial: Float[Array, "batch *space"],
        coarse: Float[Array, "batch coarse_frames *coarse_space"],
        velocity: tuple[Float[Array, "batch frames *space"], ...],
    ) -> "Followed":
        """What becomes of an initial scalar that is measured on the way.

        Args:
            initial: values before the first frame.
            coarse: values at the end of every second frame, at every second point.
            velocity: one array an axis of space, at the end of each frame.
        """
        transport = self.transport
        places = (slice(None), *(slice(None, None, 2),) * (initial.ndim - 1))

        def interval(
            scalar: Array, given: tuple[Array, tuple[Array, ...]]
        ) -> tuple[Array, tuple[Array, Array]]:
            measured, flow = given
            over = transport.over(scalar, flow)[transport.scalar]
            innovation = measured - over[:, 1][places]
            change = innovation
            for axis in range(1, change.ndim):
                change = doubled(change, axis, level)
            back = -self._frame(tuple(component[:, 1] for component in flow))
            upstream = carried(change[..., None], back)[..., 0]
            end = over[:, 1] + change
            both = jnp.stack([over[:, 0] + upstream / 2, end], axis=1)
            return end, (both, innovation)

        pairs = tuple(_in_pairs(component) for component in velocity)
        by_interval = (jnp.moveaxis(coarse, 1, 0), pairs)
        _, (scalar, innovation) = jax.lax.scan(interval, initial, by_interval)
        scalar = jnp.moveaxis(scalar, 0, 1).reshape(velocity[0].shape)
        return Followed(scalar, jnp.moveaxis(innovation, 0, 1))

    def channels(self, targets: WaveletLayout, given: Conditions) -> int:
        """Those of the base, one a channel of the scalar, and the innovation."""
        name = self.transport.scalar + ":"
        own = sum(channel.startswith(name) for channel in targets.channels)
        return self.transport.channels(targets, given) + own + 1

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "Assimilation":
        """With a base of fresh parameters.

        Raises:
            ValueError: there are no coarse values of the scalar, or the transport
                refuses the layouts.
        """
        coarse = keys_of(Role.COARSE, given)
        if self.transport.scalar not in coarse:
            raise ValueError(
                "What is carried is corrected by its coarse values, but of "
                f"{self.transport.scalar!r} none are given, only of {list(coarse)}. "
                "Use the refinement task, or `Transport` alone."
            )
        transport = self.transport.built(targets, given, rngs)
        return dataclasses.replace(self, transport=transport)

    def described(self) -> "Assimilation":
        """With the description of its base."""
        return dataclasses.replace(self, transport=self.transport.described())

    def _frame(
        self, flow: tuple[Float[Array, "batch *space"], ...]
    ) -> Float[Array, "batch *space axis"]:
        """By how many spacings a frame carries."""
        once = dataclasses.replace(self.transport, steps=1, refinement=1)
        return once.displacement(flow)


class Followed(NamedTuple):
    """A scalar carried and corrected."""

    scalar: Float[Array, "batch frames *space"]
    innovation: Float[Array, "batch coarse_frames *coarse_space"]
    """Coarse values less what was carried there."""


def _in_pairs(
    velocity: Float[Array, "batch frames *space"],
) -> Float[Array, "pair batch 2 *space"]:
    """Frames two by two."""
    batch, frames, *space = velocity.shape
    return jnp.moveaxis(velocity.reshape(batch, frames // 2, 2, *space), 1, 0)
