"""Which tokens have most to gain from a refresh: functions that compose.

A score maps `Evidence` to one number a token, none negative; the largest are refreshed
first. None of them is known to be good in general: important tokens are often no better
than random ones (ToCa, arXiv 2410.05317; DuCa, arXiv 2412.18911), so that `random` is
the score to beat and `oracle` the one that cannot be had.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno.diffusion.keys import RowKeys
from wdno.networks.patches import dilate

Patches = Float[Array, "batch token point channel"]
Scores = Float[Array, "batch token"]


class Evidence(NamedTuple):
    """What a score may look at, by tokens, the last axis of their grid fastest."""

    remembered: Patches
    """What was remembered when each token was refreshed: its estimate, or the noise."""
    before: Patches
    """The same at the refresh before that one, zero if there was none."""
    recalled: Patches
    """Estimate of x0 that is used of each token if it is not refreshed now."""
    whole: Callable[[], Patches]
    """Makes the estimate of x0 if all tokens are refreshed, by a dense call."""
    keys: RowKeys
    """Of draws, one a row."""
    grid: tuple[int, ...]
    """Tokens along each axis."""


Score = Callable[[Evidence], Scores]


def change(evidence: Evidence) -> Scores:
    """How much the last refresh changed the token: mean absolute difference."""
    return jnp.abs(evidence.remembered - evidence.before).mean(axis=(2, 3))


def deviation(evidence: Evidence) -> Scores:
    """Standard deviation over channels, each in units of its root mean square.

    The measure of RAS (arXiv 2502.10389, eq. 1), made fit for subbands, whose sizes
    differ. The paper refreshes the *lowest*: ``reciprocal(deviation)``.
    """
    values = evidence.remembered
    square = jnp.square(values).mean(axis=(1, 2), keepdims=True)
    unit = values * jax.lax.rsqrt(square + jnp.finfo(values.dtype).tiny)
    return unit.std(axis=3).mean(axis=2)


def channel_energy(channels: tuple[int, ...]) -> Score:
    """Mean square of the estimate of x0 in some channels, such as those of details.

    Args:
        channels: their numbers. Those of details have `wavelets.grain.depths` above 0.

    Raises:
        ValueError: there is none.
    """
    if not channels:
        raise ValueError(
            "The energy of some channels needs one at least, but `channels` is empty. "
            "Pass the numbers of the channels of details."
        )

    def score(evidence: Evidence) -> Scores:
        return jnp.square(evidence.recalled[..., list(channels)]).mean(axis=(2, 3))

    return score


def random(evidence: Evidence) -> Scores:
    """Uniform between 0 and 1: the score that any other has to beat."""
    count, dtype = evidence.remembered.shape[1], evidence.remembered.dtype
    return jax.vmap(lambda key: jax.random.uniform(key, (count,), dtype))(evidence.keys)


def oracle(evidence: Evidence) -> Scores:
    """Mean absolute error of what would be recalled: at the cost of a dense call."""
    return jnp.abs(evidence.whole() - evidence.recalled).mean(axis=(2, 3))


def reciprocal(score: Score) -> Score:
    """The smallest first: ``1 / score``."""

    def turned(evidence: Evidence) -> Scores:
        scores = score(evidence)
        return 1 / (scores + jnp.finfo(scores.dtype).eps)

    return turned


def weighted(*terms: tuple[float, Score]) -> Score:
    """Sum of scores, each in units of its mean over the tokens of a row.

    Example:
        >>> score = weighted((1.0, change), (0.5, channel_energy((1, 2, 3))))
    """

    def total(evidence: Evidence) -> Scores:
        return sum(
            (weight * _in_units_of_mean(score(evidence)) for weight, score in terms),
            start=jnp.zeros((), evidence.remembered.dtype),
        )

    return total


def dilated(score: Score, reach: int = 1) -> Score:
    """The largest within so many tokens: what moves is refreshed where it arrives."""

    def spread(evidence: Evidence) -> Scores:
        scores = score(evidence)
        on_grid = scores.reshape(len(scores), *evidence.grid)
        return dilate(on_grid, (reach,) * len(evidence.grid)).reshape(scores.shape)

    return spread


def _in_units_of_mean(scores: Scores) -> Scores:
    mean = scores.mean(axis=1, keepdims=True)
    return scores / (mean + jnp.finfo(scores.dtype).tiny)
