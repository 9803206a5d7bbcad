"""Super-resolution as the official inference does it, array by array.

`wdno.super_resolve` runs official refiners as it runs others: coarse states come as
fields, which any model, solver or measurement may have made. The official inference
hands coefficients on instead, and lays out two conditions otherwise than its training.
For its numbers, a `Context` is made here in place of `generation.prepare`:

    coarse = written_over(prepare(base, known), z)  # z: sampled
    context = handed_on(refiner, known_finer, base, coarse)
    context = closed_by_zeros(refiner, context)  # or density_interleaved, for smoke
"""

import jax.numpy as jnp
import numpy as np

from wdno._typing import Fields
from wdno.official.array_layout import TiledConditions
from wdno.official.channel_groups import Subbands
from wdno.official.tiling import Packed, Tiling
from wdno.operator.generation import Context
from wdno.operator.model import WDNO
from wdno.wavelets.field import Role


def written_over(context: Context, z: Packed) -> Packed:
    """Sampled arrays with what is known in its place."""
    values, known = jnp.split(context.condition, 2, axis=-1)
    return jnp.where(known > 0, values, z)


def handed_on(refiner: WDNO, known: Fields, coarse: WDNO, z: Packed) -> Context:
    """`prepare` with coarse coefficients as they were generated.

    Their fields would have others: of an odd number of instants the last row of
    coefficients is half free, zero-padded wavelets have more coefficients than samples,
    and the generated first instant would give way to the initial state.

    Args:
        refiner: on the grid of the finer array.
        known: what it is given, but for coarse fields.
        coarse: model of the coarser array.
        z: that array, with what is known in it.

    Raises:
        ValueError: a given field is missing, z has another shape, or a model is none
            of the official code.
    """
    source, tiling = _tiling(coarse), _tiling(refiner)
    fields = refiner.given.fields
    own = tuple(q for q in fields if q.role is not Role.COARSE)
    values, _ = jnp.split(TiledConditions(tiling, own).analysis(known), 2, axis=-1)
    z, parts = source.in_units(z), []
    subbands = {
        slot.record.name: slot.take(source.geometry, z[..., place])
        for slot, place in source.places()
        if isinstance(slot, Subbands)
    }
    for slot, place in tiling.places():
        part = values[..., place]
        if isinstance(slot, Subbands) and slot.record.fine:
            part = slot.place(tiling.geometry, subbands[slot.record.fine])
            divisor = jnp.asarray(tiling.divisor[place], z.dtype)
            part = part / jnp.broadcast_to(divisor, part.shape)
        parts.append(part)
    mask = jnp.asarray(tiling.known([q.name for q in fields]), z.dtype)
    parts.append(jnp.broadcast_to(mask, values.shape))
    return Context(jnp.concatenate(parts, axis=-1), {})


def closed_by_zeros(refiner: WDNO, context: Context) -> Context:
    """Burgers' force with zeros in the row in which training has its last row again."""
    tiling = _tiling(refiner)
    rows = tiling.geometry.packing(tiling.geometry.dims).grids[-1][0]
    values, mask = jnp.split(context.condition, 2, axis=-1)
    values = values.at[:, rows:, :, _place(tiling, "f")].set(0)
    return context._replace(condition=jnp.concatenate([values, mask], axis=-1))


def density_interleaved(refiner: WDNO, context: Context) -> Context:
    """The four subbands of the initial density in turn, where training has bands."""
    tiling = _tiling(refiner)
    slots, place = np.arange(tiling.geometry.padded[0]), _place(tiling, "density0")
    first_of_band = slots % 4 * (len(slots) // 4)
    bands = context.condition[..., place]
    condition = context.condition.at[..., place].set(bands[:, first_of_band])
    return context._replace(condition=condition)


def _tiling(model: WDNO) -> Tiling:
    if not isinstance(model.given, TiledConditions):
        raise ValueError(
            "Arrays are handed on between models of the official code, but this one is "
            f"given {type(model.given).__name__}. Use `wdno.super_resolve`."
        )
    return model.given.tiling


def _place(tiling: Tiling, name: str) -> slice:
    """Channels of the slot that holds a record."""
    return next(
        place
        for slot, place in tiling.places()
        if name in [record.name for record in slot.records]
    )
