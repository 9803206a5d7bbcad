"""When a running plan is worth making anew, and how far back in noise it is taken.

A plan comes with the states that it should cause. What is observed minus what was
predicted is the innovation; while it is small the plan may go on, and an observation
costs a comparison instead of denoiser calls: event-triggered control (Heemels,
Johansson and Tabuada, Proc. 51st IEEE CDC (2012), 3270) with the stochastic similarity
filter of StreamDiffusion (arXiv 2312.12491, section 3.5). There consecutive frames are
compared; a flow may change fast and yet as planned.

Every trigger is a frozen value and a pytree, a `wdno.planning.feedback.Trigger`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys

Rows = Float[Array, " batch"]
Number = float | int | Float[Array, ""] | Int[Array, ""]


def anomaly(fields: Fields) -> dict[str, Rows]:
    """Standard deviation over space of each field: what distinguishes it from its mean.

    Args:
        fields: of shape (batch, *space).
    """
    return {name: v.reshape(len(v), -1).std(axis=1) for name, v in fields.items()}


def relative_innovation(
    observed: Fields,
    predicted: Fields,
    noise: Number = 0.0,
    unit: Mapping[str, Number | Rows] | None = None,
) -> Rows:
    """What was not foreseen, in units of what distinguishes the state from its mean.

    ``r^2 = max(0, mean_x (u - v)^2 - noise^2) / mean_x (v - mean_x v)^2``

    with u observed and v predicted; of several fields the squares are averaged. A
    constant added to both changes nothing; relative to v itself, or as a cosine of u
    and v, every innovation on a strong mean flow would look small. White noise of the
    sensors adds its variance to the square, which is taken off.

    Where what is observed fades, as smoke that arrives does, what is left of v says
    nothing of what is at stake, and every surprise looks large at the end. Then measure
    in units of what there was at first: ``unit=anomaly(initial)``.

    Args:
        observed: fields of shape (batch, *space).
        predicted: the same fields.
        noise: standard deviation of the observations, in units of the fields.
        unit: denominators by name, each in units of its field; `anomaly` of the
            predicted fields by default.
    """
    units = anomaly(predicted) if unit is None else unit

    def square(name: str, v: Array) -> Rows:
        space = tuple(range(1, v.ndim))
        surprise = jnp.square(observed[name] - v).mean(space) - jnp.square(noise)
        whole = jnp.square(jnp.asarray(units[name], v.dtype))
        # A uniform prediction has no anomaly: the least innovation is then infinite.
        share = surprise / jnp.where(whole > 0, whole, 1)
        share = jnp.where(whole > 0, share, inf)
        return jnp.where(surprise > 0, share, 0)

    squares = [square(name, v) for name, v in predicted.items()]
    return jnp.sqrt(jnp.stack(squares).mean(axis=0))


@dataclass(frozen=True)
class _BySimilarity:
    """What triggers by the similarity of observed and predicted states share."""

    similarity: Number = 0.8
    most_skips: Number = 4
    noise: Number = 0.0
    unit: Mapping[str, Number] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that make no trigger."""
        eta, skips, noise = self.similarity, self.most_skips, self.noise
        if _traced(eta, skips, noise):
            return
        if not (-inf < eta < 1 and skips >= 0 and 0 <= noise < inf):
            raise ValueError(
                "A trigger has a similarity below 1, and a number of skips and a noise "
                f"that are not negative, but got similarity={eta}, most_skips={skips}, "
                f"noise={noise}. For a new plan at every observation take Periodic(1)."
            )

    def foreseen(self, observed: Fields, predicted: Fields) -> Rows:
        """S = 1 - r."""
        return 1 - relative_innovation(observed, predicted, self.noise, self.unit)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SimilarityFilter(_BySimilarity):
    """Goes on with a plan at random, the more likely the better it has foreseen.

    ``P(go on) = max(0, (S - eta) / (1 - eta))`` with the similarity ``S = 1 - r`` of
    observed and predicted states (`relative_innovation`). At S <= eta there is always a
    new plan, at S = 1 never; in between rows that look alike are planned at different
    times, and small innovations not at once but before long.

    A plan that has gone on at `most_skips` observations in a row is made anew at the
    next; every new plan begins that count again.

    Attributes:
        similarity: eta, below 1; negative ones forgive innovations above the anomaly.
        most_skips: observations in a row without a new plan.
        noise: standard deviation of the observations, in units of the fields.
        unit: of innovations, by name of the state, see `relative_innovation`.

    Raises:
        ValueError: eta is not below 1, or a count or the noise is negative.

    Example:
        >>> trigger = SimilarityFilter(0.8, most_skips=4, noise=0.05)
        >>> record = wdno.control_loop(planner, system, u0, every=4, trigger=trigger,
        ...                            observation_noise=0.05, target=goal, key=key)
        >>> share = record.replanned.isel(time=slice(0, -1, 4)).mean()
    """

    def __call__(
        self,
        observed: Fields,
        predicted: Fields,
        skipped: Int[Array, " batch"],
        keys: RowKeys,
    ) -> Bool[Array, " batch"]:
        """Whether to plan anew."""
        s = self.foreseen(observed, predicted)
        go_on = jnp.maximum(0, (s - self.similarity) / (1 - self.similarity))
        drawn = jax.vmap(lambda key: jax.random.uniform(key, (), s.dtype))(keys)
        return (drawn >= go_on) | (skipped >= self.most_skips)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InnovationThreshold(_BySimilarity):
    """Plans anew where the innovation is large: the plain rival.

    ``S < eta``; attributes and errors are those of `SimilarityFilter`.
    """

    def __call__(
        self,
        observed: Fields,
        predicted: Fields,
        skipped: Int[Array, " batch"],
        keys: RowKeys,
    ) -> Bool[Array, " batch"]:
        """Whether to plan anew."""
        s = self.foreseen(observed, predicted)
        return (s < self.similarity) | (skipped >= self.most_skips)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Periodic:
    """Plans anew at every so many observations, whatever these say.

    Attributes:
        period: 1 for a new plan at each.

    Raises:
        ValueError: the period is less than 1.
    """

    period: Number = 1

    def __post_init__(self) -> None:
        """Refuse numbers that make no period."""
        if not _traced(self.period) and self.period < 1:
            raise ValueError(
                f"New plans come at every observation or less often, but got period="
                f"{self.period}. Give 1 or more."
            )

    def __call__(
        self,
        observed: Fields,
        predicted: Fields,
        skipped: Int[Array, " batch"],
        keys: RowKeys,
    ) -> Bool[Array, " batch"]:
        """Whether to plan anew."""
        return skipped + 1 >= self.period


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InnovationDepth:
    """How far back in noise a running plan is taken: the further, the worse it foresaw.

    ``sigma = max(least, gain r)`` with r the `relative_innovation`; levels above sigma
    are left out. Noise of level sigma hides errors of its size, in standard deviations
    of the coefficients, and what it hides is planned anew: the surprise of the
    observation has to be among it. StreamDiffusion's second version (arXiv 2511.07399)
    lets noise depend on motion too, but there the input is the truth and fast motion
    asks for less; here the input is an old plan and a surprise asks for more.

    Attributes:
        gain: noise level at an innovation as large as the anomaly.
        least: smallest level; at least the last positive one of the planner's.
        noise: standard deviation of the observations, in units of the fields.

    Raises:
        ValueError: a number is negative or not finite.

    Example:
        >>> depth = InnovationDepth(gain=20.0, least=0.5)
        >>> wdno.control_loop(planner, system, u0, every=4, depth=depth, ...)
    """

    gain: Number = 20.0
    least: Number = 0.5
    noise: Number = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no noise level."""
        numbers = (self.gain, self.least, self.noise)
        if not _traced(*numbers) and not all(0 <= n < inf for n in numbers):
            raise ValueError(
                "A gain, a least level and a noise are finite and not negative, but "
                f"got {numbers}."
            )

    def __call__(self, observed: Fields, predicted: Fields) -> Rows:
        """Noise level of each row."""
        r = relative_innovation(observed, predicted, self.noise)
        return jnp.maximum(self.least, self.gain * r)


def _traced(*numbers: Number) -> bool:
    """Within a trace numbers are not looked at: they were when they were made."""
    return any(isinstance(n, Tracer) for n in numbers)
