"""Asynchronous levels: one window whose later ticks are noisier (CL-DiffPhyCon).

Rows of coefficients that belong to the n-th tick from now are at the n-th noise level,
so that one call a tick finishes the next tick's command and brings the others one level
on (arXiv 2408.03124, section 4). The first window is brought to that staircase by as
many calls as there are ticks. A network learns the staircase and the way to it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from _planners import HORIZON
from jaxtyping import Array, Float

import wdno
from wdno._typing import Fields, Loss
from wdno.diffusion.denoiser import Backbone
from wdno.diffusion.loss import LARGEST_WEIGHT
from wdno.operator.generation import finish, left_open, prepare, sample_shape
from wdno.operator.model import with_backbone
from wdno.operator.residual import energy_share

Coefficients = Float[Array, "batch *grid channel"]
Stairs = Float[Array, " row"]


def stairs(model: wdno.WDNO, tick: int, frames: int, done: Any) -> Stairs:
    """Level of each row of coefficients before a call, `done` calls from noise."""
    ticks = HORIZON // tick
    rising = model.levels(ticks)[::-1]  # 0 = s_0 < s_1 < …
    rows = tick // 2**model.targets.levels
    own = jnp.repeat(rising[1 : frames // tick + 1], rows)
    return jnp.maximum(own, rising[ticks - done])


def estimate(
    model: wdno.WDNO, x: Coefficients, sigma: Stairs, condition: Coefficients
) -> Coefficients:
    """D(x; σ) with a level for each row; the network is told that of the first."""
    denoiser = model.denoiser
    skip, out, scale, said = (
        part.reshape(-1, *(1,) * (x.ndim - 2))
        for part in denoiser.preconditioning(sigma)
    )
    told = jnp.broadcast_to(said.reshape(-1)[0], (len(x),))
    return skip * x + out * denoiser.backbone(scale * x, told, condition)


def staircase_loss(model: wdno.WDNO, tick: int, observe: Any) -> Loss[Backbone]:
    """Denoising loss on the staircase, and for whole windows on the way to it."""

    def loss(backbone: Backbone, fields: Fields, key: jax.Array) -> jax.Array:
        told, way, noise = jax.random.split(key, 3)
        fields = observe(fields, told)
        frames = fields["u"].shape[1]
        trained = with_backbone(model, backbone).on((frames, *model.targets.grid[1:]))
        context = prepare(trained, fields)
        x0 = left_open(trained, context, fields)
        ticks = HORIZON // tick
        done = ticks - 1
        if frames == HORIZON:
            done = jax.random.randint(way, (), 0, ticks)
        sigma = stairs(model, tick, frames, done)
        by_row = sigma.reshape(-1, *(1,) * (x0.ndim - 2))
        x = x0 + by_row * jax.random.normal(noise, x0.shape, x0.dtype)
        error = estimate(trained, x, sigma, context.condition) - x0
        balance = jnp.minimum(1 + 1 / jnp.square(by_row), LARGEST_WEIGHT)
        weight = energy_share(trained.targets, context.estimate)
        return jnp.mean(balance * weight * jnp.square(error))

    return loss


class Asynchronous:
    """Plans of one system after another appointment, tick after tick, in order."""

    def __init__(self, model: wdno.WDNO, tick: int) -> None:
        self.model, self.tick = model, tick
        self._x: Coefficients | None = None

    def plan(self, frames: int, known: Fields, key: jax.Array) -> Fields:
        """States and controls of the frames that are left."""
        if frames == HORIZON:
            first = self.model.levels(1)[0]
            shape = sample_shape(self.model, len(known["u0"]))
            self._x = first * jax.random.normal(key, shape)
        here = self.model.on((frames, *self.model.targets.grid[1:]))
        x, plan = _advanced(here, known, self._x, self.tick, frames)
        self._x = x[:, self.tick // 2**self.model.targets.levels :]
        return plan


def _steps(frames: int, tick: int) -> range:
    """Numbers of calls that are done before each of this tick's."""
    last = HORIZON // tick
    return range(last) if frames == HORIZON else range(last - 1, last)


@jax.jit(static_argnums=(3, 4))
def _advanced(
    model: wdno.WDNO, known: Fields, x: Coefficients, tick: int, frames: int
) -> tuple[Coefficients, Fields]:
    context = prepare(model, known)
    rows = tick // 2**model.targets.levels
    estimated = x
    for done in _steps(frames, tick):
        sigma = stairs(model, tick, frames, done)
        if done + 1 < HORIZON // tick:
            after = stairs(model, tick, frames, done + 1)
        else:  # one stair down
            after = jnp.concatenate([jnp.zeros(rows), sigma[:-rows]])
        estimated = estimate(model, x, sigma, context.condition)
        ratio = (after / sigma).reshape(-1, *(1,) * (x.ndim - 2))
        x = estimated + ratio * (x - estimated)
    return x, finish(model, context, estimated)
