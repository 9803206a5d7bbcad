"""Sizes of what is timed beside peers, and what all of these calls have in common."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Call = Callable[[], Any]
Calls = dict[str, Call]
"""By library, ours first: what is timed."""


@dataclass(frozen=True)
class Config:
    """Sizes of what is timed, and how often."""

    shapes: tuple[tuple[int, int, int], ...] = (
        (64, 80, 120),
        (32, 128, 128),
        (1, 640, 960),
    )
    batch: int = 16
    grid: tuple[int, int] = (16, 120)
    modes: tuple[int, int] = (8, 16)
    width: int = 64
    depth: int = 4
    channels: int = 4
    flows: int = 64
    points: int = 120
    cells: int = 127
    repeats: int = 15
    only: str = ""
    """Part of the name of what is timed."""


def ready(call: Callable[..., Any], *values: Any) -> Call:
    """A compiled call that waits for its result."""
    compiled = jax.jit(call)
    return lambda: jax.block_until_ready(compiled(*values))


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Independent normal numbers of single precision."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def library(name: str) -> Any:
    """A module of a peer; PyTorch computes in one thread, as XLA is told to."""
    module = importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    return module
