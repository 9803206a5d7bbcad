"""The wavelet diffusion neural operator: layouts and a denoiser, and one window of it.

One window is generated in three steps that can be taken apart: `prepare` turns what is
known into a `Context`, once; `denoiser` gives the function that a sampler evaluates;
`finish` turns the sampled coefficients into fields. `generate` is the three in a row.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Denoise, Fields, Guidance, Loss
from wdno.diffusion.denoiser import Backbone, Denoiser, denoising_loss
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.noise import NoiseDistribution
from wdno.diffusion.samplers import Sampler, sample
from wdno.diffusion.schedules import Schedule
from wdno.operator.domain import Domain
from wdno.operator.residual import (
    Estimate,
    Residual,
    curvature_features,
    energy_share,
    residuals,
    restored,
)
from wdno.operator.tasks import keys_of
from wdno.wavelets.field import DERIVED, Role
from wdno.wavelets.layout import Conditions, Layout

Coefficients = Float[Array, "batch *grid channel"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
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
    residual: Residual | None = field(default=None, metadata={"static": True})

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

        They are given over time, with half the samples along every axis.
        """
        return keys_of(Role.COARSE, self.given)

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

    def on(self, grid: Sequence[int]) -> "WDNO":
        """The same operator, parameters included, on another grid of its domain.

        A grid with r times the points along every spatial axis has instants r times
        as close: in coordinates rescaled like that a system only changes coefficients,
        which a model trained on several grids has seen (approximate scale invariance:
        WDNO, arXiv 2412.04833, section 3.2).

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
        return dataclasses.replace(
            self,
            targets=self.targets.on(grid),
            given=self.given.on(grid),
            domain=dataclasses.replace(
                self.domain,
                spacing=tuple(ratio * step for step in self.domain.spacing),
            ),
        )


class Context(NamedTuple):
    """What is known of one window, prepared; a batch-leading pytree."""

    condition: Coefficients
    """Coefficients of what is given, with the features of the estimates."""
    estimates: dict[str, Estimate]
    """Estimates of the targets; empty for a model of whole fields."""


def prepare(model: WDNO, known: Fields) -> Context:
    """What a model needs of the known fields, whatever is sampled with it later.

    Args:
        model: the operator.
        known: every field of ``model.given``, batch first.
    """
    condition = model.given.analysis(known)
    if model.residual is None:
        return Context(condition, {})
    estimates = model.residual(known, model.targets, model.given)
    features = curvature_features(model.targets, estimates)
    return Context(jnp.concatenate([condition, *features], axis=-1), estimates)


def denoiser(
    model: WDNO, context: Context, guidance: Guidance | None = None
) -> Denoise:
    """E[z | noisy z, what is known] as a function of noisy coefficients and levels.

    Args:
        model: the operator.
        context: of the rows that will be denoised.
        guidance: of denoisers of whole fields.
    """
    denoise = model.denoiser.given(context.condition)
    if guidance is None:
        return denoise
    return _on_residuals(guidance, model.targets, context)(denoise)


def sample_shape(model: WDNO, rows: int) -> tuple[int, ...]:
    """Shape of the coefficients of so many rows: (batch, *grid, channel)."""
    return (rows, *model.targets.coefficient_grid, len(model.targets.channels))


def finish(model: WDNO, context: Context, z: Coefficients) -> Fields:
    """Physical fields of sampled coefficients."""
    return restored(model.targets.synthesis(z), context.estimates)


def generate(
    model: WDNO,
    known: Fields,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    key: PRNGKeyArray | RowKeys,
    guidance: Guidance | None = None,
) -> Fields:
    """Draw the target fields of one window given the known ones; not compiled.

    Args:
        model: the operator.
        known: every field of ``model.given``, batch first.
        sampler: e.g. ``wdno.samplers.ddim(1.0)``.
        sigmas: decreasing noise levels that end in 0, e.g. ``model.schedule(8)``.
        key: one key, or one per row.
        guidance: denoiser -> denoiser, e.g. ``guide(objective, model.targets, 0.1)``.
    """
    context = prepare(model, known)
    shape = sample_shape(model, len(context.condition))
    levels = sigmas.astype(context.condition.dtype)
    denoise = denoiser(model, context, guidance)
    return finish(model, context, sample(sampler, denoise, shape, levels, key))


def training_loss(model: WDNO, noise: NoiseDistribution) -> Loss[Backbone]:
    """Denoising loss of the backbone of a model, for `wdno.training.loop.fit`.

    A batch may lie on another grid than the model's own, see `WDNO.on`. Channels count
    by their share of the fields' energy, so that the loss estimates the squared error
    in physical space rather than that of the faintest subband.

    Args:
        model: layouts, preconditioning and residual; its parameters are not used.
        noise: distribution of the noise levels.

    Returns:
        ``loss(backbone, batch, key)`` with a module, such as
        ``model.denoiser.backbone.thaw()``, and physical fields.
    """

    def loss(backbone: Backbone, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
        trained = with_backbone(model, backbone)
        trained = trained.on(batch[model.targets.fields[0].name].shape[1:])
        context = prepare(trained, batch)
        x0 = trained.targets.analysis(residuals(batch, context.estimates))
        weight = energy_share(trained.targets, context.estimates)
        condition = context.condition
        return denoising_loss(trained.denoiser, x0, condition, noise, weight, key)

    return loss


def with_backbone(model: WDNO, backbone: Backbone) -> WDNO:
    """The model with another backbone: a frozen network, or a module in training."""
    whole = dataclasses.replace(model.denoiser, backbone=backbone)
    return dataclasses.replace(model, denoiser=whole)


def _on_residuals(guidance: Guidance, layout: Layout, context: Context) -> Guidance:
    """Guidance of whole fields for a denoiser that works on residuals."""
    if not context.estimates:
        return guidance

    def whole(z: Coefficients) -> Coefficients:
        return layout.analysis(restored(layout.synthesis(z), context.estimates))

    def residual(z: Coefficients) -> Coefficients:
        return layout.analysis(residuals(layout.synthesis(z), context.estimates))

    def guided(denoise: Denoise) -> Denoise:
        of_whole = guidance(lambda z, sigma: whole(denoise(residual(z), sigma)))
        return lambda z, sigma: residual(of_whole(whole(z), sigma))

    return guided
