"""One update of a run: gradient, AdamW, average."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from wdno._typing import Batch, Loss, Prepare
from wdno.networks.layers import BLOCK_END
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
        self.model, self.config = model, config
        self.optimizer = nnx.Optimizer(model, transform, wrt=wrt)
        self.average = PowerLawAverage(model, config.average_width, wrt)

    def averaged(self) -> Any:
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
    value, gradient = mean_gradient(run, loss, batch, key)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes
        run.optimizer.update(run.model, gradient, rate=rate)
    run.average.follow(run.model, run.optimizer.step[...])
    return {"loss": value, "gradient_norm": optax.tree.norm(gradient)}


def mean_gradient(
    run: Run, loss: Loss, batch: Batch, key: PRNGKeyArray
) -> tuple[Float[Array, ""], PyTree]:
    """Loss and gradient of a batch, the means over its pieces.

    Raises:
        ValueError: the pieces do not divide the batch.
    """
    config = run.config
    definition, changing, fixed = nnx.split(run.model, run.optimizer.wrt, ...)

    def of(changing: PyTree, part: Batch, key: PRNGKeyArray) -> Float[Array, ""]:
        return loss(nnx.merge(definition, changing, fixed), part, key)

    slope = jax.value_and_grad(recomputing(of) if config.recompute else of)
    if config.pieces == 1:
        return slope(changing, batch, key)

    def add(total: Any, one: tuple[Batch, PRNGKeyArray]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, slope(changing, *one)), None

    parts = jax.tree.map(partial(_dealt, config.pieces), batch)
    keys = jax.random.split(key, config.pieces)
    like = jax.eval_shape(slope, changing, *jax.tree.map(lambda x: x[0], (parts, keys)))
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    total, _ = jax.lax.scan(add, nothing, (parts, keys))
    return jax.tree.map(lambda x: x / config.pieces, total)


def recomputing(loss: Callable) -> Callable:
    """The same, of which a gradient keeps no features but those at ends of blocks.

    Others are computed anew (Chen et al. 2016, arXiv 1604.06174), unless the compiler
    finds that it has them: that of processors does, and keeps them.
    """
    between = jax.checkpoint_policies.save_only_these_names(BLOCK_END)
    return jax.checkpoint(loss, policy=between)


def _dealt(
    pieces: int, rows: Shaped[Array, "batch *axes"]
) -> Shaped[Array, "{pieces} part *axes"]:
    """Rows in turn to each piece, so that every device has some of each."""
    if len(rows) % pieces:
        raise ValueError(
            f"Pieces of a batch are equal, but {len(rows)} rows are not divided by "
            f"`pieces` = {pieces}. Change one of the two."
        )
    dealt = rows.reshape(len(rows) // pieces, pieces, *rows.shape[1:])
    return jnp.moveaxis(dealt, 1, 0)


def updating(loss: Loss, prepare: Prepare | None, devices: Devices) -> Callable:
    """`train_step` compiled; what it changes stays on its devices, and is written over.

    On processors it is not: there writing over takes longer than another copy.
    """
    (kind,) = {device.platform for device in devices.mesh.devices.flat}

    @nnx.jit(donate_argnames=() if kind == "cpu" else ("run",))
    def update(
        run: Run, batch: Batch, rate: Float[Array, ""], key: PRNGKeyArray
    ) -> dict[str, Float[Array, ""]]:
        metrics = train_step(run, loss, batch, rate, key, prepare)
        nnx.update(run, devices.kept(nnx.state(run)))
        return metrics

    return update
