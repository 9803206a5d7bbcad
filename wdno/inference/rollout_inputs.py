"""What a rollout is given: which arrays, over which frames."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import dtypes
from jaxtyping import Array, Float

from wdno._arrays import working_type
from wdno._typing import Fields
from wdno.operator.model import WDNO

_ARRAYS = jax.Array | np.ndarray


def real(fields: Fields) -> Fields:
    """Arrays in single or double precision.

    Raises:
        ValueError: one is no array of real numbers.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(
            "A rollout takes arrays by their names, such as {'u0': u0}, but got a "
            f"{type(fields).__name__}. Put it into a dictionary."
        )
    found = {}
    for name, field in fields.items():
        if not isinstance(field, _ARRAYS):
            raise ValueError(
                f"A rollout takes arrays, but {name!r} is a {type(field).__name__}. "
                "Pass `.values`, or labelled data to wdno.simulate."
            )
        wide = working_type(name, field.dtype)
        found[name] = jnp.asarray(field, dtypes.canonicalize_dtype(wide))
    return found


def strides_of(model: WDNO, initial: Fields, control: Fields) -> dict[str, int]:
    """Frames from one row to the next of what is given over time, by name.

    Raises:
        ValueError: something is missing.
    """
    strides = dict.fromkeys(model.control, 1)
    strides |= dict.fromkeys(model.coarse.values(), model.targets.refinement[0])
    for wanted, came, when in (
        (model.initial.values(), initial, "at the beginning"),
        (strides, control, "over time"),
    ):
        if missing := [name for name in wanted if name not in came]:
            raise ValueError(
                f"A rollout needs the fields {list(wanted)} {when}, but {missing} are "
                f"missing from {sorted(came)}. Add them."
            )
    return strides


def held(
    f: Float[Array, "batch frames *space"], begin: int, end: int
) -> Float[Array, "batch few *space"]:
    """Some frames; beyond the end of the record its last row is repeated."""
    return f[:, np.minimum(np.arange(begin, end), f.shape[1] - 1)]


def check_chain(model: WDNO, count: int) -> None:
    """Refuse to chain so many windows of a model that needs more than a last state.

    Raises:
        ValueError: there is more than one, and the model is given the past.
    """
    if count > 1 and model.past:
        raise ValueError(
            f"Windows are chained by their last state, but this model is given "
            f"{list(model.past)} as well. Ask for {model.window} frames, and begin "
            "anew from what has been observed since."
        )
