"""How a model is made: everything that training needs besides the data.

A recipe is data. Models are built from it (`wdno.training.build`), trained with it
(`wdno.training.pipeline`) and the experiments vary one of its entries at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from wdno._arguments import is_whole
from wdno._json import entries_of, register
from wdno._typing import Fields
from wdno.diffusion.noise import NoiseDistribution, log_normal, mixture, point
from wdno.diffusion.preconditioning import EDMPreconditioning, Preconditioning
from wdno.networks import DynamicGrainConfig, FourierConfig
from wdno.operator import tasks
from wdno.operator.residual import Residual
from wdno.training.own_plans import OwnPlans
from wdno.wavelets.field import Field, Role
from wdno.wavelets.optional import withheld


@register
@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels seen in training: a share at σ_max, the others log-normal.

    Sampling starts at σ_max. There the condition alone decides the estimate, so its
    share of training decides the error of sampling in one or few steps.

    Attributes:
        sigma_min: smallest level of sampling schedules.
        sigma_max: largest level, where sampling starts.
        share_at_max: probability of σ_max itself.
        mean: mean of ln σ otherwise.
        std: standard deviation of ln σ otherwise.
    """

    sigma_min: float = 0.02
    sigma_max: float = 20.0
    share_at_max: float = 0.7
    mean: float = -1.2
    std: float = 1.5

    def distribution(self) -> NoiseDistribution:
        """The distribution of training noise levels."""
        parts = [point(self.sigma_max), log_normal(self.mean, self.std)]
        return mixture(parts, [self.share_at_max, 1 - self.share_at_max])


RESIDUAL_LEVELS = NoiseLevels(sigma_max=10.0, share_at_max=0.1, mean=-0.3, std=1.4)
"""In units of what a mean leaves open."""


class TrainingGrid(NamedTuple):
    """A grid of windows: the data coarsened in time and space, and the window on it."""

    coarsening: int
    """Ratio of its spacings to those of the data, a power of two."""
    frames: int
    """Frames of a window."""


@register
@dataclass(frozen=True)
class ConditionDropout:
    """Given fields that a model learns to do without, for classifier-free guidance.

    Attributes:
        names: of these fields, which are withheld together; none by default.
        share: of the rows of a batch that do not have them (0.1 to 0.2 in Ho and
            Salimans 2022, arXiv 2207.12598, section 4).

    Raises:
        ValueError: the share is none.
    """

    names: tuple[str, ...] = ()
    share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not 0 <= self.share <= 1:
            raise ValueError(
                f"A share lies between 0 and 1, but got {self.share}. Correct it."
            )

    def __call__(self, fields: Fields, key: PRNGKeyArray) -> Fields:
        """Fields of a batch, some rows without those that are named."""
        like = fields[self.names[0]]
        given = jax.random.bernoulli(key, 1 - self.share, like.shape[:1])
        return withheld(fields, self.names, given.astype(like.dtype))


NO_DROPOUT = ConditionDropout()


