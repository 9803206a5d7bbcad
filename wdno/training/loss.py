"""What is minimised in training: the denoising error, in units of physical space."""

from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields, Loss
from wdno.diffusion.denoiser import Backbone, denoising_loss
from wdno.diffusion.noise import NoiseDistribution
from wdno.operator.generation import prepare
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import energy_share, residuals


def training_loss(model: WDNO, noise: NoiseDistribution) -> Loss[Backbone]:
    """Denoising loss of the backbone of a model, for `wdno.training.loop.fit`.

    A batch may lie on another grid than the model's own, see `WDNO.on`. Channels count
    by their share of the fields' energy, so that the loss estimates the squared error
    in physical space rather than that of the faintest subband.

    Args:
        model: layouts, preconditioning and residual; its parameters are not used.
        noise: distribution of the noise levels.

    Returns:
        ``loss(backbone, batch, key)`` with a module, such as
        ``model.denoiser.backbone.thaw()``, and physical fields.
    """

    def loss(backbone: Backbone, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
        trained = with_backbone(model, backbone)
        trained = trained.on(batch[model.targets.fields[0].name].shape[1:])
        context = prepare(trained, batch)
        x0 = trained.targets.analysis(residuals(batch, context.estimates))
        weight = energy_share(trained.targets, context.estimates)
        condition = context.condition
        return denoising_loss(trained.denoiser, x0, condition, noise, weight, key)

    return loss
