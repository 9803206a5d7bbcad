"""One update of a run: gradient, AdamW, average."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Batch, Loss, Prepare
from wdno.training.averaging import PowerLawAverage
from wdno.training.config import TrainingConfig
from wdno.training.devices import Devices
from wdno.training.processes import gathered

__all__ = ["Run", "train_step", "updating"]


def scale_by_rate() -> optax.GradientTransformationExtraArgs:
    """Multiply updates by −rate, an argument of each update instead of a schedule.

    The rate follows the share of a time budget that is used, which no step count knows.
    """

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        rate: Float[Array, ""],
        **others: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.tree.map(lambda u: -rate.astype(u.dtype) * u, updates), state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


class Run(nnx.Module):
    """Everything that a training run changes: model, optimiser state and average."""

    def __init__(
        self,
        model: nnx.Module,
        config: TrainingConfig,
        wrt: nnx.filterlib.Filter = nnx.Param,
    ) -> None:
        """Start from `model`; only parameters that pass the filter `wrt` change."""
        transform = optax.chain(
            optax.clip_by_global_norm(config.gradient_clip),
            optax.scale_by_adam(b2=0.99),
            optax.add_decayed_weights(config.weight_decay),
            scale_by_rate(),
        )
        self.model = model
        self.optimizer = nnx.Optimizer(model, transform, wrt=wrt)
        self.average = PowerLawAverage(model, config.average_width, wrt)

    def averaged(self) -> nnx.Module:
        """The model with its averaged parameters, bound to no device."""
        definition, state = nnx.split(self.average.apply_to(self.model))
        return nnx.merge(definition, gathered(state))


def train_step(
    run: Run,
    loss: Loss,
    batch: Batch,
    rate: Float[Array, ""],
    key: PRNGKeyArray,
    prepare: Prepare | None = None,
) -> dict[str, Float[Array, ""]]:
    """One update in place; returns loss and norm of the gradient before clipping."""
    if prepare is not None:
        key, own = jax.random.split(key)
        batch = prepare(run.average.apply_to(run.model), batch, own)
    wrt = nnx.DiffState(0, run.optimizer.wrt)
    value, gradient = nnx.value_and_grad(loss, argnums=wrt)(run.model, batch, key)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes
        run.optimizer.update(run.model, gradient, rate=rate)
    run.average.follow(run.model, run.optimizer.step[...])
    return {"loss": value, "gradient_norm": optax.tree.norm(gradient)}


def updating(loss: Loss, prepare: Prepare | None, devices: Devices) -> Callable:
    """`train_step` compiled; what it changes is written over, and stays where it is."""

    @nnx.jit(donate_argnames="run")
    def update(
        run: Run, batch: Batch, rate: Float[Array, ""], key: PRNGKeyArray
    ) -> dict[str, Float[Array, ""]]:
        metrics = train_step(run, loss, batch, rate, key, prepare)
        nnx.update(run, devices.kept(nnx.state(run)))
        return metrics

    return update
