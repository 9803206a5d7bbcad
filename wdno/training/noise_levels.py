"""What a denoiser does at each noise level: errors of one call, and of two in a row.

A denoiser is exact where its error is that of the conditional expectation, which rises
with the noise level: less noise is more information. Between two calls a sampler feeds
it its own estimate, and what is wrong with that stays, unless the noise that is added
hides it.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno._typing import Denoise, Fields
from wdno.diffusion.keys import RowKeys, row_normal, step_keys
from wdno.inference.batching import batch_keys, in_batches
from wdno.operator.generation import Context, denoiser, finish, left_open, prepare
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients, energy_weight

Levels = Float[np.ndarray, " level"]


def level_grid(model: WDNO, count: int) -> Levels:
    """So many noise levels over the range of a model's schedule, evenly in ln σ.

    The only one, if it is a ladder of one rung.
    """
    low, high = model.schedule.sigma_range
    return np.geomspace(low, high, count if low < high else 1)


def errors_of_levels(
    model: WDNO, fields: Fields, levels: Levels, *, batch_size: int, key: PRNGKeyArray
) -> xr.Dataset:
    """Error of one denoising of the truth at each noise level.

    ``E(σ) = mean |D(x0 + σ n; σ) - x0|²``, the same noise n at all levels.

    Args:
        model: on the grid of the fields.
        fields: windows as `held_windows` gives them.
        levels: noise levels σ.
        batch_size: windows computed at once.
        key: randomness of the noise.

    Returns:
        ``denoising_error`` on (sigma, field), in the squared units of each field, and
        ``channel_error`` on (sigma, channel), in the units in which coefficients are
        generated: those of σ².
    """
    run = partial(_errors, model, jnp.asarray(levels))
    rows = _by_row(run, fields, batch_size, key)
    names = [quantity.name for quantity in model.targets.fields]
    coords = {"sigma": levels, "field": names, "channel": list(model.targets.channels)}
    return xr.Dataset(
        {
            "denoising_error": (("sigma", "field"), _mean(rows["fields"])),
            "channel_error": (("sigma", "channel"), _mean(rows["channels"])),
        },
        coords,
    )


class TransitionErrors(NamedTuple):
    """Errors of a call that follows on another one, and of one that begins anew."""

    own: Float[np.ndarray, " pair"]
    """At the lower level of each transition, of the model's own estimate."""
    truth: Float[np.ndarray, " level"]
    """At each level, of the truth."""


def transition_errors(
    model: WDNO,
    fields: Fields,
    levels: Levels,
    high: Int[np.ndarray, " pair"],
    low: Int[np.ndarray, " pair"],
    *,
    batch_size: int,
    key: PRNGKeyArray,
) -> TransitionErrors:
    """Errors of denoising an own estimate, and of denoising the truth.

    ``mean |D(e + σ_low n'; σ_low) - x0|²`` with the estimate ``e = D(x0 + σ_high n;
    σ_high)``, and ``E(σ) = mean |D(x0 + σ n'; σ) - x0|²``, weighted to be errors of the
    fields (`energy_weight`), in one unit.

    Args:
        model: on the grid of the fields.
        fields: windows as `held_windows` gives them.
        levels: noise levels.
        high: place in `levels` of the level that each transition begins with.
        low: place of the one that it ends with.
        batch_size: windows computed at once.
        key: randomness of the noise, the same for all transitions.
    """
    run = partial(
        _transitions, model, jnp.asarray(levels), jnp.asarray(high), jnp.asarray(low)
    )
    rows = _by_row(run, fields, batch_size, key)
    return TransitionErrors(_mean(rows["own"]), _mean(rows["truth"]))


