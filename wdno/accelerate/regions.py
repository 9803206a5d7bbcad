"""How many tokens region-adaptive sampling refreshes, which, and what it remembers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import PyTree

from wdno._ranges import check_counts
from wdno.accelerate.region_scores import Score, change
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Rows, Sample

_ROUNDING = 1e-9
"""Of products with a ratio: a tenth of 30 tokens are 3, not 4."""


class Memory(NamedTuple):
    """Which quantity of a token is taken to stay as it is while it is not refreshed.

    Attributes:
        keep: ``keep(x, sigma, x0)``, the quantity.
        recall: ``recall(x, sigma, kept)``, the estimate of x0 that it means now.
    """

    keep: Callable[[Sample, Rows, Sample], Sample]
    recall: Callable[[Sample, Rows, Sample], Sample]


ESTIMATE = Memory(lambda x, sigma, x0: x0, lambda x, sigma, kept: kept)
"""The estimate of x0: the default."""

NOISE = Memory(
    lambda x, sigma, x0: (x - x0) / per_row(sigma, x),
    lambda x, sigma, kept: x - per_row(sigma, x) * kept,
)
"""The noise ``(x - x0)/sigma``, as in the paper; its error counts sigma-fold."""


def nothing(x: Sample) -> PyTree:
    """The context of a backbone that remembers nothing."""
    return ()


@dataclass(frozen=True)
class Regions:
    """How many tokens a step refreshes, which, and when all are.

    Attributes:
        ratio: share of the tokens that a step refreshes, in (0, 1].
        score: the largest are refreshed, see `wdno.accelerate.region_scores`.
        memory: `ESTIMATE` or `NOISE`.
        start: steps at the beginning that refresh all.
        resets: numbers of later steps that do, from 0.
        starvation: rate k by which waiting makes a token more urgent, ``exp(k age)``.
        oldest: steps that a value may be used after the one that found it; no token
            waits longer, whatever its score.
        context: makes what the backbone remembers of all tokens, keys and values, for
            an x: ``networks.token_transformer.forgotten(config)``. Without it tokens
            that are refreshed see each other only.

    Raises:
        ValueError: one of them is out of its range, or so small a ratio cannot refresh
            every token within `oldest` steps.
    """

    ratio: float = 0.5
    score: Score = change
    memory: Memory = ESTIMATE
    start: int = 4
    resets: tuple[int, ...] = ()
    starvation: float = 0.1
    oldest: int = 8
    context: Callable[[Sample], PyTree] = nothing

    def __post_init__(self) -> None:
        """Refuse what would never refresh a token, or not in time."""
        check_counts(start=self.start, oldest=self.oldest)
        if not 0 < self.ratio <= 1:
            raise ValueError(
                "The share of tokens that a step refreshes lies in (0, 1], but `ratio` "
                f"is {self.ratio}. Pass 1 for all of them, that is the plain sampler."
            )
        if not 0 <= self.starvation < math.inf:
            raise ValueError(
                "Waiting makes a token more urgent, never less: `starvation` is finite "
                f"and not negative, but is {self.starvation}. Pass 0 for no such term."
            )
        if any(step < 0 for step in self.resets):
            raise ValueError(
                f"Steps count from 0, but `resets` are {self.resets}. Correct them."
            )
        if self.ratio * (self.oldest + 1) < 1 - _ROUNDING:
            raise ValueError(
                f"A ratio of {self.ratio} refreshes every token once in "
                f"{1 / self.ratio:.1f} steps at best, so none can be at most "
                f"{self.oldest} steps old. Enlarge `ratio` or `oldest`."
            )

    def refreshed(self, tokens: int) -> int:
        """How many of so many tokens a step refreshes."""
        return math.ceil(self.ratio * tokens - _ROUNDING)