@dataclass(frozen=True)
class Recipe:
    """A model and its training, up to data and length of the run.

    Attributes:
        state: names of the state variables.
        control: names of the controls.
        window: frames that are generated at once; longer records are chained.
        task: what is generated given what, a function of `wdno.operator.tasks`.
        beside: targets and given fields that neither states nor controls are, such as
            an outflow, an obstacle, or the outflow wished for.
        more_grids: grids that training visits in turn beside the data's own.
        dropout: given fields that are withheld from some rows in training.
        own_plans: windows that begin from the rest of a plan of the model's own, for
            planners that are asked again and again.
        coarse_noise: largest standard deviation of errors of coarse states in training,
            in units of the states. They teach a refiner not to trust its input blindly
            (conditioning augmentation: Ho et al. 2022, arXiv 2106.15282, section 4.1).
        coarse_shift: largest standard deviation of the distance by which coarse states
            are out of place, in cells: errors of models and solvers are mostly that.
        wavelet: name of the wavelet.
        mode: boundary treatment of time and of every spatial axis.
        walls: axes between two walls at which states vanish after t = 0, see `Field`.
        levels: wavelet levels.
        network: configuration of the backbone, of a class that is registered.
        preconditioning: of the backbone.
        residual: what is estimated beforehand, see `wdno.operator.residual`.
        mean_share: share of a run that trains the mean, where a network has to learn
            it; the rest trains the denoiser. With all of it the denoiser stays as it
            is made: that of normal residuals in units of their scales.
        uniform_weight: share of the loss in which all subbands count alike.
        noise: noise levels of training.
        batch_size: windows per update.
        share_at_start: share of windows that begin at t = 0, where the initial state
            is drawn from its own distribution instead of the system's attractor.
    """

    state: tuple[str, ...]
    control: tuple[str, ...]
    window: int
    task: Callable[[tasks.Names, tasks.Names, tasks.Names], tasks.Task] = (
        tasks.simulation
    )
    beside: tasks.Task = tasks.Task((), ())
    more_grids: tuple[TrainingGrid, ...] = ()
    dropout: ConditionDropout = NO_DROPOUT
    own_plans: OwnPlans | None = None
    coarse_noise: float = 0.0
    coarse_shift: float = 0.0
    wavelet: str = "bior2.4"
    mode: tuple[str, ...] = ("periodization", "periodization")
    walls: tuple[str, ...] = ()
    levels: int = 2
    network: object = field(default_factory=FourierConfig)
    preconditioning: Preconditioning = EDMPreconditioning()
    residual: Residual | None = None
    mean_share: float = 0.5
    uniform_weight: float = 0.0
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    batch_size: int = 32
    share_at_start: float = 0.2

    def __post_init__(self) -> None:
        """Refuse shares and a batch size that are none, and what contradicts itself."""
        shares = {
            "mean_share": self.mean_share,
            "uniform_weight": self.uniform_weight,
            "share_at_start": self.share_at_start,
        }
        if wrong := {n: share for n, share in shares.items() if not 0 <= share <= 1}:
            raise ValueError(
                f"Shares lie between 0 and 1, but got {wrong}. Correct it."
            )
        if not is_whole(self.batch_size, 1):
            raise ValueError(
                "An update has one window or more, but `batch_size` is "
                f"{self.batch_size!r}. Ask for more."
            )
        if self.own_plans is not None and isinstance(self.network, DynamicGrainConfig):
            raise ValueError(
                "Which cells are refined is learned from whole windows, but windows of "
                "`own_plans` begin from a plan. Take another network, or leave these "
                "plans out."
            )
        if self.dropout.names and self.residual is not None:
            raise ValueError(
                "A residual is in units of what a mean leaves open when all is given; "
                f"without {[*self.dropout.names]} it would be many times as large. "
                "Generate whole fields, or drop nothing."
            )

    @property
    def grids(self) -> tuple[TrainingGrid, ...]:
        """All grids of training, the data's own first."""
        return (TrainingGrid(1, self.window), *self.more_grids)

    def fields(self, dims: tasks.Names) -> tasks.Task:
        """All fields to generate and all that are given, on these axes."""
        task = self.task(self.state, self.control, dims)
        targets, given = (
            tuple(self._between_walls(quantity) for quantity in part) for part in task
        )
        return tasks.joined(tasks.Task(targets, given), self.beside)

    def _between_walls(self, quantity: Field) -> Field:
        """Moving states have walls; initial ones and controls need not vanish there."""
        moving = quantity.role in (Role.EVOLVING, Role.COARSE)
        return replace(quantity, walls=self.walls) if moving else quantity

    def notes(self) -> dict[str, Any]:
        """The recipe as it stands on a card: the task by its name."""
        return entries_of(self) | {"task": self.task.__name__}
