"""One call for several: an adapter that learns what a model makes of noise.

The teacher is the model itself, sampled deterministically in several calls; the student
is the model with adapted kernels, in one call from the same noise. So the student's
samples differ as the teacher's do: by the noise they begin with.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._files import check_output_folder
from wdno._ranges import check_counts
from wdno._typing import Loss
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.keys import RowKeys
from wdno.inference.batching import check_call
from wdno.networks.adapters import Adapter, AdapterConfig
from wdno.operator.adapted import OneCall, fingerprint, new_adapter, with_adapter
from wdno.operator.adapter_file import write_adapter
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients
from wdno.training.config import TrainingConfig
from wdno.training.detail_loss import DetailLoss
from wdno.training.from_data import held_back
from wdno.training.loop import fit
from wdno.training.parts import in_samples
from wdno.training.teacher_pairs import Pairs, Teacher, TeacherPairs
from wdno.wavelets.protocols import Layout

FILE = "one-step.safetensors"
"""Name of the adapter in the folder of a run."""
HELD_BACK = 8
"""One validates for so many pairs."""
LARGEST_SET = 1 << 24
"""More pairs are an error of the user."""

Module = TypeVar("Module", bound=nnx.Module)
Student = Callable[[Module, Pairs], Coefficients]
"""What a module in training makes of the noise of pairs, in one call."""


@dataclass(frozen=True)
class Distillation:
    """What a student learns from and how.

    Attributes:
        teacher: how the model is sampled several times.
        sigma: noise level σ* that the one call is told; the highest of the model by
            default. Lower ones, where the skip of the denoiser lets some of the noise
            through, are a hyperparameter: try some.
        adapter: ranks.
        loss: terms.
        pairs: samples of the teacher; an eighth as many more are for validation.
        batch_size: pairs of an update.

    Raises:
        ValueError: there are no pairs.
    """

    teacher: Teacher = field(default_factory=Teacher)
    sigma: float | None = None
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    loss: DetailLoss = field(default_factory=DetailLoss)
    pairs: int = 2048
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        check_counts(LARGEST_SET, pairs=self.pairs, batch_size=self.batch_size)

    def level(self, model: WDNO) -> float:
        """σ* for this model."""
        return model.schedule.sigma_range[1] if self.sigma is None else self.sigma


def distill(
    model: WDNO,
    dataset: xr.Dataset,
    directory: str | Path,
    config: TrainingConfig,
    *,
    how: Distillation = Distillation(),  # noqa: B008 - a frozen value
    validation_samples: int | None = None,
    resume: bool = False,
) -> WDNO:
    """A model that makes in one call what this one makes in several.

    An adapter of its kernels is trained on pairs of noise and the sample that the model
    makes of it (`Distillation`), and kept in a file of less than a megabyte.

    Args:
        model: the teacher, of any task.
        dataset: trajectories for the model: what is given is taken from them.
        directory: folder of the run: receives log, checkpoints and
            ``one-step.safetensors``, which ``wdno.load(…, adapter=…)`` takes.
        config: length of the run, learning rate, seed.
        how: teacher, noise level, ranks, terms of the loss.
        validation_samples: trajectories held back; as of `wdno.train` by default.
        resume: continue from the last checkpoint.

    Returns:
        The model with the adapter, for one step.

    Raises:
        ValueError: the model is not sampled at the noise levels asked for, such as one
            that is distilled already; or the data are not for it.

    Example:
        >>> config = wdno.TrainingConfig(budget=180, learning_rate=3e-3)
        >>> quick = wdno.distill(model, data, "runs/quick", config)
        >>> forecast = wdno.simulate(quick, initial, force, members=16, key=key)
    """
    key = jax.random.key(config.seed)
    check_call(model, key, dataset=dataset)
    how.teacher.check(model, how.level(model))
    folder = check_output_folder(directory)
    dataset = in_samples(dataset)
    cut = held_back(dataset, validation_samples)
    pairs, unseen = asked(model, dataset, cut, how, jax.random.split(key))
    found = learned_from(pairs, unseen, model, how, config, folder, resume=resume)
    write_adapter(folder / FILE, found)
    return found.of(model)


def learned_from(
    pairs: TeacherPairs,
    unseen: TeacherPairs,
    model: WDNO,
    how: Distillation,
    config: TrainingConfig,
    directory: str | Path,
    *,
    resume: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> OneCall:
    """The adapter that learns from pairs which the teacher has made; see `distill`.

    Args:
        pairs: to learn from.
        unseen: to validate with.
        model: the teacher.
        how: noise level, ranks, terms of the loss.
        config: length of the run, learning rate, seed.
        directory: folder of log and checkpoints.
        resume: continue from the last checkpoint.
        clock: what a budget counts.
    """
    sigma = how.level(model)
    student = one_call(model.denoiser, sigma)
    loss = distillation_loss(model.targets, student, how.loss)
    every = unseen.rows(slice(None))

    def validate(adapter: Adapter) -> dict[str, float]:
        value = nnx.jit(loss)(adapter, every, jax.random.key(0))
        return {"validation_error": float(value)}

    trained = fit(
        new_adapter(model, how.adapter, rngs=nnx.Rngs(config.seed)),
        loss,
        pairs,
        config,
        directory,
        validate=validate,
        resume=resume,
        clock=clock,
    )
    return OneCall(freeze(trained), sigma, fingerprint(model))


def asked(
    model: WDNO, dataset: xr.Dataset, cut: int, how: Distillation, keys: RowKeys
) -> tuple[TeacherPairs, TeacherPairs]:
    """Pairs of the teacher, and others in the last trajectories, held back."""
    ask = partial(TeacherPairs, model, teacher=how.teacher, batch_size=how.batch_size)
    few = -(-how.pairs // HELD_BACK)
    seen, unseen = (
        dataset.isel(sample=part) for part in (slice(-cut), slice(-cut, None))
    )
    return (
        ask(seen, count=how.pairs, key=keys[0]),
        ask(unseen, count=few, key=keys[1]),
    )


def one_call(denoiser: Denoiser, sigma: float) -> Student[Adapter]:
    """The student that is this denoiser with an adapter: ``k D(sigma* n; sigma*)``."""

    def student(adapter: Adapter, pairs: Pairs) -> Coefficients:
        found = from_noise(with_adapter(denoiser, adapter), sigma, pairs)
        gain = jnp.expand_dims(adapter.gain.astype(found.dtype), range(found.ndim - 1))
        return gain * found

    return student


def from_noise(denoiser: Denoiser, sigma: float, pairs: Pairs) -> Coefficients:
    """What one call at a level makes of the noise of pairs."""
    levels = jnp.full(len(pairs.noise), sigma, pairs.noise.dtype)
    return denoiser(sigma * pairs.noise, levels, pairs.condition)


def distillation_loss(
    layout: Layout, student: Student[Module], terms: DetailLoss
) -> Loss[Module]:
    """The loss of a student on the pairs of a teacher, for `wdno.training.loop.fit`.

    Args:
        layout: of what is generated.
        student: what a module makes of noise.
        terms: of the loss.

    Returns:
        ``loss(module, pairs, key)``; nothing is random.
    """

    def loss(module: Module, pairs: Pairs, key: PRNGKeyArray) -> Float[Array, ""]:
        found = student(module, pairs)
        return terms(layout, pairs.estimate, found, pairs.target)

    return loss
