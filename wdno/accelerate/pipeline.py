"""The blocks of a queue, and the layers of a transformer, over several devices.

Every device holds some layers of the network and no other; blocks of a queue go from
device to device, so that all are at work on different blocks of time at once
(DualParal, Wang et al. 2025, arXiv 2505.21070, section 3). What goes on are features of
patches, over a ring: what comes out of the last stage is back where it entered.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.accelerate import block_arrays as arrays
from wdno.accelerate.block_queue import BlockQueue, check_one_evaluation
from wdno.accelerate.checks import check_levels
from wdno.accelerate.pipeline_arrays import move, opened, with_block, worked
from wdno.accelerate.pipeline_schedule import works
from wdno.accelerate.pipeline_stages import staged
from wdno.accelerate.queue_schedule import ticks
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.samplers import Sampler
from wdno.operator.model import WDNO


@dataclass(frozen=True)
class PipelinedQueue:
    """A `BlockQueue` whose model is a transformer, in stages on several devices.

    It makes the same blocks as the queue alone, from the same keys, and takes its place
    in `wdno.rollout`. The layers of the backbone are spread evenly; embedding, head and
    what the model estimates beforehand are on every device. Every block has its own
    history of the sampler. With N devices, B blocks and T steps, B and T above N, the
    stages are at work for a share ``T B / (T B + N² - 1)`` of the time; the paper has
    N² - N - 1, not counting how the first block comes in and the last goes out.

    Attributes:
        queue: how blocks follow each other.
        devices: of the stages, in their order.

    Raises:
        ValueError: there is no device, or an earlier block is told of the later one,
            which is still inside.

    Example:
        >>> blocks = PipelinedQueue(BlockQueue(), tuple(jax.devices()))
        >>> parts = wdno.rollout(model, {"u0": u0}, blocks=blocks, steps=8, key=key)
    """

    queue: BlockQueue
    devices: Sequence[jax.Device]  # pyright: ignore[reportInvalidTypeForm]

    def __post_init__(self) -> None:
        """Refuse what makes no pipeline."""
        if not self.devices:
            raise ValueError("A pipeline has one device or more. Pass jax.devices().")
        if self.queue.later > 0:
            raise ValueError(
                "In a pipeline later blocks are on their way when an earlier one "
                f"enters, but got later={self.queue.later}. Take 0."
            )

    def stride(self, model: WDNO) -> int:
        """Frames by which each block begins after the one before."""
        return self.queue.stride(model)

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
        """Blocks as they leave the queue; see `BlockQueue.run`.

        Raises:
            ValueError: what `BlockQueue.run` refuses, the backbone is no transformer or
                has layers that cannot be spread evenly, or there are fewer blocks in
                the queue than devices.
        """
        levels, queue = check_levels(sigmas), self.queue
        check_one_evaluation(sampler)
        steps, stages = len(levels) - 1, len(self.devices)
        if queue.depth(steps) < stages:
            raise ValueError(
                f"Every device works on a block of its own, but with {steps} steps and "
                f"a lag of {queue.lag} there are at most {queue.depth(steps)} in the "
                f"queue of {stages} devices. Take more steps, or fewer devices."
            )
        places, rows = queue.depth(steps) + 1, len(keys)
        coming, noise = iter(given), None
        if (first := next(coming, None)) is None:
            return
        pipeline, known = staged(model, self.devices), {**initial, **first}
        how = {"sampler": sampler, "rows": rows, "context": queue.context}
        flight = opened(pipeline, known, keys, places, **how)
        plan = ticks(chain([first], coming), steps, queue.lag)
        for work in works(plan, stages):
            new = work.enters
            if new is not None and new.begins is not None:
                draws = step_keys(keys, jnp.full(rows, new.block))
                like = flight.blocks.x[:rows]
                noise = queue.next_noise(model, like, noise, draws)
                flight = with_block(
                    flight,
                    jnp.asarray(new.block % places),
                    new.begins,
                    noise,
                    jnp.asarray(levels[0]),
                    draws,
                    sampler=sampler,
                )
            out, into = (move(part, levels, places) for part in work)
            flight = worked(pipeline, flight, out, into, **how)
            if work.arrives is not None and work.arrives.leaves:
                place = work.arrives.block % places
                frames = None if work.arrives.last else self.stride(model)
                yield arrays.leaving(model, flight.blocks, place, rows, frames)