def transition_ratios(
    errors: TransitionErrors, low: Int[np.ndarray, " pair"]
) -> Float[np.ndarray, " pair"]:
    """By how much an own estimate in place of the truth raises the error of a call.

    An estimate cannot hold more than there was at the higher level, so that even an
    exact denoiser has at least ``E(σ_high)/E(σ_low)``: near 1 where noise of either
    level hides all that is uncertain.

    Args:
        errors: of transitions.
        low: place of the level that each of them ends with.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # oracles make no error
        return errors.own / errors.truth[low]


def _by_row(
    run: Callable[[Fields, RowKeys], Fields],
    fields: Fields,
    batch_size: int,
    key: PRNGKeyArray,
) -> dict[str, np.ndarray]:
    rows = len(next(iter(fields.values())))
    return in_batches(run, fields, batch_size, batch_keys(key, {"sample": rows}))


@jax.jit
def _errors(
    model: WDNO, levels: Float[Array, " level"], fields: Fields, keys: RowKeys
) -> Fields:
    """Squared errors of each window: (row, level, field) and (row, level, channel)."""
    context, clean, denoise = _prepared(model, fields)
    noise = row_normal(clean.shape, clean.dtype, keys)

    def at(sigma: Float[Array, ""]) -> Fields:
        estimate = _call(denoise, clean, noise, sigma)
        found = finish(model, context, estimate)
        errors = [_by_window(found[name] - fields[name]) for name in found]
        channels = jnp.square(estimate - clean).mean(range(1, clean.ndim - 1))
        return {"fields": jnp.stack(errors, -1), "channels": channels}

    return _rows_first(jax.lax.map(at, levels.astype(clean.dtype)))


@jax.jit
def _transitions(
    model: WDNO,
    levels: Float[Array, " level"],
    high: Int[Array, " pair"],
    low: Int[Array, " pair"],
    fields: Fields,
    keys: RowKeys,
) -> Fields:
    """Weighted squared errors of each window, (row, pair) and (row, level)."""
    context, clean, denoise = _prepared(model, fields)
    weight = energy_weight(model.targets, context.estimate).astype(clean.dtype)
    levels = levels.astype(clean.dtype)
    first, second = (
        row_normal(clean.shape, clean.dtype, step_keys(keys, jnp.full(len(keys), n)))
        for n in range(2)
    )

    def error(estimate: Coefficients) -> Float[Array, " batch"]:
        square = jnp.square(estimate - clean)
        weighted = square * jnp.broadcast_to(weight, square.shape)
        return weighted.mean(range(1, square.ndim))

    def from_own(pair: tuple[Int[Array, ""], Int[Array, ""]]) -> Float[Array, " batch"]:
        own = _call(denoise, clean, first, levels[pair[0]])
        return error(_call(denoise, own, second, levels[pair[1]]))

    def from_truth(sigma: Float[Array, ""]) -> Float[Array, " batch"]:
        return error(_call(denoise, clean, second, sigma))

    own = jax.lax.map(from_own, (high, low))
    return _rows_first({"own": own, "truth": jax.lax.map(from_truth, levels)})


def _prepared(model: WDNO, fields: Fields) -> tuple[Context, Coefficients, Denoise]:
    """What is known, the coefficients to generate, and the function that denoises."""
    context = prepare(model, fields)
    return context, left_open(model, context, fields), denoiser(model, context)


def _call(
    denoise: Denoise, x0: Coefficients, noise: Coefficients, sigma: Float[Array, ""]
) -> Coefficients:
    return denoise(x0 + sigma * noise, jnp.broadcast_to(sigma, len(x0)))


def _by_window(error: Float[Array, "batch *extent"]) -> Float[Array, " batch"]:
    return jnp.square(error).mean(range(1, error.ndim))


def _rows_first(mapped: Fields) -> Fields:
    return jax.tree.map(lambda values: jnp.moveaxis(values, 0, 1), mapped)


def _mean(rows: Float[np.ndarray, "row *rest"]) -> Float[np.ndarray, "*rest"]:
    return rows.mean(axis=0, dtype=np.float64)
