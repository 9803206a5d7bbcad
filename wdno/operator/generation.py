"""One window: from what is known to sampled fields, in steps that can be taken apart.

`prepare` turns what is known into a `Context`, once; `denoiser` gives the function that
a sampler evaluates; `finish` turns sampled coefficients into fields. `generate` is the
three in a row.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Denoise, Fields, Guidance
from wdno.diffusion.denoiser import GuidedDenoiser
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, sample
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients, Estimate, residuals, restored


class Start(NamedTuple):
    """Fields that are nearly right already, to begin sampling from; batch-leading."""

    fields: Fields
    """Every target field."""
    sigma: Float[Array, " batch"]
    """How far back in noise each row is taken: larger levels are left out."""


class Context(NamedTuple):
    """What is known of one window, prepared; a batch-leading pytree."""

    condition: Coefficients
    """Coefficients of what is given, with the features of the estimates."""
    estimate: Estimate | None
    """Estimate of the targets; None for a model of whole fields."""


def prepare(model: WDNO, known: Fields) -> Context:
    """What a model needs of the known fields, whatever is sampled with it later.

    Args:
        model: the operator.
        known: every field of ``model.given``, batch first.
    """
    condition = model.given.analysis(known)
    if model.residual is None:
        return Context(condition, None)
    estimate = model.residual(known, condition, model.targets, model.given)
    return Context(jnp.concatenate([condition, estimate.features], axis=-1), estimate)


def denoiser(
    model: WDNO, context: Context, guidance: Guidance | None = None
) -> Denoise:
    """E[z | noisy z, what is known] as a function of noisy coefficients and levels.

    Args:
        model: the operator.
        context: of the rows that will be denoised.
        guidance: of denoisers of whole fields.
    """
    denoise = model.denoiser.given(context.condition)
    if guidance is None:
        return denoise
    if context.estimate is None:
        return GuidedDenoiser(denoise, guidance)
    return GuidedDenoiser(denoise, _on_residuals(guidance, context.estimate))


def sample_shape(model: WDNO, rows: int) -> tuple[int, ...]:
    """Shape of the coefficients of so many rows: (batch, *grid, channel)."""
    return (rows, *model.targets.coefficient_grid, len(model.targets.channels))


def finish(model: WDNO, context: Context, z: Coefficients) -> Fields:
    """Physical fields of sampled coefficients."""
    estimate = context.estimate
    return model.targets.synthesis(z if estimate is None else restored(z, estimate))


def left_open(model: WDNO, context: Context, fields: Fields) -> Coefficients:
    """What is to be generated for the targets to be these fields; undoes `finish`."""
    z = model.targets.analysis(fields)
    return z if context.estimate is None else residuals(z, context.estimate)


def generate(
    model: WDNO,
    known: Fields,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    key: PRNGKeyArray | RowKeys,
    guidance: Guidance | None = None,
    start: Start | None = None,
) -> Fields:
    """Draw the target fields of one window given the known ones; not compiled.

    Args:
        model: the operator.
        known: every field of ``model.given``, batch first.
        sampler: e.g. ``wdno.samplers.ddim(1.0)``.
        sigmas: decreasing noise levels that end in 0, e.g. ``model.levels(8)``.
        key: one key, or one per row.
        guidance: denoiser -> denoiser, e.g. ``guide(objective, model.targets, 0.1)``.
        start: fields to begin from, instead of noise alone. A row whose level lies
            below the first ones stands in their steps, so its calls are fewer.
    """
    return draw(model, prepare(model, known), sampler, sigmas, key, guidance, start)


def draw(
    model: WDNO,
    context: Context,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    key: PRNGKeyArray | RowKeys,
    guidance: Guidance | None = None,
    start: Start | None = None,
) -> Fields:
    """`generate` from what is prepared, for several draws of one window."""
    shape = sample_shape(model, len(context.condition))
    levels = sigmas.astype(context.condition.dtype)
    origin: Coefficients | float = 0.0
    if start is not None:
        origin = left_open(model, context, start.fields)
        levels = jnp.minimum(levels[:, None], start.sigma[None])
    if len(levels) == 1:
        return finish(model, context, jnp.zeros(shape, levels.dtype))
    denoise = denoiser(model, context, guidance)
    z = sample(sampler, denoise, shape, levels, key, origin)
    return finish(model, context, z)


def _on_residuals(guidance: Guidance, estimate: Estimate) -> Guidance:
    """The guidance of a denoiser of residuals that guidance of whole fields is."""

    def of_residuals(denoise: Denoise) -> Denoise:
        def whole(z: Coefficients, sigma: Float[Array, " batch"]) -> Coefficients:
            return restored(denoise(residuals(z, estimate), sigma), estimate)

        guided = guidance(whole)
        return lambda r, sigma: residuals(
            guided(restored(r, estimate), sigma), estimate
        )

    return of_residuals
