"""Samplers whose steps refresh some tokens, and recall the estimate of the others.

Late in sampling, the estimate of most of a field hardly changes from step to step. With
a backbone that can be evaluated in some patches of the grid alone (`TokenBackbone`), a
step may refresh those that matter most, at their cost, and use what is remembered of
the others (region-adaptive sampling, RAS, Liu et al. 2025, arXiv 2502.10389). What is
merged is the estimate of x0, before guidance: that acts on the whole of it at every
step, so that old tokens heed an objective as well.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from wdno._typing import Denoise
from wdno.accelerate.region_scores import Evidence
from wdno.accelerate.region_selection import select, urgency
from wdno.accelerate.region_tokens import Tokens, parts, refreshed, tokens_of
from wdno.accelerate.regions import Regions
from wdno.diffusion.denoiser import ConditionalDenoiser
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Rows, Sample, Sampler
from wdno.networks.patches import Places


class RegionState(NamedTuple):
    """What is remembered between steps, batch first."""

    base: PyTree
    """What the plain sampler remembers."""
    kept: Sample
    """Of each point when it was refreshed last."""
    before: Sample
    """At the refresh before, zero if there was none."""
    age: Int[Array, "batch *grid"]
    """Steps since the refresh of each point, the next one included."""
    taken: Int[Array, " batch"]
    """Steps that each row has taken."""
    context: PyTree
    """What the backbone remembers of all tokens."""


@cache  # one object for equal calls: jit compiles once
def region_adaptive(sampler: Sampler, regions: Regions) -> Sampler:
    """The sampler with steps that refresh some tokens only; with ratio 1 itself.

    Takes the place of a sampler wherever one is given, if the model's backbone is a
    `TokenBackbone`. Rows of one batch that are at different stages, as in a stream,
    stay what they would be alone; while some of them are in a dense step and others
    are not, both are computed, so that a stream saves nothing by it.

    With `ddim`, take `eta` = 0: noise that is renewed is seen by refreshed tokens only.
    Guidance must not differentiate through the denoiser; none of the package does.

    Args:
        sampler: the plain one.
        regions: how many tokens are refreshed, which, and when all are.

    Raises:
        ValueError: on the first step, if the backbone takes no `tokens`.

    Example:
        >>> some = region_adaptive(wdno.samplers.dpmpp_2m(), Regions(ratio=0.25))
        >>> wdno.simulate(model, initial, control, sampler=some, steps=24, key=key)
    """

    def init(x: Sample) -> RegionState:
        zeros = jnp.zeros_like(x)
        age = jnp.ones(x.shape[:-1], int)
        taken = jnp.zeros(len(x), int)
        context = regions.context(x)
        return RegionState(sampler.init(x), zeros, zeros, age, taken, context)

    def step(
        denoise: Denoise,
        x: Sample,
        sigma: Rows,
        sigma_next: Rows,
        state: RegionState,
        key: RowKeys,
    ) -> tuple[Sample, RegionState]:
        estimate, guidance = parts(denoise)
        tokens = tokens_of(estimate, x)
        moves, dense = sigma_next < sigma, _dense(state, tokens, regions)
        places = _every(tokens, len(x))
        if (kept := regions.refreshed(tokens.count)) < tokens.count:
            places = jax.lax.cond(
                (moves & ~dense).any(),
                lambda: _places(estimate, tokens, x, sigma, state, key, regions),
                lambda: _every(tokens, len(x))[:, :kept],
            )
        fresh = tokens.marked(places) | _per_point(dense, x)
        asked: list[tuple[Sample, Rows, Sample]] = []
        contexts: list[PyTree] = []

        def merged(x: Sample, sigma: Rows) -> Sample:
            old = regions.memory.recall(x, sigma, state.kept)
            x0, context = refreshed(
                estimate, tokens, x, sigma, old, places, dense | ~moves, state.context
            )
            asked.append((x, sigma, x0))
            contexts.append(context)
            return x0

        guided = guidance(merged)
        x, base = sampler.step(guided, x, sigma, sigma_next, state.base, key)
        new = fresh & _per_point(moves, x)
        latest = regions.memory.keep(*asked[-1])
        return x, RegionState(
            base=base,
            kept=jnp.where(new[..., None], latest, state.kept),
            before=jnp.where(new[..., None], state.kept, state.before),
            age=jnp.where(new, 1, state.age + _per_point(moves, x).astype(int)),
            taken=state.taken + moves.astype(int),
            context=jax.tree.map(
                lambda now, was: jnp.where(per_row(moves, was), now, was),
                contexts[-1],
                state.context,
            ),
        )

    return Sampler(init, step)


def evidence(
    denoise: Denoise,
    x: Sample,
    sigma: Rows,
    state: RegionState,
    key: RowKeys,
    regions: Regions,
) -> Evidence:
    """What scores see at the beginning of a step, for measuring them.

    Args:
        denoise: with guidance or without, which scores do not see.
        x: noisy coefficients.
        sigma: their levels, positive.
        state: before the step.
        key: of the step, one a row.
        regions: of the sampler.
    """
    estimate, _ = parts(denoise)
    return _evidence(estimate, tokens_of(estimate, x), x, sigma, state, key, regions)


def _evidence(
    estimate: ConditionalDenoiser,
    tokens: Tokens,
    x: Sample,
    sigma: Rows,
    state: RegionState,
    key: RowKeys,
    regions: Regions,
) -> Evidence:
    return Evidence(
        remembered=tokens.patches(state.kept),
        before=tokens.patches(state.before),
        recalled=tokens.patches(regions.memory.recall(x, sigma, state.kept)),
        whole=lambda: tokens.patches(estimate(x, sigma)),
        # Not those of the sampler, whose noise would choose the tokens.
        keys=step_keys(key, jnp.ones(len(x), int)),
        grid=tokens.grid,
    )


def _places(
    estimate: ConditionalDenoiser,
    tokens: Tokens,
    x: Sample,
    sigma: Rows,
    state: RegionState,
    key: RowKeys,
    regions: Regions,
) -> Places:
    """The tokens of each row that a step refreshes if it is not a dense one."""
    here = jnp.where(sigma > 0, sigma, 1)
    seen = _evidence(estimate, tokens, x, here, state, key, regions)
    age = tokens.first_points(state.age)
    urgent = urgency(regions.score(seen), age, regions.starvation)
    return select(urgent, age, regions.refreshed(tokens.count), regions.oldest)


def _every(tokens: Tokens, rows: int) -> Places:
    return jnp.broadcast_to(jnp.arange(tokens.count)[None], (rows, tokens.count))


def _dense(
    state: RegionState, tokens: Tokens, regions: Regions
) -> Bool[Array, " batch"]:
    """Which rows refresh all tokens in their next step."""
    if regions.refreshed(tokens.count) == tokens.count:
        return jnp.ones(state.taken.shape, bool)
    resets = jnp.asarray(regions.resets, int)
    return (state.taken < regions.start) | jnp.isin(state.taken, resets)


def _per_point(rows: Bool[Array, " batch"], x: Sample) -> Bool[Array, "batch *grid"]:
    return jnp.broadcast_to(per_row(rows, x)[..., 0], x.shape[:-1])
