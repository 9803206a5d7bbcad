"""The wavelet diffusion neural operator: layouts, a denoiser, where it lies."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._arguments import is_whole
from wdno.diffusion.denoiser import Backbone, Denoiser
from wdno.diffusion.schedules import Schedule
from wdno.operator.calibrated import mean_of
from wdno.operator.domain import Domain
from wdno.operator.residual import Residual
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import DERIVED, Role
from wdno.wavelets.protocols import Conditions, Layout


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class WDNO:
    """A diffusion model of some fields given others, both as wavelet coefficients.

    Base model, refiner and planner are this class with other layouts: what is
    generated, what is known (`wdno.operator.tasks`).

    A model is an immutable value and a pytree: its leaves are the parameters, all else
    is static. Every transform of JAX takes it, as an argument or from a closure, and
    any number of threads may use it.

    Attributes:
        targets: layout of the fields to generate.
        given: layout of the fields to condition on, on the same coefficient grid.
        denoiser: E[z_targets | noisy z_targets, z_given].
        domain: physical position of the grid.
        schedule: noise levels of sampling by the number of denoiser calls.
        residual: what is estimated beforehand, so that the rest is generated; if None,
            whole fields are.

    Raises:
        ValueError: the two layouts have different axes or coefficient grids, the
            domain has other axes, or a field is of one that is not there.
    """

    targets: Layout = field(metadata={"static": True})
    given: Conditions = field(metadata={"static": True})
    denoiser: Denoiser
    domain: Domain = field(metadata={"static": True})
    schedule: Schedule = field(metadata={"static": True})
    residual: Residual | None = None

    def __post_init__(self) -> None:
        """Refuse layouts that do not belong together."""
        if self.targets.coefficient_grid != self.given.coefficient_grid:
            raise ValueError(
                "Targets and given fields share one coefficient grid, but got "
                f"{self.targets.coefficient_grid} and {self.given.coefficient_grid}. "
                "Give both layouts the same grid, wavelet, mode and levels."
            )
        dims = self.targets.dims
        if self.given.dims != dims or len(self.domain.spacing) != len(dims):
            raise ValueError(
                "Layouts and domain of a model have the same axes, but targets have "
                f"{dims}, given fields {self.given.dims}, and the domain has "
                f"{len(self.domain.spacing)} spacings. Correct one of them."
            )
        quantities = (*self.targets.fields, *self.given.fields)
        known = {q.name for q in quantities if q.role not in DERIVED}
        if lost := [q.name for q in quantities if q.of and q.of not in known]:
            raise ValueError(
                "Initial, final and coarse values are `of` a quantity of the model, "
                f"{sorted(known)}, but {lost} are of others. Correct the names."
            )

    @property
    def window(self) -> int:
        """Frames that the model generates at once."""
        return self.targets.grid[0]

    @property
    def state(self) -> tuple[str, ...]:
        """Generated fields whose initial value is given."""
        return tuple(q.name for q in self.targets.fields if q.name in self.initial)

    @property
    def planned(self) -> tuple[str, ...]:
        """Controls that are generated."""
        return tuple(keys_of(Role.PIECEWISE_CONSTANT, self.targets))

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Other fields that are generated, with no initial value that is given."""
        known = (*self.state, *self.planned)
        return tuple(q.name for q in self.targets.fields if q.name not in known)

    @property
    def initial(self) -> dict[str, str]:
        """Keys of initial values, such as "u0", by state."""
        return keys_of(Role.INITIAL, self.given)

    @property
    def final(self) -> dict[str, str]:
        """Keys of given final values, such as "uT", by what is generated."""
        return keys_of(Role.FINAL, self.given)

    @property
    def coarse(self) -> dict[str, str]:
        """Keys of given coarse values, such as "u_coarse", by state.

        They are given over time, with fewer samples by `Layout.refinement`.
        """
        return keys_of(Role.COARSE, self.given)

    @property
    def cells(self) -> frozenset[str]:
        """Axes along which values are means over cells, and samples their centres."""
        return frozenset(dim for q in self.targets.fields for dim in q.cells)

    @property
    def past(self) -> tuple[str, ...]:
        """What is given of the time before the initial state."""
        return tuple(keys_of(Role.PAST, self.given))

    @property
    def static(self) -> dict[str, tuple[str, ...]]:
        """Axes, by name, of what is given and does not change along a record."""
        roles = (Role.STATIC, Role.PAST)
        return {q.name: q.dims for q in self.given.fields if q.role in roles}

    @property
    def control(self) -> tuple[str, ...]:
        """Fields over time that are given."""
        roles = (Role.EVOLVING, Role.PIECEWISE_CONSTANT)
        return tuple(q.name for q in self.given.fields if q.role in roles)

    def levels(self, steps: int) -> Float[Array, " levels"]:
        """Noise levels of a run of so many denoiser calls, decreasing to 0.

        Without any call it begins and ends there: with a residual that leaves its mean.

        Raises:
            ValueError: no call is asked of a model of whole fields, or more or fewer
                than its schedule has.
        """
        if not is_whole(steps, 0):
            raise ValueError(
                f"Denoiser calls are counted from 0, but got steps={steps!r}. Give a "
                "whole number."
            )
        if steps != 0:
            return self.schedule(steps)
        if mean_of(self.residual) is None:
            raise ValueError(
                "Without a denoiser call there is the mean of a model with a residual, "
                "but this one generates whole fields and got steps=0. Ask for one."
            )
        return jnp.zeros(1)

    def on(self, grid: Sequence[int]) -> "WDNO":
        """The same operator, parameters included, on another grid of its domain.

        A grid with r times the points along every spatial axis has instants r times
        as close: in coordinates rescaled like that a system only changes coefficients,
        which a model trained on several grids has seen (approximate scale invariance:
        WDNO, arXiv 2412.04833, section 3.2). A refiner of space alone leaves them.

        Args:
            grid: frames of a window, then points along each spatial axis.

        Raises:
            ValueError: the spatial axes are refined by different ratios, or the wavelet
                levels cannot halve the grid.
        """
        old, new = self.targets.grid[1:], tuple(grid)[1:]
        ratios = {before / after for before, after in zip(old, new, strict=False)}
        if len(old) != len(new) or len(ratios) != 1:
            raise ValueError(
                "An operator moves to grids refined by one ratio along every spatial "
                f"axis, but its points are {old} and {new} were asked for. Scale all "
                "axes alike."
            )
        (ratio,) = ratios
        refined = zip(self.targets.dims, self.targets.refinement, strict=True)
        ratio_along = {dim: ratio if times > 1 else 1.0 for dim, times in refined}
        return dataclasses.replace(
            self,
            targets=self.targets.on(grid),
            given=self.given.on(grid),
            domain=self.domain.scaled(ratio_along, self.cells),
        )


def check_model(model: object) -> None:
    """Refuse what is no model, such as the name of one.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(model, WDNO):
        raise ValueError(
            f"A verb takes a model, a wdno.WDNO, but got {model!r:.80}. Load one by "
            "wdno.load(name)."
        )


def with_backbone(model: WDNO, backbone: Backbone) -> WDNO:
    """The model with another backbone: a frozen network, or a module in training."""
    whole = dataclasses.replace(model.denoiser, backbone=backbone)
    return dataclasses.replace(model, denoiser=whole)
