"""Training loop: any loss of a module, resumable bit for bit.

`fit` knows nothing of diffusion: it takes a module, a loss of (module, batch, key) and
a function that returns the batch of a step. Batch and randomness of step n depend on
n alone, so a resumed run repeats an uninterrupted one exactly.
"""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Batch, Loss, Prepare
from wdno.training.averaging import WIDEST_AVERAGE, PowerLawAverage
from wdno.training.devices import Devices
from wdno.training.prefetch import prefetch
from wdno.training.processes import agreed, gathered, is_first, others_needed
from wdno.training.run_log import Record, on_sigterm

Model = TypeVar("Model", bound=nnx.Module)
Validate = Callable[[Model], dict[str, float]]


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train.

    Attributes:
        steps: number of updates; the run is then reproducible bit for bit.
        budget: seconds of training instead of `steps` (validation and checkpoints not
            counted).
        learning_rate: peak rate of AdamW.
        warmup: share of the run in which the rate rises linearly from zero.
        weight_decay: decoupled weight decay.
        gradient_clip: largest global gradient norm.
        average_width: how far back the averaged parameters reach that are validated and
            kept: the standard deviation of their profile over the updates, as a share
            of the run until then (σ_rel of Karras et al. 2024, arXiv 2312.02696,
            section 3.1). However short the run, the initial parameters have no part.
        validate_every: seconds of training between validations.
        checkpoint_every: seconds of training between checkpoints.
        log_every: seconds of training between lines of the log, each with the means
            since the one before; only then does the host wait for the device.
        seed: seed of the loss' randomness.
    """

    steps: int | None = None
    budget: float | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.02
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    average_width: float = 0.05
    validate_every: float = 120.0
    checkpoint_every: float = 180.0
    log_every: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Exactly one of the two lengths must be given, and be positive."""
        lengths = [n for n in (self.steps, self.budget) if n is not None]
        if len(lengths) != 1 or not lengths[0] > 0:
            raise ValueError(
                "A run has a positive length in steps or in seconds, but got "
                f"steps={self.steps} and budget={self.budget}. Give exactly one."
            )
        if not 0 < self.average_width < WIDEST_AVERAGE:
            raise ValueError(
                "The average reaches back a share of the run that is positive and "
                f"below {WIDEST_AVERAGE}, but `average_width` is {self.average_width}. "
                "Correct it."
            )

    def part(self, share: float) -> "TrainingConfig":
        """The same for a share of the length."""
        if self.steps is not None:
            return replace(self, steps=max(1, round(share * self.steps)))
        return replace(self, budget=share * (self.budget or 0.0))

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, 0 to 1."""
        if self.steps is not None:
            return step / self.steps
        return seconds / (self.budget or math.inf)

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up, then half a cosine to zero."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        fall = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


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


def fit(
    model: Model,
    loss: Loss[Model],
    batches: Callable[[int], Batch],
    config: TrainingConfig,
    directory: str | Path,
    *,
    validate: Validate[Model] | None = None,
    prepare: Prepare[Model] | None = None,
    wrt: nnx.filterlib.Filter = nnx.Param,
    devices: Devices | None = None,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Model:
    """Train `model` and return it with its averaged parameters.

    Args:
        model: the module to train, in place.
        loss: scalar loss of (module, batch, key), a mean over the rows of the batch.
        batches: the batch of a step; must depend on the step number alone. Of several
            processes each gives its own rows, `Devices.own_rows`.
        config: length, learning rate and intervals.
        directory: receives ``log.jsonl`` and ``checkpoints/``; several processes see
            the same.
        validate: metrics of the averaged model, logged at intervals and at the end by
            the first process.
        prepare: what the averaged model makes of a batch before the loss sees it, such
            as roll-outs of its own; no gradient goes through it.
        wrt: which parameters to train, as a filter of Flax.
        devices: that the batch is spread over, those of all processes; by default
            `Devices.of` takes them.
        resume: continue from the last checkpoint in `directory`, on any devices.
        clock: what a budget counts; ``time.process_time`` compares runs on a machine
            that has other work to do.

    Raises:
        ValueError: `directory` holds a run and `resume` is not asked for, or the
            devices do not divide a batch.
        FloatingPointError: the loss or its gradient is not finite; the message names
            step and batch, and the last good checkpoint stays. It is noticed when the
            step is looked at, which is before anything is validated or kept.
        ProcessLost: another process has died; begun again, all of them resume.
        SystemExit: after SIGTERM to any process, once a checkpoint is written.
    """
    devices = Devices.of() if devices is None else devices
    run, begin = Run(model, config, wrt), clock()
    nnx.update(run, devices.placed(nnx.state(run)))
    update = updating(loss, prepare, devices)
    key = jax.random.key(config.seed)
    elapsed = agreed(lambda: clock() - begin)
    how = (config.steps, config.budget, config.log_every, elapsed)
    with (
        Record(run, Path(directory), resume, *how) as record,
        on_sigterm() as arrived,
        others_needed(lambda: record.resumption),
    ):
        stopped = agreed(arrived)
        spread = prefetch(lambda step: devices.spread(batches(step)), record.step)
        for batch in spread:
            progress = config.progress(record.step, record.seconds)
            if stopped() or progress >= 1:
                break
            rate = jnp.float32(config.rate(progress))
            metrics = update(run, batch, rate, jax.random.fold_in(key, record.step))
            record.add(len(jax.tree.leaves(batch)[0]), metrics)
            if record.due("validate", config.validate_every):
                with record.paused():
                    record.write(_validation(run, validate))
            if record.due("checkpoint", config.checkpoint_every):
                record.save(run)
        record.save(run)
        if stopped():
            raise SystemExit(128 + signal.SIGTERM)
        record.write(_validation(run, validate))
        return run.averaged()


def _validation(run: Run, validate: Validate | None) -> dict[str, float]:
    if validate is None:
        return {}
    averaged = run.averaged()  # to which all processes contribute
    return validate(averaged) if is_first() else {}
