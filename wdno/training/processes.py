"""Processes that train one model together, each on its own host and its own data.

They were joined by `jax.distributed.initialize`, or there is one, for which all of this
is nothing. All of them run the same program on equal terms: what they decide by has to
be the same, and only the first one writes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

__all__ = [
    "ProcessLost",
    "agreed",
    "check_alike",
    "gathered",
    "is_first",
    "of_first",
    "others_needed",
]

Tree = TypeVar("Tree")


class ProcessLost(ConnectionError):
    """Another process has died, without which this one cannot go on."""


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


@contextmanager
def others_needed(resumption: Callable[[], str]) -> Iterator[None]:
    """Say what an error of communication means, and how to go on.

    Raises:
        ProcessLost: in place of what JAX raises where a process does not answer.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        raise ProcessLost(
            f"Processes that train one model need each other: {jax.process_count()} "
            "began, and one of them has stopped or is out of reach. "
            f"{resumption()} Begin all of them again."
        ) from error


def agreed(read: Callable[[], float]) -> Callable[[], float]:
    """The largest of what all processes read, at the price of waiting for them.

    Each of them has to ask equally often.
    """
    if jax.process_count() == 1:
        return read
    return lambda: float(multihost_utils.process_allgather(np.float32(read())).max())


def gathered(tree: Tree) -> Tree:
    """The values of arrays that may lie on devices of other processes, at all of them.

    Bound to no device, so that they can be computed with together with anything.
    """

    def whole(array: Any) -> Any:
        if not isinstance(array, jax.Array):
            return array
        if not (array.is_fully_addressable or array.is_fully_replicated):
            array = multihost_utils.process_allgather(array, tiled=True)
        return jax.device_put(np.asarray(array))

    return jax.tree.map(whole, tree)


def of_first(tree: Tree) -> Tree:
    """The values of the first process, at all of them.

    The same program may give other last digits on another kind of processor, and what
    is compiled into a program must not differ.
    """
    if jax.process_count() == 1:
        return tree
    found = multihost_utils.broadcast_one_to_all(tree)
    return jax.tree.map(lambda own, sent: jnp.asarray(sent, own.dtype), tree, found)


def check_alike(facts: Mapping[str, Any]) -> None:
    """Refuse processes that do not do the same.

    Args:
        facts: what has to be the same, by name, as it stands in JSON.

    Raises:
        ValueError: something is not.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    longest = int(multihost_utils.process_allgather(np.int32(len(own))).max())
    padded = np.pad(own, (0, longest - len(own)), constant_values=ord(" "))
    texts = multihost_utils.process_allgather(padded)
    first, *others = (json.loads(text.tobytes()) for text in texts)
    for number, other in enumerate(others, 1):
        wrong = [n for n in {**first, **other} if first.get(n) != other.get(n)]
        if wrong:
            name = wrong[0]
            raise ValueError(
                "Processes that train one model have the same versions, recipe, data "
                f"and rates, but {wrong} differ: {name} is {first.get(name)!r:.200} of "
                f"process 0 and {other.get(name)!r:.200} of process {number}. Give all "
                "the same."
            )
