"""Parameters of a model as the arrays of a file, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wdno.operator.card import parameters_of
from wdno.operator.model import WDNO


def rounded(model: WDNO, dtype: Any) -> dict[str, np.ndarray]:
    """Parameters in the precision of the file, by their names there."""
    with np.errstate(over="ignore"):  # said below
        weights = {
            name: np.asarray(value).astype(dtype)
            for name, value in parameters_of(model).items()
        }
    wrong = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if wrong or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            "Weights are saved as floating-point numbers that are finite, but as "
            f"{jnp.dtype(dtype).name} these are not: {wrong[:4] or 'all'}. Choose "
            "another `dtype`, or train the model again."
        )
    return weights


def filled(model: WDNO, weights: Mapping[str, np.ndarray], path: Path) -> WDNO:
    """Put the weights in place; names and shapes must fit one to one."""
    expected = parameters_of(model)
    wrong = sorted(expected.keys() ^ weights.keys()) + sorted(
        name
        for name in expected.keys() & weights.keys()
        if np.shape(weights[name]) != np.shape(expected[name])
    )
    if wrong:
        raise ValueError(
            f"Weights must fit the networks of their card, but in {path} these are "
            f"missing, surplus or of another shape: {wrong}. Were they saved for "
            "another model?"
        )
    # Also within a transform of JAX a loaded model has arrays, and no tracers.
    with jax.ensure_compile_time_eval():
        leaves = [
            jax.device_put(weights[name].astype(like.dtype))
            for name, like in expected.items()
        ]
    return jax.tree.unflatten(jax.tree.structure(model), leaves)
