"""A model as a function of its weights that is traced for any number of rows."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jaxtyping import Array, Int, UInt

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.operator.model import WDNO

__all__ = ["Run", "check_no_python", "narrow", "traced_by_row"]

Run = Callable[[WDNO, Fields, Int[Array, ""], RowKeys], Fields]
"""Fields of one window of rows, given the model, what is known, its number and keys."""


def traced_by_row(
    model: WDNO,
    run: Run,
    inputs: Mapping[str, Mapping[str, Any]],
    platforms: tuple[str, ...],
) -> jax_export.Exported:
    """The program, for any number of rows: one row, which JAX makes many of.

    Code that asks for the number of rows cannot be traced with an unknown one.
    """
    leaves, structure = jax.tree.flatten(model)

    def row(
        weights: list[Array],
        known: Fields,
        number: Int[Array, ""],
        key: UInt[Array, "2"],
    ) -> Fields:
        whole = jax.tree.unflatten(structure, weights)
        alone = {name: values[None] for name, values in known.items()}
        keys = jax.random.wrap_key_data(key[None], impl="threefry2x32")
        return {n: f[0] for n, f in run(whole, alone, number, keys).items()}

    like = jax.ShapeDtypeStruct
    (rows,) = jax_export.symbolic_shape("batch")

    def arguments(rows: Any) -> tuple[Any, ...]:
        return (
            [like(leaf.shape, leaf.dtype) for leaf in leaves],
            {n: like((rows, *e["shape"]), e["dtype"]) for n, e in inputs.items()},
            like((), jnp.int32),
            like((rows, 2), jnp.uint32),
        )

    every_row = jax.jit(jax.vmap(row, (None, 0, None, 0)))
    check_no_python(jax.make_jaxpr(every_row)(*arguments(1)).jaxpr)
    try:
        traced = jax_export.export(every_row, platforms=platforms)(*arguments(rows))
        traced.serialize()
    except (NotImplementedError, ValueError) as error:
        raise ValueError(
            "A model is exported whose every step is one of XLA on every platform, "
            f"but for {list(platforms)}: {error} Name fewer platforms, or replace that "
            "part."
        ) from error
    return traced


def check_no_python(jaxpr: Any) -> None:
    """Refuse a program that calls Python while it runs, however deep within."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if "callback" in name or name.startswith("debug_"):
            raise ValueError(
                "An exported model runs where there is no Python, but this one calls "
                f"it ({name}): its network, objective or sampler has a callback, such "
                "as jax.pure_callback or jax.debug.print. Replace it by JAX."
            )
        for part in jax.tree.leaves(list(equation.params.values())):
            within = getattr(part, "jaxpr", part)
            if hasattr(within, "eqns"):
                check_no_python(within)


def narrow(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same numbers in half precision, if they all are of it, as in shipped files.

    The program computes in the precision of the model: they are widened when read.
    """
    with np.errstate(over="ignore"):
        half = {name: values.astype(np.float16) for name, values in weights.items()}
    same = all((half[name] == values).all() for name, values in weights.items())
    return half if same else dict(weights)
