"""Random windows of training trajectories: the batch of a step, by its number."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from wdno._typing import Fields
from wdno.operator import tasks
from wdno.training.recipes import Recipe
from wdno.training.records import Records
from wdno.trajectory import (
    averaged_over,
    coarsen,
    read_windows,
    static_rows,
    to_arrays,
    with_samples,
)
from wdno.wavelets.field import Field, Role


class WindowBatches:
    """Random windows of training trajectories: the batch of a step, by its number.

    Those of a refiner begin where coarse states are given. Windows are read when their
    batch is asked for. What is read of a file does not stay in memory, so that a set
    may be larger than that; one that is loaded is read there.

    Attributes:
        recipe: how windows are cut.
        seed: of the draws.
        dims: axes of the fields, time first.
        frames: of a trajectory, by the ratio to which it is coarsened.
    """

    def __init__(self, dataset: xr.Dataset, recipe: Recipe, seed: int = 0) -> None:
        """Look at the axes of the trajectories; read what never changes in any.

        Args:
            dataset: trajectories on (sample, time, *space).
            recipe: grids, batch size and share of windows at the start.
            seed: seed of the draws.

        Raises:
            ValueError: the trajectories are shorter than a window or cannot be
                coarsened as the recipe wants, or those of a refiner are not means over
                cells where its fields are, or are elsewhere.
        """
        self.recipe, self.seed = recipe, seed
        self.dims = _dims(recipe, dataset)
        self._given = recipe.fields(self.dims).given
        self._initial = {q.of: q.name for q in self._given if q.role is Role.INITIAL}
        coarse = [q for q in self._given if q.role is Role.COARSE]
        self._apart = COARSENING if any("time" in q.refined for q in coarse) else 1
        kept = {dim for q in coarse for dim in q.dims if dim not in q.refined}
        self._coarsened = tuple(dim for dim in self.dims if dim not in kept)
        self._beside = [quantity.name for quantity in recipe.beside.targets]
        given = [quantity.name for quantity in recipe.beside.given]
        self._static = [name for name in given if name in dataset.variables]
        names = (*recipe.state, *recipe.control, *self._beside)
        dataset = with_samples(dataset, names)
        self._dataset = xr.Dataset(
            {name: dataset.variables[name] for name in (*names, *self._static)}
        )
        for variable in self._dataset.variables.values():
            if "sample" not in variable.dims:
                variable.load()
        if coarse:
            _check_cells(self._dataset, recipe.fields(self.dims).targets)
        none = self._dataset.isel(sample=slice(0))
        self.frames: dict[int, int] = {}
        for ratio, window in recipe.grids:
            frames = self._coarser(none, ratio).sizes["time"] - 1
            if frames < window:
                raise ValueError(
                    f"A record holds at least one window of {window} frames, but "
                    f"coarsened by {ratio} these have {frames}. Use longer records or "
                    "a shorter window."
                )
            self.frames[ratio] = frames

    def __call__(self, step: int, own: slice = slice(None)) -> Fields:
        """Windows drawn with replacement; they depend on seed and step alone.

        Args:
            step: number of the batch.
            own: rows that are read, of all that are drawn.

        Raises:
            ValueError: a window is not finite.
        """
        draw = np.random.default_rng([self.seed, step])
        grids = self.recipe.grids
        ratio, window = grids[step % len(grids)]
        size = self.recipe.batch_size
        apart = self._apart
        starts = draw.integers(0, (self.frames[ratio] - window) // apart + 1, size)
        starts = apart * starts
        starts = np.where(draw.random(size) < self.recipe.share_at_start, 0, starts)
        rows = draw.integers(0, self._dataset.sizes["sample"], size)
        numbers = range(size)[own]
        draws = [np.random.default_rng([self.seed, step, n]) for n in numbers]
        cut = self._read(ratio, window, starts[own], rows[own])
        cut = tasks.with_conditions(cut, self._given)
        for quantity in self._given:
            if quantity.role is Role.COARSE:
                name, recipe = quantity.name, self.recipe
                cut[name] = perturb_coarse(
                    cut[name], recipe.coarse_shift, recipe.coarse_noise, draws
                )
        return jax.tree.map(jnp.asarray, cut)

    @property
    def records(self) -> Records:
        """Whole trajectories on the grid of the data."""

        def read(rows: np.ndarray) -> dict[str, np.ndarray]:
            return self._read(1, self.frames[1], np.zeros_like(rows), rows)

        return Records(self._dataset.sizes["sample"], read)

    def _read(
        self, ratio: int, window: int, starts: np.ndarray, rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Windows by field; coarsened once cut, which is as good as the other order."""
        apart = ratio if "time" in self._coarsened else 1
        cut = read_windows(self._dataset, apart * window, apart * starts, rows)
        cut = self._coarser(cut, ratio)
        fields = to_arrays(cut, self._initial, self.recipe.control, self._beside)
        return fields | static_rows(cut, self._static, np.arange(len(rows)))

    def _coarser(self, dataset: xr.Dataset, ratio: int) -> xr.Dataset:
        """Coarsened; what stays on its grid need not say how it is coarsened."""
        if ratio == 1:
            return dataset
        factors = dict.fromkeys(self.dims, 1) | dict.fromkeys(self._coarsened, ratio)
        return coarsen(dataset, factors)


