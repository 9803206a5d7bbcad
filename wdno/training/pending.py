"""Steps of training that the device was given and nobody has looked at."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

IN_FLIGHT = 2
"""Steps that the device may still have to do when it is given another.

With one it does not wait for the host, with two not even for a host that is late.
"""

Metrics = Mapping[str, Float[Array | np.ndarray, ""]]


class Step(NamedTuple):
    """A step by its number, with the rows of its batch and what it gave."""

    number: int
    rows: int
    metrics: Metrics


class Pending:
    """Steps that were begun; their metrics stay on the device until they are taken."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: Step) -> None:
        """One more."""
        self._steps.append(step)

    def wait(self) -> None:
        """Until no more than `IN_FLIGHT` are left to do, so that a clock is right.

        Steps are done in their order: it is enough to wait for one of them.
        """
        jax.block_until_ready(
            [step.metrics for step in self._steps[-IN_FLIGHT - 1 : -IN_FLIGHT]]
        )

    def take(self) -> tuple[list[Step], Step | None]:
        """Wait for all; those before the first that is not finite, and that one."""
        numbers = jax.device_get([step.metrics for step in self._steps])
        pairs = zip(self._steps, numbers, strict=True)
        steps = [step._replace(metrics=metrics) for step, metrics in pairs]
        self._steps = []
        for place, step in enumerate(steps):
            if not np.isfinite(list(step.metrics.values())).all():
                return steps[:place], step
        return steps, None


def means(steps: Sequence[Step]) -> dict[str, float]:
    """Of each metric over the steps."""
    return {
        name: float(np.mean([step.metrics[name] for step in steps], dtype=float))
        for name in steps[0].metrics
    }
