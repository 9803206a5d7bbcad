"""The training loss of the official code: the error of the estimated noise."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wdno._typing import Fields, Loss
from wdno.diffusion.denoiser import Backbone
from wdno.diffusion.noise import per_row
from wdno.diffusion.schedules import DiscreteSchedule
from wdno.operator.model import WDNO, with_backbone

Packed = Float[Array, "batch *grid channel"]


def noise_error(
    model: WDNO,
    z: Packed,
    cond: Float[Array, "batch *grid given"],
    sigma: Float[Array, " batch"],
    noise: Packed,
    weight: Float[Array, " channel"],
) -> Float[Array, ""]:
    """``mean weight (F(c_in (z + sigma n)) - n)^2``, with n = 0 where z is known.

    Known entries and padding are part of the mean, although nothing is learned there
    (`docs/official.md`).

    Args:
        model: whose backbone F estimates the noise.
        z: clean arrays.
        cond: their conditions.
        sigma: noise levels.
        noise: standard normal.
        weight: of each channel.
    """
    _, _, c_in, step = model.denoiser.preconditioning(sigma)
    noisy = per_row(c_in, z) * (z + per_row(sigma, z) * noise)
    _, known = jnp.split(cond, 2, axis=-1)
    target = jnp.where(known > 0, 0, noise)
    square = jnp.square(model.denoiser.backbone(noisy, step, cond) - target)
    return jnp.mean(square * jnp.broadcast_to(weight.astype(z.dtype), z.shape))


def training_loss(
    model: WDNO, schedule: DiscreteSchedule, weights: Sequence[float]
) -> Loss[Backbone]:
    """`noise_error` at uniformly drawn steps, for `wdno.training.loop.fit`.

    Args:
        model: layouts and preconditioning; its parameters are not used.
        schedule: whose steps are drawn.
        weights: of the channels: the scales for Burgers, for smoke their mean.
    """

    def loss(backbone: Backbone, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
        trained = with_backbone(model, backbone)
        fields = (*model.targets.fields, *model.given.fields)
        z = model.targets.analysis({q.name: batch[q.name] for q in fields})
        key_step, key_noise = jax.random.split(key)
        step: Int[Array, " batch"] = jax.random.randint(
            key_step, (len(z),), 0, schedule.timesteps
        )
        sigma = jnp.asarray(schedule.table, z.dtype)[step]
        noise = jax.random.normal(key_noise, z.shape, z.dtype)
        cond = model.given.analysis(batch)
        return noise_error(trained, z, cond, sigma, noise, jnp.asarray(weights))

    return loss
