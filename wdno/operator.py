"""The wavelet diffusion neural operator: layouts and a denoiser."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Denoise, Fields, Guidance
from wdno.denoiser import Denoiser, denoising_loss
from wdno.domain import Domain
from wdno.first_guess import (
    Guess,
    departures,
    energy_share,
    evidence,
    first_guess,
    restored,
)
from wdno.layout import WaveletLayout
from wdno.noise import NoiseDistribution
from wdno.samplers import RowKeys, Sampler, sample
from wdno.schedules import Schedule
from wdno.tiled_layout import TiledConditions, TiledTargets
from wdno.training import Loss

Coefficients = Float[Array, "batch *grid channel"]


class WDNO(nnx.Module):
    """A diffusion model of some fields given others, both as wavelet coefficients.

    Base model, refiner and planner are this class with other layouts: what is
    generated, what is known (`wdno.tasks`).

    Attributes:
        targets: layout of the fields to generate.
        given: layout of the fields to condition on, on the same coefficient grid.
        denoiser: E[z_targets | noisy z_targets, z_given].
        domain: physical position of the grid.
        schedule: noise levels of sampling by the number of denoiser calls.
    """

    def __init__(
        self,
        targets: WaveletLayout | TiledTargets,
        given: WaveletLayout | TiledConditions,
        denoiser: Denoiser,
        domain: Domain,
        schedule: Schedule,
    ) -> None:
        """Put the parts together."""
        if targets.coefficient_grid != given.coefficient_grid:
            raise ValueError(
                "Targets and given fields share one coefficient grid, but got "
                f"{targets.coefficient_grid} and {given.coefficient_grid}. Give both "
                "layouts the same grid, wavelet, mode and levels."
            )
        self.targets = targets
        self.given = given
        self.denoiser = denoiser
        self.domain = domain
        self.schedule = schedule

    @property
    def window(self) -> int:
        """Frames that the model generates at once."""
        return self.targets.grid[0]

    @property
    def state(self) -> tuple[str, ...]:
        """Generated fields whose initial value is given."""
        known = {quantity.name for quantity in self.given.fields}
        return tuple(q.name for q in self.targets.fields if f"{q.name}0" in known)

    @property
    def planned(self) -> tuple[str, ...]:
        """Controls that are generated."""
        return tuple(q.name for q in self.targets.fields if q.held)

    @property
    def accompanying(self) -> tuple[str, ...]:
        """Other fields that are generated, with no initial value that is given."""
        known = (*self.state, *self.planned)
        return tuple(q.name for q in self.targets.fields if q.name not in known)

    @property
    def final(self) -> tuple[str, ...]:
        """Generated fields whose value at the end of the window is given."""
        known = {quantity.name for quantity in self.given.fields}
        return tuple(q.name for q in self.targets.fields if f"{q.name}T" in known)

    @property
    def static(self) -> dict[str, tuple[str, ...]]:
        """Axes, by name, of what is given and is no part of the trajectories."""
        generated = {f"{q.name}{end}" for q in self.targets.fields for end in "0T"}
        return {
            quantity.name: quantity.dims
            for quantity in self.given.fields
            if self.given.dims[0] not in quantity.dims
            and quantity.name not in generated
        }

    @property
    def past(self) -> tuple[str, ...]:
        """What is given of the time before the initial state."""
        return tuple(name for name in self.static if name.endswith("_before"))

    @property
    def control(self) -> tuple[str, ...]:
        """Fields over time that are given."""
        return self._given_over_time(level=0)

    @property
    def coarse(self) -> tuple[str, ...]:
        """Fields over time that are given with half the samples along every axis."""
        return self._given_over_time(level=1)

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
        return WDNO(
            self.targets.on(grid),
            self.given.on(grid),
            self.denoiser,
            self.domain._replace(
                spacing=tuple(ratio * step for step in self.domain.spacing)
            ),
            self.schedule,
        )

    def _given_over_time(self, level: int) -> tuple[str, ...]:
        quantities = [q for q in self.given.fields if q.dims == self.given.dims]
        return tuple(q.name for q in quantities if q.level == level)


def training_loss(noise: NoiseDistribution) -> Loss[WDNO]:
    """Denoising loss of a `WDNO` on physical fields, for `wdno.training.fit`.

    A batch may lie on another grid than the model's own, see `WDNO.on`. Channels count
    by their share of the fields' energy, so that the loss estimates the squared error
    in physical space rather than that of the faintest subband.
    """

    def loss(model: WDNO, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
        model = model.on(batch[model.targets.fields[0].name].shape[1:])
        guesses = first_guess(batch, model.targets)
        x0 = model.targets.analysis(departures(batch, guesses))
        cond = _condition(model, batch, guesses)
        weight = energy_share(model.targets, guesses)
        return denoising_loss(model.denoiser, x0, cond, noise, weight, key)

    return loss


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
    guesses = first_guess(known, model.targets)
    cond = _condition(model, known, guesses)
    denoise = model.denoiser.given(cond)
    if guidance is not None:
        denoise = _on_departures(guidance, model.targets, guesses)(denoise)
    shape = (len(cond), *model.targets.coefficient_grid, len(model.targets.channels))
    z = sample(sampler, denoise, shape, sigmas.astype(cond.dtype), key)
    return restored(model.targets.synthesis(z), guesses)


def _condition(model: WDNO, known: Fields, guesses: dict[str, Guess]) -> Coefficients:
    """What the denoiser is given: coefficients, and what coarse states show."""
    parts = [model.given.analysis(known), *evidence(model.targets, guesses)]
    return jnp.concatenate(parts, axis=-1)


def _on_departures(
    guidance: Guidance, layout: WaveletLayout | TiledTargets, guesses: dict[str, Guess]
) -> Guidance:
    """Guidance of whole fields for a denoiser that works on departures from guesses."""
    if not guesses:
        return guidance

    def whole(z: Coefficients) -> Coefficients:
        return layout.analysis(restored(layout.synthesis(z), guesses))

    def departure(z: Coefficients) -> Coefficients:
        return layout.analysis(departures(layout.synthesis(z), guesses))

    def guided(denoise: Denoise) -> Denoise:
        of_whole = guidance(lambda z, sigma: whole(denoise(departure(z), sigma)))
        return lambda z, sigma: departure(of_whole(whole(z), sigma))

    return guided
