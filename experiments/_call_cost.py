"""What a compiled call costs: operations and bytes as XLA counts them, and seconds."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

import jax
from _results import best
from jaxtyping import Array


class Cost(NamedTuple):
    """Of one call."""

    operations: float
    seconds: float
    bytes: float


def cost(call: Callable[..., Array], repeats: int, *arguments: Any) -> Cost:
    """Of a function once compiled."""
    compiled = jax.jit(call).lower(*arguments).compile()
    counted = compiled.cost_analysis() or {}
    seconds = best(lambda: compiled(*arguments), repeats)
    flops, moved = counted.get("flops", 0.0), counted.get("bytes accessed", 0.0)
    return Cost(float(flops), seconds, float(moved))


def medians(
    calls: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Median seconds of compiled calls in turn, so that all see the same machine."""
    for call in calls.values():
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - begin)
    return {name: median(seconds) for name, seconds in times.items()}
