"""What every verb asks of keys and whole numbers."""

import operator
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["check_key", "check_sampler", "is_key", "is_whole"]


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, of Python or NumPy, from `least` on."""
    if isinstance(value, bool):
        return False
    try:
        return operator.index(value) >= least
    except TypeError:
        return False


def is_key(key: Any) -> bool:
    """Whether a value is typed keys of JAX, traced ones included."""
    return isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def check_key(key: Any) -> None:
    """Refuse what is no single key of JAX.

    Raises:
        ValueError: it is a number, an untyped key or several keys.
    """
    if not is_key(key) or key.shape:
        raise ValueError(
            f"Randomness comes from one typed key, but `key` is {key!r:.80}. Make it "
            "by jax.random.key(seed)."
        )


def check_sampler(sampler: Any) -> None:
    """Refuse what is no sampler, such as the name of one.

    Raises:
        ValueError: it has no `init` and `step`.
    """
    if not (hasattr(sampler, "init") and hasattr(sampler, "step")):
        raise ValueError(
            f"A sampler is a wdno.samplers.Sampler, but got {sampler!r:.80}. Make one, "
            "e.g. by wdno.samplers.ddim(1.0)."
        )
