"""Ensembles that scatter as far as they are off, subband by subband.

With the estimate m, s of a model and residuals r that its network draws, members are
made of ``z = a m + k s r`` with two numbers for each channel (`Calibrated`). On windows
that the model was not trained on, with mean b and variance V of M members of s r,

``min_a <(z - a m - k b)²>``    and    ``k² V (M + 1) / M = <(z - a m - k b)²>``

say that the mean is the best one on this line, and that the squared error of the mean
of M members is what a truth that is exchangeable with them would have. The first is
linear in a, and leaves a quadratic equation for k. Members are also to have the energy
of the truth, ``<(a m + k b)²> + k² V (M - 1) / M = <z²>``. One k has both where b is
what the residual is on average. Where a network scatters too much or too little around
that, k is the geometric mean of the two.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno._arguments import check_sampler, is_whole
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.samplers import Sampler, dpmpp_2m, sample
from wdno.inference.batching import batch_keys, check_call, in_batches
from wdno.operator.calibrated import Calibrated, uncalibrated
from wdno.operator.generation import denoiser, prepare
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients, nothing_known
from wdno.training.held_out import held_windows, on_points_of

ROUNDING = 1e-10
"""Share of the energy of a channel below which an error is one of single precision."""

PerChannel = Float[np.ndarray, " channel"]


class Moments(NamedTuple):
    """Means of products over windows and places, for each channel."""

    error: PerChannel
    """Of the mean: (z - m)²."""
    error_mean: PerChannel
    """(z - m) m."""
    mean: PerChannel
    """m²."""
    error_left: PerChannel
    """(z - m) b, with the mean b of the members of s r."""
    mean_left: PerChannel
    """m b."""
    left: PerChannel
    """b²."""
    variance: PerChannel
    """V of the members of s r, divided by M - 1."""


def calibrate(
    model: WDNO,
    held_out: xr.Dataset,
    *,
    calls: int = 4,
    members: int = 8,
    sampler: Sampler | None = None,
    batch_size: int = 64,
    key: PRNGKeyArray,
) -> WDNO:
    """The model with a slope of its mean and a factor of its scale for each channel.

    Networks stay as they are; a calibration that the model has is replaced. Every
    window is taken by itself, from the true state before it. The numbers belong to
    ensembles of so many calls by that sampler: others are spread otherwise.

    Args:
        model: a trained model of any task.
        held_out: trajectories on (sample, time, *space) that neither networks nor
            scales were fitted to; every window of theirs is used. Errors of models are
            heavy-tailed: some hundred windows are few.
        calls: denoiser calls of the ensembles, per window.
        members: of the ensembles that are drawn here; users may draw any number.
        sampler: of the ensembles; by default `samplers.dpmpp_2m`.
        batch_size: windows computed at once; bounds the memory and changes nothing
            else.
        key: randomness of all noise.

    Raises:
        ValueError: there are fewer than two members or one call, the data are not for
            this model, or no factor makes the spread of a channel its error: members
            hardly differ, or what they have in common, which is scaled with the rest,
            is most of what is drawn, as in an exact model of whole fields.

    Example:
        >>> model = wdno.calibrate(model, held_out, calls=8, key=jax.random.key(0))
        >>> wdno.save(model, "runs/heat/calibrated")
    """
    check_call(model, key, held_out=held_out)
    if not (is_whole(members, 2) and is_whole(calls, 1)):
        raise ValueError(
            "Ensembles are calibrated that have two members or more, of one denoiser "
            f"call or more, but got members={members} and calls={calls}. Ask for more."
        )
    sampler = dpmpp_2m() if sampler is None else sampler
    check_sampler(sampler)
    plain = replace(model, residual=uncalibrated(model.residual))
    placed = on_points_of(plain, held_out)
    fields = held_windows(placed, held_out)
    rows = len(next(iter(fields.values())))
    run = partial(_moments, placed, placed.levels(calls), members, sampler=sampler)
    keys = batch_keys(key, {"sample": rows})
    by_row = in_batches(run, fields, batch_size, keys)
    moments = Moments(*(by_row[n].mean(0, dtype=float) for n in Moments._fields))
    slope, factor = slope_and_factor(moments, members)
    if not np.isfinite(factor).all():
        names = np.asarray(model.targets.channels)[~np.isfinite(factor)].tolist()
        raise ValueError(
            "Members are scaled until they scatter as far as their mean is off, but "
            f"with calls={calls} those of {names[:4]} lie further off than they "
            "scatter at any scale. Take more calls or another sampler, or a model "
            "whose mean is known beforehand (`LearnedMean`)."
        )
    found = Calibrated(plain.residual, tuple(slope.tolist()), tuple(factor.tolist()))
    return replace(plain, residual=found)


def slope_and_factor(moments: Moments, members: int) -> tuple[PerChannel, PerChannel]:
    """The solution a, k of the equations above; 1 where nothing is left open.

    Args:
        moments: of the estimate and of what is drawn.
        members: M, that these were taken of.

    Returns:
        Slopes and factors; not finite where no factor makes the spread the error.
    """
    there = moments.mean > 0
    share = np.divide(1.0, moments.mean, where=there, out=np.zeros(len(there)))
    # What is orthogonal to the mean of errors and of what is drawn.
    error = moments.error - share * moments.error_mean**2
    both = moments.error_left - share * moments.error_mean * moments.mean_left
    left = moments.left - share * moments.mean_left**2
    excess = moments.variance * (members + 1) / members - left
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = error / (both + np.sqrt(both**2 + excess * error))
        drawn = left + moments.variance * (members - 1) / members
        factor = np.sqrt(np.where(spread > 0, spread, np.nan) * np.sqrt(error / drawn))
    energy = moments.error + 2 * moments.error_mean + moments.mean
    left_open = error > ROUNDING * energy
    factor = np.where(left_open, factor, 1.0)
    slope = 1 + share * (moments.error_mean - factor * moments.mean_left)
    return np.where(left_open, slope, 1.0), factor


@partial(jax.jit, static_argnames=("members", "sampler"))
def _moments(
    model: WDNO,
    sigmas: Float[Array, " level"],
    members: int,
    fields: Fields,
    keys: RowKeys,
    *,
    sampler: Sampler,
) -> dict[str, Float[Array, "batch channel"]]:
    """`Moments` of each window by their names."""

    def seen(z: Coefficients) -> Coefficients:
        """As fields have them: what the layout holds twice is one number."""
        return model.targets.analysis(model.targets.synthesis(z))

    context = prepare(model, fields)
    estimate = context.estimate
    if estimate is None:
        estimate = nothing_known(context.condition, model.targets)
    denoise, mean = denoiser(model, context), seen(estimate.mean)
    error = model.targets.analysis(fields) - mean
    levels = sigmas.astype(error.dtype)

    def add(
        sums: tuple[Coefficients, Coefficients], n: Int[Array, ""]
    ) -> tuple[tuple[Coefficients, Coefficients], None]:
        own = step_keys(keys, jnp.full(len(keys), n))
        r = sample(sampler, denoise, error.shape, levels, own)
        left = seen(estimate.scale * r)
        return (sums[0] + left, sums[1] + jnp.square(left)), None

    nothing = jnp.zeros_like(error)
    sums, _ = jax.lax.scan(add, (nothing, nothing), jnp.arange(members))
    left = sums[0] / members
    variance = (sums[1] - members * jnp.square(left)) / (members - 1)
    products = Moments(
        jnp.square(error),
        error * mean,
        jnp.square(mean),
        error * left,
        mean * left,
        jnp.square(left),
        variance,
    )._asdict()
    places = range(1, error.ndim - 1)
    return {name: product.mean(places) for name, product in products.items()}
