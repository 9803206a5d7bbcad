"""Which block is in which stage of a pipeline, tick by tick."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wdno._typing import Fields
from wdno.accelerate.queue_schedule import Tick


class Pass(NamedTuple):
    """One step of one block, on its way through all stages."""

    block: int
    """Number in its record, from 0."""
    done: int
    """Steps before."""
    begins: Fields | None
    """What is given of the block, if it is new."""
    leaves: bool
    """Whether it is the block's last step."""
    last: bool
    """Whether no block comes after it."""


class Work(NamedTuple):
    """One tick of a pipeline: every stage has worked on its block."""

    arrives: Pass | None
    """What has been through all stages."""
    enters: Pass | None
    """What the first stage begins with; None is a bubble."""


def works(queue: Iterable[Tick], stages: int) -> Iterator[Work]:
    """Ticks of a pipeline for those of a queue, without a break between the steps.

    In each step of the queue the newest block enters first and the oldest last. A block
    enters as soon as its own last step and that of the block before it have arrived:
    with more blocks than stages nobody waits.

    Args:
        queue: the steps of all blocks.
        stages: of the pipeline, a tick each.
    """
    inside: deque[Pass | None] = deque([None] * stages)

    def tick(enters: Pass | None) -> Work:
        arrives = inside.pop()
        inside.appendleft(enters)
        return Work(arrives, enters)

    for step in queue:
        newest = len(step.done) - 1
        for place in range(newest, -1, -1):
            block, leaves = step.head + place, step.leaves and place == 0
            begins = step.begins if place == newest else None
            last = leaves and step.last
            enters = Pass(block, step.done[place], begins, leaves, last)
            while {block, block - 1} & _inside(list(inside)[:-1]):
                yield tick(None)
            yield tick(enters)
    while any(inside):
        yield tick(None)


def _inside(passes: Iterable[Pass | None]) -> set[int]:
    return {one.block for one in passes if one is not None}


def utilisation(works: Iterable[Work], stages: int) -> float:
    """Share of the time of all stages in which they have a block."""
    entered = [work.enters is not None for work in works]
    return sum(entered) / (len(entered) - 1)  # the last one only arrives
