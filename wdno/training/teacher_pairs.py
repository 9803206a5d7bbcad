"""What a teacher makes of noise, in windows of a dataset: the batches of a student."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._arguments import check_sampler, is_whole
from wdno._typing import Fields, Guidance
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, dpmpp_2m, sample, start
from wdno.inference.batching import batch_keys, in_batches
from wdno.operator.generation import denoiser, prepare
from wdno.operator.model import WDNO
from wdno.operator.residual import Coefficients, Estimate, nothing_known
from wdno.training.held_out import held_windows, on_points_of


@dataclass(frozen=True)
class Teacher:
    """How a model is sampled that a student learns from.

    Attributes:
        calls: denoiser calls of a sample.
        sampler: a deterministic one, so that noise decides the sample: a student can
            learn a map, of which noise makes the spread. Of an ancestral one it learns
            the mean over the noise of later steps.
        guidance: of the rows given what is known of them, such as `Planner.guided`;
            the student then needs none.
    """

    calls: int = 8
    sampler: Sampler = field(default_factory=dpmpp_2m)
    guidance: Callable[[Fields], Guidance | None] = lambda known: None

    def check(self, model: WDNO, sigma: float) -> None:
        """Refuse what this model cannot teach.

        Raises:
            ValueError: it has no run of so many calls, or was never trained at σ*.
        """
        check_sampler(self.sampler)
        if not is_whole(self.calls, 1):
            raise ValueError(
                f"A teacher has one denoiser call or more, but got {self.calls!r}. "
                "Ask for more."
            )
        lowest, highest = model.schedule.sigma_range
        if not lowest <= sigma <= highest:
            raise ValueError(
                "A student begins at a noise level that its teacher knows, from "
                f"{lowest:g} to {highest:g}, but got {sigma:g}. Choose one of these."
            )
        model.levels(self.calls)


class Pairs(NamedTuple):
    """Noise and what a teacher makes of it, row by row."""

    noise: Coefficients
    """Standard normal: where the teacher begins, in units of its first level."""
    target: Coefficients
    """What it ends with, as it is generated: of a residual, in its units."""
    condition: Coefficients
    """What denoisers are given."""
    estimate: Estimate
    """What is known of the targets beforehand."""


class TeacherPairs:
    """Pairs of a teacher in windows of trajectories, and the batch of a step.

    They are computed once and kept in host memory.
    """

    def __init__(
        self,
        model: WDNO,
        dataset: xr.Dataset,
        teacher: Teacher,
        count: int,
        *,
        batch_size: int,
        key: PRNGKeyArray,
    ) -> None:
        """Ask the teacher.

        Args:
            model: a model of any task.
            dataset: trajectories on (sample, time, *space), on the points of the model;
                as many of the first are read as are needed.
            teacher: how it is sampled.
            count: of the pairs. Windows are taken one after another, and again with
                other noise once there are no more.
            batch_size: pairs of a batch, and those computed at once.
            key: of all noise.

        Raises:
            ValueError: the data are not for this model, or there is no pair.
        """
        if not is_whole(count, 1):
            raise ValueError(f"A student needs a pair or more, but got {count!r}.")
        self.batch_size = min(batch_size, count)
        every = 1 if model.past else (dataset.sizes["time"] - 1) // model.window
        few = dataset.isel(sample=slice(-(-count // max(every, 1)))).load()
        fields = held_windows(on_points_of(model, few), few)
        rows = np.arange(count) % len(next(iter(fields.values())))
        fields = {name: np.asarray(values)[rows] for name, values in fields.items()}
        run = partial(_pairs, model, model.levels(teacher.calls), teacher)
        keys = batch_keys(key, {"sample": count})
        self._rows = in_batches(run, fields, self.batch_size, keys)

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._rows["noise"])

    def __call__(self, step: int) -> Pairs:
        """Pairs drawn without replacement; depends on the step alone."""
        draw = np.random.default_rng([len(self), step])
        return self.rows(draw.choice(len(self), self.batch_size, replace=False))

    def rows(self, few: np.ndarray | slice) -> Pairs:
        """Some of the pairs."""
        part = {name: jnp.asarray(rows[few]) for name, rows in self._rows.items()}
        mean, scale = part["mean"], part["scale"]
        estimate = Estimate(mean, scale, part["condition"][..., :0])
        return Pairs(part["noise"], part["target"], part["condition"], estimate)


@partial(jax.jit, static_argnums=2)
def _pairs(
    model: WDNO,
    sigmas: Float[Array, " level"],
    teacher: Teacher,
    fields: Fields,
    keys: RowKeys,
) -> dict[str, Array]:
    context = prepare(model, fields)
    denoise = denoiser(model, context, teacher.guidance(fields))
    estimate = context.estimate
    if estimate is None:
        estimate = nothing_known(context.condition, model.targets)
    shape, dtype = (len(keys), *estimate.mean.shape[1:]), context.condition.dtype
    rows = jnp.ones(len(keys), dtype)
    target = sample(teacher.sampler, denoise, shape, sigmas.astype(dtype), keys)
    return {
        "noise": start(shape, rows, keys),
        "target": target,
        "condition": context.condition,
        "mean": estimate.mean,
        "scale": jnp.broadcast_to(
            estimate.scale, (len(keys), *estimate.scale.shape[1:])
        ),
    }
