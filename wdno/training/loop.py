"""Training loop: any loss of a module, resumable bit for bit.

`fit` knows nothing of diffusion: it takes a module, a loss of (module, batch, key) and
a function that returns the batch of a step. Batch and randomness of step n depend on
n alone, so a resumed run repeats an uninterrupted one exactly. Where the batch lies,
on one device or on those of many hosts, is the matter of `Devices`.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from wdno._typing import Batch, Loss, Prepare
from wdno.training.config import TrainingConfig
from wdno.training.devices import Devices
from wdno.training.prefetch import prefetch
from wdno.training.processes import agreed, is_first, others_needed
from wdno.training.run_log import Record, on_sigterm
from wdno.training.update import Run, updating

Model = TypeVar("Model", bound=nnx.Module)
Validate = Callable[[Model], dict[str, float]]


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
    run = Run(model, config, wrt)
    nnx.update(run, devices.placed(nnx.state(run)))
    update = updating(loss, prepare, devices)
    key, begin = jax.random.key(config.seed), clock()
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
