"""Ensembles for windows of held-out trajectories, as fields and as coefficients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import batch_keys, in_batches
from wdno.operator.generation import draw, prepare
from wdno.operator.model import WDNO

COEFFICIENTS = ":coefficients"
"""Key of the coefficients beside the fields that they are of; no field has a colon."""


def ensemble(
    model: WDNO,
    fields: Fields,
    sigmas: Float[Array, " level"],
    members: int,
    sampler: Sampler,
    *,
    batch_size: int,
    key: PRNGKeyArray,
) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Members of each window and the truth, as fields and as their coefficients.

    Args:
        model: on the grid of the fields.
        fields: windows as `held_windows` gives them.
        sigmas: noise levels of the run, ending in 0.
        members: size of the ensemble.
        sampler: rule of one step in noise level.
        batch_size: windows of members computed at once.
        key: one key; a member's draws depend on the numbers of window and member.

    Returns:
        Fields on (sample, member, *axes) and (sample, *axes), a sample a window; under
        `COEFFICIENTS` those of the layout, with the axis "channel".
    """
    given = {quantity.name: fields[quantity.name] for quantity in model.given.fields}
    rows = len(next(iter(fields.values())))
    run = partial(_drawn, model, sigmas, members, sampler=sampler)
    keys = batch_keys(key, {"sample": rows})
    drawn = in_batches(run, given, max(1, batch_size // members), keys)
    true = {q.name: np.asarray(fields[q.name]) for q in model.targets.fields}
    true[COEFFICIENTS] = np.asarray(model.targets.analysis(fields))
    return (
        _labelled(model, drawn, ("sample", "member")),
        _labelled(model, true, ("sample",)),
    )


@partial(jax.jit, static_argnames=("members", "sampler"))
def _drawn(
    model: WDNO,
    sigmas: Float[Array, " level"],
    members: int,
    known: Fields,
    keys: RowKeys,
    *,
    sampler: Sampler,
) -> Fields:
    """Fields and coefficients on (batch, member, *axes)."""
    context = prepare(model, known)  # once, whatever it costs

    def member(n: Int[Array, ""]) -> Fields:
        own = step_keys(keys, jnp.full(len(keys), n))
        fields = draw(model, context, sampler, sigmas, own)
        return {**fields, COEFFICIENTS: model.targets.analysis(fields)}

    drawn = jax.lax.map(member, jnp.arange(members))
    return {name: jnp.moveaxis(values, 0, 1) for name, values in drawn.items()}


def _labelled(
    model: WDNO, arrays: dict[str, np.ndarray], batch: tuple[str, ...]
) -> dict[str, xr.DataArray]:
    """Arrays by their axes; time counts from the beginning of the window."""
    frames = np.arange(1, model.window + 1)
    time = {"time": float(model.domain.spacing[0]) * frames}
    dims = {quantity.name: quantity.dims for quantity in model.targets.fields}
    dims[COEFFICIENTS] = (*model.targets.dims, "channel")
    labelled = {}
    for name, own in dims.items():
        labelled[name] = xr.DataArray(arrays[name], dims=(*batch, *own))
        if name != COEFFICIENTS and "time" in own:
            labelled[name] = labelled[name].assign_coords(time)
    channels = {"channel": list(model.targets.channels)}
    labelled[COEFFICIENTS] = labelled[COEFFICIENTS].assign_coords(channels)
    return labelled
