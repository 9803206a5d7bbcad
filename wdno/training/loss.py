"""What is minimised in training: denoising errors and errors of a mean."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields, Loss
from wdno.diffusion.denoiser import Backbone, Network
from wdno.diffusion.loss import Source, denoising_loss
from wdno.diffusion.noise import NoiseDistribution
from wdno.operator.calibrated import mean_of
from wdno.operator.generation import Start, left_open, prepare
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import energy_share
from wdno.training.recipe import NO_DROPOUT, ConditionDropout


def training_loss(
    model: WDNO,
    noise: NoiseDistribution,
    uniform_weight: float = 0.0,
    dropout: ConditionDropout = NO_DROPOUT,
) -> Loss[Backbone]:
    """Denoising loss of the backbone of a model, for `wdno.training.loop.fit`.

    A batch may lie on another grid than the model's own, see `WDNO.on`. Channels count
    by their share of the fields' energy, so that the loss estimates the squared error
    in physical space rather than that of the faintest subband; a share of the loss may
    count all alike, so that faint subbands are learned as well.

    Args:
        model: layouts, preconditioning and residual; the parameters of its backbone are
            not used.
        noise: distribution of the noise levels.
        uniform_weight: share of the loss, from 0 to 1, in which all coefficients count
            alike, in the units in which they are generated.
        dropout: given fields that are withheld from some rows.

    Returns:
        ``loss(backbone, batch, key)`` with a module, such as
        ``model.denoiser.backbone.thaw()``, and physical fields.
    """

    begun = loss_of_begun(model, noise, uniform_weight, dropout)
    return lambda backbone, batch, key: begun(backbone, ((batch, None),), key)


def loss_of_begun(
    model: WDNO,
    noise: NoiseDistribution,
    uniform_weight: float = 0.0,
    dropout: ConditionDropout = NO_DROPOUT,
) -> Loss[Backbone]:
    """`training_loss` of windows that begin from what is nearly right already.

    Args:
        model: as for `training_loss`, and so are the others.
        noise: levels above that of a start count as that.
        uniform_weight: share of the loss in which all coefficients count alike.
        dropout: given fields that are withheld from some rows.

    Returns:
        ``loss(backbone, batch, key)``, the mean over a tuple of windows that may differ
        in length, each with its `Start`, or None to begin from noise.
    """

    def one(
        backbone: Backbone, fields: Fields, start: Start | None, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        trained = on_grid_of(with_backbone(model, backbone), fields)
        if dropout.names:
            key, own = jax.random.split(key)
            fields = dropout(fields, own)
        context = prepare(trained, fields)
        x0 = left_open(trained, context, fields)
        source = None
        if start is not None:
            source = Source(left_open(trained, context, start.fields), start.sigma)
        weight = energy_share(trained.targets, context.estimate)
        weight = uniform_weight + (1 - uniform_weight) * weight
        condition = context.condition
        return denoising_loss(
            trained.denoiser, x0, condition, noise, weight, key, source
        )

    def loss(
        backbone: Backbone,
        batch: tuple[tuple[Fields, Start | None], ...],
        key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        keys = [key] if len(batch) == 1 else jax.random.split(key, len(batch))
        losses = [one(backbone, *w, k) for w, k in zip(batch, keys, strict=True)]
        return jnp.stack(losses).mean()

    return loss


def mean_loss(model: WDNO) -> Loss[Backbone]:
    """Squared error of a learned mean in physical space, for `wdno.training.loop.fit`.

    ``mean w (F - (z - m) / s)²`` with mean m and scale s of the estimate that it begins
    with and the weights of `energy_share`. Its least value is that of the conditional
    expectation.

    Args:
        model: of a `LearnedMean`, whose parameters are not used.

    Returns:
        ``loss(network, batch, key)``; nothing is random.

    Raises:
        ValueError: the model has no mean to train.
    """
    residual = learned(model)

    def loss(network: Backbone, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
        mean = dataclasses.replace(residual, network=network)
        return mean_error(dataclasses.replace(model, residual=mean), batch)

    return loss


def mean_error(model: WDNO, batch: Fields) -> Float[Array, ""]:
    """Squared error of a mean that has scales, in physical space; see `mean_loss`.

    Args:
        model: with such a mean; its scales are not used.
        batch: physical fields, all that are generated and given.
    """
    residual: Any = mean_of(model.residual)
    plain = dataclasses.replace(model, residual=dataclasses.replace(residual, scale=()))
    plain = on_grid_of(plain, batch)
    context = prepare(plain, batch)
    error = left_open(plain, context, batch)
    weight = energy_share(plain.targets, context.estimate)
    return jnp.mean(jnp.square(error) * weight)


def learned(model: WDNO) -> LearnedMean:
    """The mean of a model that a network has to learn.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(model.residual, LearnedMean):
        raise ValueError(
            "A mean is trained that a network has to learn, but the residual of this "
            f"model is {model.residual}. Give the recipe a `LearnedMean`."
        )
    return model.residual


def with_mean(model: WDNO, network: Network) -> WDNO:
    """The model with another network of its mean.

    Raises:
        ValueError: it has none.
    """
    mean = dataclasses.replace(learned(model), network=network)
    return dataclasses.replace(model, residual=mean)


def on_grid_of(model: WDNO, batch: Fields) -> WDNO:
    """The model on the grid of the fields of a batch, by their names."""
    return model.on(batch[model.targets.fields[0].name].shape[1:])