COARSENING = 2
"""Frames between coarse ones: windows of a refiner begin at these, as chains do."""
ERROR_LENGTH = 3.0
"""Length over which errors of `perturb_coarse` are alike, in cells."""


def perturb_coarse(
    states: Float[np.ndarray, "batch frames *space"],
    shift: float,
    noise: float,
    draws: Sequence[np.random.Generator],
) -> Float[np.ndarray, "batch frames *space"]:
    """States as a model or a coarse solver might give them: out of place, and off.

    ``u + a (shift sum_i d_i h ∂_i u + noise n)`` with fields d_i and n of mean square 1
    that are smooth in space and new at every instant, the spacing h, and a uniform
    between 0 and 1 for each row.

    Args:
        states: what is perturbed.
        shift: standard deviation of the displacement at a = 1, in cells.
        noise: standard deviation of the rest at a = 1, in units of the states.
        draws: source of the randomness of each row.
    """
    rows = zip(states, draws, strict=True)
    return np.stack([_perturbed(row, shift, noise, draw) for row, draw in rows])


def _perturbed(
    states: Float[np.ndarray, "frames *space"],
    shift: float,
    noise: float,
    draw: np.random.Generator,
) -> Float[np.ndarray, "frames *space"]:
    axes = range(1, states.ndim)

    def smooth() -> np.ndarray:
        field = draw.standard_normal(states.shape, np.float32)
        for axis in axes:
            field = gaussian_filter1d(field, ERROR_LENGTH, axis)
        return field / np.sqrt(np.square(field).mean())

    error = noise * smooth()
    for axis in axes:
        beyond = [(int(n == axis),) * 2 for n in range(states.ndim)]
        ends = np.pad(states, beyond, mode="edge")
        inside = tuple(slice(low, -high or None) for low, high in beyond)
        error += shift * np.gradient(ends, axis=axis)[inside] * smooth()
    return states + draw.random(dtype=np.float32) * error


def _check_cells(dataset: xr.Dataset, targets: tuple[Field, ...]) -> None:
    """Refuse data that are coarsened in another way than the fields of a refiner."""
    for quantity in targets:
        found = sorted(averaged_over(dataset[quantity.name]))
        if found != sorted(quantity.cells):
            raise ValueError(
                f"Data of a refiner say in cell_methods what its fields are, and "
                f"{quantity.name!r} is a mean over cells along {list(quantity.cells)}, "
                f"but the data say so along {found}. Set attrs['cell_methods'], e.g. "
                "to 'time: point x: mean', or use the other task of refinement."
            )


def _dims(recipe: Recipe, dataset: xr.Dataset) -> tuple[str, ...]:
    """Axes of the layouts: time, then those of space in the order of the data."""
    dims = dataset[recipe.state[0]].dims
    return ("time", *(str(d) for d in dims if d not in ("sample", "time")))
