"""Which tokens are refreshed: the most urgent, and none ever too late."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wdno.networks.patches import Places


def urgency(
    scores: Float[Array, "batch token"], age: Int[Array, "batch token"], rate: float
) -> Float[Array, "batch token"]:
    """``score exp(rate (age - 1))``: the longer a token waits, the more urgent it is.

    Eq. 1 of RAS (arXiv 2502.10389), with the largest refreshed. Where the smallest are,
    as the paper's text has it, a factor that grows with the age starves tokens more.
    """
    return scores * jnp.exp(rate * (age - 1).astype(scores.dtype))


def select(
    urgent: Float[Array, "batch token"],
    age: Int[Array, "batch token"],
    kept: int,
    oldest: int,
) -> Places:
    """The most urgent tokens, after those without which one would become too old.

    A token of age a has ``j = oldest + 2 - a`` steps left, this one included. As long
    as for each j at most ``j kept`` tokens have j steps or fewer, all can be refreshed
    in time, the oldest first. So that this holds after the step too, the m oldest are
    refreshed now, with m the largest excess of their number over ``(j - 1) kept``. It
    holds after a dense step if ``kept (oldest + 1)`` is the number of tokens or more,
    and then always: m never exceeds `kept`.

    Args:
        urgent: of each token.
        age: steps since each was refreshed, this one included; 1 is the least.
        kept: tokens to refresh.
        oldest: the largest age that a value which is used may have.
    """
    order = jnp.lexsort((-urgent, -age), axis=-1)
    steps = oldest + 2 - jnp.take_along_axis(age, order, axis=1)
    rank = jnp.arange(age.shape[1], dtype=age.dtype)[None]
    due = (rank + 1 - kept * (steps - 1)).max(axis=1, keepdims=True)
    in_order = jnp.take_along_axis(urgent, order, axis=1)
    _, first = jax.lax.top_k(jnp.where(rank < due, jnp.inf, in_order), kept)
    return jnp.take_along_axis(order, first, axis=1)
