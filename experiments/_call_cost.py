"""What a compiled call costs: operations and bytes as XLA counts them, and seconds."""

from collections.abc import Callable
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
