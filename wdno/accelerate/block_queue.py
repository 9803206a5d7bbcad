"""Blocks of time in a queue, each noisier than the one before: records without end.

Windows that are chained wait for each other: the next begins at the last state of the
one before, so that a record of m windows of n steps takes m n denoiser calls in a row.
In a queue the next block begins while the one before is still noisy, at what that one
is expected to become, and is told at every step what has become of it. One call takes
all blocks in the queue one step on; a block leaves it at the head, clean, and another
one enters at the tail, pure noise. What is kept is the queue, whatever the length.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from wdno._arguments import is_whole
from wdno._typing import Fields
from wdno.accelerate import block_arrays as arrays
from wdno.accelerate.block_arrays import Levels, Overlap
from wdno.accelerate.block_noise import BlockNoise, Independent, Noise
from wdno.accelerate.checks import check_levels
from wdno.accelerate.queue_schedule import Tick, ticks
from wdno.diffusion.keys import RowKeys, row_normal, step_keys
from wdno.diffusion.samplers import Sampler
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients


@dataclass(frozen=True)
class BlockQueue:
    """How blocks of time follow each other through a queue (after DualParal [1]).

    A block is a window of the model. It begins ``window - context`` frames after the
    one before, at the state that this one is expected to have there, and its first
    `context` frames are those that the earlier block ends with; in them estimates of
    the later block are replaced by the earlier one's. Both are told anew after every
    step, so that corrections move on by a block a step.

    What differs from [1], whose blocks are rows of a transformer's input: windows keep
    the length that a model was trained with, so context is not concatenated to the
    input but written into estimates and into the given initial state. Features that
    the later block leaves in a cache for the earlier one are replaced by `later`, a
    share of its estimate in the shared frames: any backbone has estimates, and none
    but a transformer such features. That the order of the queue is from tail to head,
    so that a block hears of the step before, is as there.

    Attributes:
        lag: steps that a block is behind the one before. With 1 there are as many
            blocks in the queue as steps, with the number of steps one: plain chained
            windows.
        context: frames that neighbouring blocks share.
        later: share of the later block in what the earlier one takes these to be. What
            comes later does not act back, so 0 is right unless both are uncertain.
        noise: where the noise of a block comes from: `block_noise.Independent`,
            `Overlapping` or `Pooled`.

    Raises:
        ValueError: the lag is no whole number from 1, the context none from 0, or the
            share does not lie between 0 and 1.

    Example:
        >>> blocks = BlockQueue(context=4)
        >>> how = {"steps": 4, "windows": 100, "key": jax.random.key(0)}
        >>> for block in wdno.rollout(model, {"u0": u0}, blocks=blocks, **how):
        ...     look_at(block["u"])  # (batch, window - context, x)

    References:
        [1] Wang et al. 2025, arXiv 2505.21070, section 3, and its published code.
    """

    lag: int = 1
    context: int = 0
    later: float = 0.0
    noise: BlockNoise = Independent()

    def __post_init__(self) -> None:
        """Refuse numbers that make no queue."""
        if not (is_whole(self.lag, 1) and is_whole(self.context, 0)):
            raise ValueError(
                "Blocks are behind each other by 1 step or more and share 0 frames or "
                f"more, but got lag={self.lag!r} and context={self.context!r}. Give "
                "whole numbers."
            )
        if not 0 <= self.later <= 1:
            raise ValueError(
                f"A share lies between 0 and 1, but got later={self.later!r}. Take 0, "
                "or less than a half."
            )

    def stride(self, model: WDNO) -> int:
        """Frames by which each block begins after the one before.

        Raises:
            ValueError: a block of the model is shorter than its context, twice that
                long at least.
        """
        if 2 * self.context > model.window:
            raise ValueError(
                "A block has a context on both sides, but a window of "
                f"{model.window} frames has no room for twice {self.context}. Share "
                f"{model.window // 2} frames or fewer."
            )
        return model.window - self.context

    def depth(self, steps: int) -> int:
        """Largest number of blocks in the queue."""
        return -(-steps // self.lag)

    def run(
        self,
        model: WDNO,
        initial: Fields,
        given: Iterable[Fields],
        *,
        sampler: Sampler,
        sigmas: Float[Array | np.ndarray, " levels"],
        keys: RowKeys,
    ) -> Iterator[Fields]:
        """Blocks of a record of any length, as they leave the queue.

        Args:
            model: of the simulation task.
            initial: states before the first block, and what never changes.
            given: what else is given of each block over its whole window, one after
                another, with no end if need be: ``itertools.repeat({})`` where nothing
                is. One is read ahead.
            sampler: with one evaluation a step.
            sigmas: decreasing noise levels, e.g. ``model.levels(4)``.
            keys: one a row; draws of block n are those of window n of `wdno.rollout`.

        Yields:
            The fields of the `stride` frames until the next block begins, and of the
            last block those of its whole window; what has no frames, as it is.

        Raises:
            ValueError: the levels do not decrease, there are fewer steps than the lag,
                the sampler has another number of evaluations, the context is no whole
                number of rows of coefficients, or a block is shorter than it.
        """
        levels, stride = check_levels(sigmas), self.stride(model)
        check_one_evaluation(sampler)
        steps, rows = len(levels) - 1, len(keys)
        overlap, places = Overlap(self.context, self.later), self.depth(steps)
        coming, noise = iter(given), None
        if (first := next(coming, None)) is None:
            return
        known = {**initial, **first}
        blocks = arrays.opened(model, sampler, known, keys, places, self.context)
        for tick in ticks(chain([first], coming), steps, self.lag):
            if tick.begins is not None:
                place = len(tick.done) - 1
                draws = step_keys(keys, jnp.full(rows, tick.head + place))
                noise = self.next_noise(model, blocks.x[:rows], noise, draws)
                new = tick.begins, noise, jnp.asarray(levels[0]), draws
                blocks = arrays.begun(blocks, jnp.asarray(place), *new, sampler=sampler)
            at = levels_of(tick, levels, places, rows, blocks.x.dtype)
            how = {"sampler": sampler, "rows": rows, "overlap": overlap}
            blocks = arrays.advanced(model, blocks, at, **how)
            if not tick.leaves:
                blocks = arrays.handed_on(model, blocks, rows=rows, stride=stride)
                continue
            yield arrays.leaving(model, blocks, 0, rows, None if tick.last else stride)
            blocks = arrays.moved_up(model, blocks, rows=rows, stride=stride)

    def next_noise(
        self, model: WDNO, like: Coefficients, previous: Noise | None, draws: RowKeys
    ) -> Noise:
        """Noise of a new block; the first has no earlier one.

        Raises:
            ValueError: the context is no whole number of rows of coefficients.
        """
        frames = 2**model.targets.levels
        if self.context % frames:
            raise ValueError(
                f"Blocks share whole rows of coefficients, of {frames} frames each "
                f"here, but got a context of {self.context}. Take a multiple."
            )
        first = step_keys(draws, jnp.zeros(len(draws), int))
        if previous is None:
            return row_normal(like.shape, like.dtype, first)
        return self.noise(previous, self.context // frames, first)


def levels_of(
    tick: Tick, sigmas: np.ndarray, places: int, rows: int, dtype: DTypeLike
) -> Levels:
    """Where each row of so many places is; those without a block stand still."""
    idle = places - len(tick.done)
    here = np.append(sigmas[list(tick.done)], np.zeros(idle))
    there = np.append(sigmas[[n + 1 for n in tick.done]], np.zeros(idle))
    index = np.array([*(n + 1 for n in tick.done), *[0] * idle])
    follows = tick.head + np.arange(places) > 0
    followed = np.array([*(n > 0 for n in tick.done[1:]), *[False] * (idle + 1)])

    def row(values: np.ndarray, dtype: DTypeLike) -> Array:
        return jnp.asarray(np.repeat(values, rows), dtype)

    return Levels(
        sigma=row(here, dtype),
        sigma_next=row(there, dtype),
        index=row(index, int),
        follows=row(follows, bool),
        followed=row(followed, bool),
    )


def check_one_evaluation(sampler: Sampler) -> None:
    """Refuse samplers that ask a denoiser several times, or never, in a step.

    Raises:
        ValueError: the sampler does.
    """
    asked = []

    def denoise(x: Coefficients, sigma: Float[Array, " row"]) -> Coefficients:
        asked.append(sigma)
        return x

    def step(x: Coefficients, sigma: Float[Array, " row"]) -> Coefficients:
        draw = jax.random.split(jax.random.key(0), 1)
        return sampler.step(denoise, x, sigma, sigma / 2, sampler.init(x), draw)[0]

    jax.eval_shape(step, jnp.ones((1, 1, 1)), jnp.ones(1))
    if len(asked) != 1:
        raise ValueError(
            "All blocks of a queue take a step by one call, but this sampler asks "
            f"{len(asked)} times in a step. Take `ddim` or `dpmpp_2m`."
        )
