"""What is minimised where fine tokens are few: errors, and the choice of cells."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray

from wdno._typing import Fields, Loss
from wdno.diffusion.noise import NoiseDistribution
from wdno.networks.cells import Scores, most
from wdno.networks.dynamic_grain import DynamicGrain
from wdno.networks.layers import Condition, pad_to_multiple
from wdno.networks.patches import Places, place, to_patches
from wdno.operator.generation import left_open, prepare
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients, energy_share
from wdno.training.loss import on_grid_of, training_loss
from wdno.training.recipe import NO_DROPOUT, ConditionDropout
from wdno.wavelets.grain import detail_energy


class Told(NamedTuple):
    """A network that is told the cells, and keeps what it says of them."""

    network: DynamicGrain
    cells: Places | None
    """To be refined; None for those that the network chooses."""
    said: list[Scores]
    """Logits of the cells, of every call that is traced."""

    def estimated(
        self, x: Coefficients, c_noise: Float[Array, " batch"], cond: Condition
    ) -> tuple[Coefficients, Bool[Array, "batch *grid channel"]]:
        """The output, and where there is one: see `diffusion.denoiser`."""
        output, there, grain = self.network.grained(x, c_noise, cond, self.cells)
        self.said.append(grain)
        return output, there

    def __call__(self, *inputs: Any) -> Coefficients:
        """The output alone, zero where there is no estimate."""
        return self.estimated(*inputs)[0]


def grain_loss(
    model: WDNO,
    noise: NoiseDistribution,
    uniform_weight: float = 0.0,
    dropout: ConditionDropout = NO_DROPOUT,
    *,
    map_weight: float = 0.1,
    random_share: float = 0.1,
) -> Loss[DynamicGrain]:
    """Denoising loss in true cells, and the cross-entropy of the choice of cells.

    Cells are those with the most energy of finer details in the clean sample, widened
    as the network's are; in some rows they are random, so that the refinement is not
    surprised by a wrong choice. The error of a cell that is not refined is that of
    details that are zero: no parameter changes it, so the mean of the squared error
    over all coefficients is the paper's loss of each grain on what it owns.

    Args:
        model: with a `DynamicGrain`, whose parameters are not used.
        noise: distribution of the noise levels.
        uniform_weight: as in `training_loss`.
        dropout: as there.
        map_weight: of the cross-entropy.
        random_share: share of rows with random cells.

    Returns:
        ``loss(network, batch, key)`` with physical fields.
    """
    plain = training_loss(model, noise, uniform_weight, dropout)

    def loss(
        network: DynamicGrain, batch: Fields, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        here = on_grid_of(model, batch)
        context = prepare(here, batch)
        x0 = left_open(here, context, batch)
        own, draw, share = jax.random.split(key, 3)
        true = true_cells(network, x0, energy_share(here.targets, context.estimate))
        shape = len(true), *network.cell_grid(x0.shape[1:-1])
        drawn = jax.random.uniform(draw, shape, x0.dtype)
        cells = jnp.where(
            jax.random.bernoulli(share, random_share, (len(true), 1)),
            most(drawn, true.shape[1], (0,) * (x0.ndim - 2)),
            true,
        )
        told = Told(network, cells, [])
        error = plain(told, batch, own)
        return error + map_weight * choice_loss(told.said[0], true)

    return loss


def choice_loss(logits: Scores, cells: Places) -> Float[Array, ""]:
    """Cross-entropy of a choice of cells, mean over all.

    Args:
        logits: of each cell.
        cells: places of the right ones.
    """
    flat = logits.reshape(len(logits), -1, 1)
    ones = jnp.ones((*cells.shape, 1), logits.dtype)
    chosen = place(ones, cells, flat.shape[1])
    return optax.sigmoid_binary_cross_entropy(flat, chosen).mean()


def true_cells(
    network: DynamicGrain,
    x0: Coefficients,
    weight: Float[ArrayLike, "*where"] = 1.0,
) -> Places:
    """Cells of clean samples with the most energy of finer details.

    Args:
        network: which has cells.
        x0: clean coefficients.
        weight: of each channel, or of each coefficient, as in the loss.
    """
    config = network.config
    energy = detail_energy(x0, config.fine, weight)[..., None]
    padded = pad_to_multiple(energy, config.patch)
    scores = to_patches(padded, config.patch).mean(axis=-1)
    return most(scores, config.kept, config.reach)
