"""Which blocks are in a queue, step by step."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wdno._typing import Fields


class Tick(NamedTuple):
    """One step of all blocks in a queue, the head first."""

    begins: Fields | None
    """What is given of the block that enters, the last of those in the queue."""
    done: tuple[int, ...]
    """Steps that each block has done before."""
    head: int
    """Number of the first block, from 0."""
    leaves: bool
    """Whether this is the last step of the head."""
    last: bool
    """Whether no block comes after the head."""


def ticks(given: Iterable[Fields], steps: int, lag: int) -> Iterator[Tick]:
    """Who is in a queue, from the first block until the last has left it.

    Args:
        given: one entry a block; read one ahead.
        steps: of a block.
        lag: steps that a block is behind the one before.

    Raises:
        ValueError: a block is over before the next one begins.
    """
    if lag > steps:
        raise ValueError(
            f"A block of {steps} steps is over before the next one begins {lag} steps "
            f"later. Take a lag of {steps} or less, or more steps."
        )
    coming = iter(given)
    block, done, head = next(coming, None), [], 0
    while done or block is not None:
        begins = None
        if block is not None and (not done or done[-1] >= lag):
            begins, block = block, next(coming, None)
            done.append(0)
        leaves = done[0] == steps - 1
        alone = len(done) == 1 and block is None
        yield Tick(begins, tuple(done), head, leaves, leaves and alone)
        done = [n + 1 for n in done[leaves:]]
        head += leaves
