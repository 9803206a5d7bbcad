"""What a rollout is given: which arrays, over which frames."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import dtypes
from jaxtyping import Array, Float

from wdno._arrays import working_type
from wdno._typing import Fields
from wdno.inference.record_length import check_windows
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


def rows_over_time(model: WDNO) -> dict[str, int]:
    """What is given over a record, and the frames that there are for one row of it."""
    strides = dict.fromkeys(model.control, 1)
    apart = model.targets.refinement[0]
    return strides | dict.fromkeys(model.coarse.values(), apart)


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
    check_windows(count, model.window, model.past)
