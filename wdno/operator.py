"""The wavelet diffusion neural operator: layouts and a denoiser."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno import tasks
from wdno._typing import Denoise, Fields, Guidance
from wdno.denoiser import Denoiser, denoising_loss
from wdno.layout import WaveletLayout
from wdno.noise import NoiseDistribution, karras
from wdno.samplers import RowKeys, Sampler, sample
from wdno.training import Loss


class Domain(NamedTuple):
    """Where a model lives: position of the first sample and spacing of each axis.

    The first entry is time, whose origin is free: only its spacing matters.
    """

    start: tuple[float, ...]
    spacing: tuple[float, ...]

    @classmethod
    def of(cls, axes: Mapping[str, np.ndarray]) -> "Domain":
        """The domain of evenly spaced coordinates.

        Raises:
            ValueError: an axis has one point only, or uneven spacing.
        """
        for name, points in axes.items():
            steps = np.diff(points.astype(float))
            if not len(steps) or np.ptp(steps) > 1e-3 * abs(steps[0]):
                raise ValueError(
                    f"Axes of a model are evenly spaced, but {name!r} has the "
                    f"{len(points)} points {points[:4]} … Interpolate the data to a "
                    "uniform grid, or fill the gaps."
                )
        return cls(
            start=tuple(float(points[0]) for points in axes.values()),
            spacing=tuple(float(points[1] - points[0]) for points in axes.values()),
        )

    def coords(
        self, dims: tuple[str, ...], grid: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """Coordinates of each axis, with one more instant than the grid has frames."""
        counts = (grid[0] + 1, *grid[1:])
        axes = zip(dims, self.start, self.spacing, counts, strict=True)
        return {dim: start + step * np.arange(n) for dim, start, step, n in axes}


class WDNO(nnx.Module):
    """A diffusion model of some fields given others, both as wavelet coefficients.

    Base model, refiner and planner are this class with other layouts: what is
    generated, what is known (`wdno.tasks`).

    Attributes:
        targets: layout of the fields to generate.
        given: layout of the fields to condition on, on the same coefficient grid.
        denoiser: E[z_targets | noisy z_targets, z_given].
        domain: physical position of the grid.
        sigma_range: smallest and largest noise level of its sampling schedules.
    """

    def __init__(
        self,
        targets: WaveletLayout,
        given: WaveletLayout,
        denoiser: Denoiser,
        domain: Domain,
        sigma_range: tuple[float, float],
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
        self.sigma_range = sigma_range

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
            self.sigma_range,
        )

    def first_guess(self, known: Fields) -> Float[Array, "batch *grid channel"]:
        """Coefficients of `tasks.first_guess`: coarse states, interpolated.

        The denoiser works on departures from these. They are zero for a model that is
        given no coarse states.
        """
        guess = tasks.first_guess(known, self.targets)
        batch = next(iter(known.values()))
        if not guess:
            grid = (*self.targets.coefficient_grid, len(self.targets.channels))
            return jnp.zeros((len(batch), *grid), batch.dtype)
        extents = (len(batch), *self.targets.grid)
        nothing = {q.name: jnp.zeros(extents, batch.dtype) for q in self.targets.fields}
        return self.targets.analysis(nothing | guess)

    def schedule(self, steps: int) -> Float[Array, " levels"]:
        """Noise levels of a sampling run with that many denoiser calls.

        One step is the denoiser's estimate from pure noise; more follow Karras et al.
        2022, eq. 5, over the model's range.
        """
        return karras(steps, *self.sigma_range)

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
        x0 = model.targets.analysis(batch) - model.first_guess(batch)
        cond = model.given.analysis(batch)
        weight = jnp.asarray(model.targets.energy_share)
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
    cond = model.given.analysis(known)
    guess = model.first_guess(known)
    denoise = model.denoiser.given(cond)
    if guidance is not None:  # it sees whole fields
        denoise = _moved(guidance(_moved(denoise, guess)), -guess)
    departure = sample(sampler, denoise, guess.shape, sigmas.astype(cond.dtype), key)
    return model.targets.synthesis(guess + departure)


def _moved(denoise: Denoise, origin: Float[Array, "batch *grid channel"]) -> Denoise:
    """The same denoiser for samples that are counted from `origin` no more."""
    return lambda x, sigma: origin + denoise(x - origin, sigma)
