"""Shared types: the two languages inside the package are `Fields` and functions.

A state of knowledge about a physical system is a dictionary of named, batch-leading
arrays; everything that varies (a denoiser, a guidance, an objective) is a function.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from jaxtyping import Array, Float, PRNGKeyArray

Fields = dict[str, Array]
"""Named physical fields, batch first: ``{"u": Float[Array, "batch time x"], ...}``."""

Denoise = Callable[
    [Float[Array, "batch *grid channel"], Float[Array, " batch"]],
    Float[Array, "batch *grid channel"],
]
"""``denoise(x, sigma)`` estimates E[x0 | x] with one noise level per batch row."""

Guidance = Callable[[Denoise], Denoise]
"""Turns a denoiser into a denoiser that also heeds a wish (objective, bound, …)."""

Objective = Callable[[Fields], Float[Array, " batch"]]
"""One number per row from physical fields; small is good."""

Constraint = Callable[[Fields], Fields]
"""Projects physical fields onto what is allowed; idempotent, every row by itself."""

Batch = Any
"""What one training step sees, a pytree of arrays, batch first."""

Trainable = TypeVar("Trainable")

Loss = Callable[[Trainable, Batch, PRNGKeyArray], Float[Array, ""]]
"""``loss(module, batch, key)``, a scalar."""

Prepare = Callable[[Trainable, Batch, PRNGKeyArray], Batch]
"""``prepare(module, batch, key)``: what a model itself makes of a batch."""
