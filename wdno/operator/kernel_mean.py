"""A mean that is a smooth function of both ends of a window, known at examples.

Where what is wanted between two states is a smooth function of them, such as the best
control, the examples themselves say it: the posterior mean of a Gaussian process, which
is ridge regression in the space of a kernel (Rasmussen and Williams 2006, Gaussian
Processes for Machine Learning, eq. 2.25).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy.fft import dct

from wdno._json import register
from wdno._ranges import LARGEST_COUNT, Count
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
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import check_divisors, check_scale
from wdno.wavelets.protocols import Conditions

LINEAR = 0.05
"""Share of a linear kernel beside the Gaussian one: far from all examples it leads."""


class KernelMaps(NamedTuple):
    """What is fitted for windows of one length."""

    centres: Float[Array, "centre feature"]
    weights: Float[Array, "2 centre rank"]
    """Two parts of one matrix, so that half precision holds its digits."""
    patterns: Float[Array, "rank frame *space target"]
    offset: Float[Array, "frame *space target"]


@register
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class KernelMean(OnBase):
    """Some targets over a whole window as a function of fields given at its ends.

    ``y = b + P sum_i w_i k(x, x_i)``,
    ``k(x, x') = exp(-|x - x'|² / 2 s²) + 0.05 x · x'``

    where x are the slowest cosines of what is given, in such units that |x|² is the sum
    of the mean squares of the smoothed fields, x_i those of the examples, and P a few
    patterns of the targets over time and space. Each length of window has an own fit
    (`wdno.training.kernel_ridge`), to the ends of the same records.

    Attributes:
        targets: names of the targets, on all axes.
        initial: name of a state and of the given field that it begins with.
        final: name of a state and of the given field that it ends with.
        windows: lengths of windows, in frames.
        centres: number of examples.
        waves: cosines of a given field along each axis of space.
        rank: number of patterns.
        width: s.
        base: estimates the other targets; without one they have mean 0.
        scale: one number a channel, see `wdno.operator.residual.scaled`.
        maps: the parameters, by length of window; None in recipes and on cards.

    Raises:
        ValueError: nothing is named, a count is out of range, or a width or a scale is
            not positive and finite.

    Example:
        >>> plan = KernelMean(("u", "f"), ("u", "u0"), ("u", "uT"), (32, 16), 1024)
        >>> recipe = replace(recipe, residual=plan)
    """

    targets: tuple[str, ...] = field(metadata={"static": True})
    initial: tuple[str, str] = field(metadata={"static": True})
    final: tuple[str, str] = field(metadata={"static": True})
    windows: tuple[int, ...] = field(metadata={"static": True})
    centres: Count = field(metadata={"static": True})
    waves: Count = field(default=24, metadata={"static": True})
    rank: Count = field(default=80, metadata={"static": True})
    width: float = field(default=1.0, metadata={"static": True})
    base: Residual | None = None
    scale: tuple[float, ...] = field(default=(), metadata={"static": True})
    maps: Any = None

    def __post_init__(self) -> None:
        """Refuse what maps nothing."""
        check_divisors((*self.scale, self.width))
        counts = (self.centres, self.waves, self.rank, *self.windows)
        counted = self.windows and all(1 <= n <= LARGEST_COUNT for n in counts)
        if not self.targets or not counted:
            raise ValueError(
                "A kernel mean maps the ends of windows to one target or more, with "
                f"examples, waves and patterns from 1 to {LARGEST_COUNT}, but got "
                f"targets {self.targets}, windows {self.windows}, {self.centres} "
                f"examples, {self.waves} waves and rank {self.rank}. Correct them."
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
            ValueError: the window or the grid is none of those that it was fitted for.
        """
        first = begun(self.base, known, condition, targets, given)
        ends = known[self.initial[1]], known[self.final[1]]
        found = self.mapped(*ends, targets.grid[0])
        mean = targets.analysis(targets.synthesis(first.mean) | found)
        return scaled(Estimate(mean, first.scale, first.features), self.scale)

    def mapped(
        self,
        initial: Float[Array, "batch *space"],
        final: Float[Array, "batch *space"],
        frames: int,
    ) -> Fields:
        """The targets (batch, frames, *space) between two fields.

        Raises:
            ValueError: the window or the grid is none of those that it was fitted for.
        """
        if frames not in self.windows:
            raise ValueError(
                "A kernel mean knows windows of the lengths that it was fitted to, "
                f"{self.windows}, but got {frames} frames. Use one of them, or fit a "
                "mean to such windows."
            )
        maps = self.maps[str(frames)]
        maps = jax.tree.map(lambda weights: weights.astype(initial.dtype), maps)
        if initial.shape[1:] != maps.offset.shape[1:-1]:
            raise ValueError(
                "A kernel mean belongs to the grid that it was fitted on, "
                f"{maps.offset.shape[1:-1]}, but got fields on {initial.shape[1:]}. "
                "Interpolate them, or fit a mean on that grid."
            )
        x = jnp.concatenate([slowest(u, self.waves) for u in (initial, final)], axis=1)
        near = similarity(x, maps.centres, self.width)
        share = _product(near, maps.weights.sum(axis=0))
        y = maps.offset[None] + jnp.tensordot(share, maps.patterns, axes=1)
        return {name: y[..., n] for n, name in enumerate(self.targets)}

    def built(
        self, targets: WaveletLayout, given: Conditions, rngs: nnx.Rngs
    ) -> "KernelMean":
        """With maps of zeros, and a base of fresh parameters.

        Raises:
            ValueError: a field is none of the model's or has other axes, space has
                fewer points than waves, or there is another number of scales than of
                channels.
        """
        check_scale(self.scale, targets.channels)
        space, over = targets.grid[1:], targets.dims
        rule = f"A kernel mean maps fields of space to targets on all axes, {over}"
        check_there(rule, self.targets, targets.fields, over)
        check_there(rule, (self.initial[1], self.final[1]), given.fields, over[1:])
        if min(space) < self.waves:
            raise ValueError(
                f"A field has as many cosines as points, {space}, but {self.waves} "
                "waves were asked for. Ask for fewer."
            )
        features = 2 * self.waves ** len(space)
        maps = {
            str(frames): KernelMaps(
                jnp.zeros((self.centres, features)),
                jnp.zeros((2, self.centres, self.rank)),
                jnp.zeros((self.rank, frames, *space, len(self.targets))),
                jnp.zeros((frames, *space, len(self.targets))),
            )
            for frames in self.windows
        }
        return dataclasses.replace(super().built(targets, given, rngs), maps=maps)

    def described(self) -> "KernelMean":
        """Without maps."""
        return dataclasses.replace(super().described(), maps=None)


def slowest(
    u: Float[Array, "batch *space"], waves: int
) -> Float[Array, "batch feature"]:
    """The slowest cosines of fields; their squares add up to mean squares."""
    for axis in range(1, u.ndim):
        points = u.shape[axis]
        rows = np.asarray(dct(np.eye(points), norm="ortho", axis=0))[:waves]
        rows = jnp.asarray(rows / np.sqrt(points), u.dtype)
        exact = jax.lax.Precision.HIGHEST
        u = jnp.tensordot(u, rows, axes=((axis,), (1,)), precision=exact)
        u = jnp.moveaxis(u, -1, axis)
    return u.reshape(len(u), -1)


def similarity(
    x: Float[Array, "row feature"],
    centres: Float[Array, "centre feature"],
    width: float,
) -> Float[Array, "row centre"]:
    """The kernel of each pair."""
    along = _product(x, centres.T)
    squares = [jnp.square(part).sum(axis=1) for part in (x, centres)]
    apart = squares[0][:, None] + squares[1][None] - 2 * along
    return jnp.exp(-apart / (2 * width**2)) + LINEAR * along


def _product(a: Float[Array, "m n"], b: Float[Array, "n k"]) -> Float[Array, "m k"]:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
