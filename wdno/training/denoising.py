"""Which loss trains the denoiser of a recipe."""

from typing import Any

from wdno._typing import Loss, Prepare
from wdno.networks import DynamicGrainConfig
from wdno.operator.model import WDNO
from wdno.training.grain import grain_loss
from wdno.training.loss import loss_of_begun, training_loss
from wdno.training.own_plans import roll_out
from wdno.training.recipe import Recipe


def denoising_of(recipe: Recipe, model: WDNO) -> tuple[Loss[Any], Prepare[Any] | None]:
    """The loss of a recipe's denoiser, and what it makes of its batches itself.

    A network that refines some cells is told the true ones, and learns to choose.
    """
    how = recipe.noise.distribution(), recipe.uniform_weight, recipe.dropout
    if isinstance(recipe.network, DynamicGrainConfig):
        return grain_loss(model, *how), None
    if recipe.own_plans is not None:
        return loss_of_begun(model, *how), roll_out(model, recipe.own_plans)
    return training_loss(model, *how), None
