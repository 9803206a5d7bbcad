"""A recipe for data that nobody has seen: what follows from their axes and names.

Nothing here is learned, and everything may be changed: a recipe is a frozen dataclass,
and a file (`wdno.training.recipe_file`).
"""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from wdno._arrays import real
from wdno.networks import FourierConfig, LocalConfig
from wdno.operator import tasks
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.local_scale import LocalScale
from wdno.training.parts import in_samples
from wdno.training.recipe import RESIDUAL_LEVELS, Recipe
from wdno.trajectory import with_samples

LONGEST = {1: 32, 2: 16, 3: 8}
"""Frames of a window, at most, by the axes of space: what a batch may cost."""
MOST_FILLED = 1.1
"""Length of the windows of a record, in lengths of that record."""
BATCH = {1: 32, 2: 8, 3: 4}
DEEP = 64
"""Points along an axis from which on two levels pay, where time allows them."""
SEAM = 2.0
"""Largest step across the ends of a periodic axis, in mean steps along it."""


def suggest(
    dataset: xr.Dataset,
    state: Sequence[str] = (),
    control: Sequence[str] = (),
    static: Sequence[str] | None = None,
) -> Recipe:
    """A recipe of the simulation task for these trajectories.

    The window is the longest that fits the records with little to fill up; an axis that
    closes on itself is continued periodically, others have ends; extents that two do
    not divide are halved with a mirror image. The mean is learned by a Fourier operator
    (local kernels in three dimensions), with a scale at each place, then the residual.

    Args:
        dataset: trajectories on (sample, time, *space), with 1 to 3 axes of space, or
            one on (time, *space), of whose parts the recipe is.
        state: names of the states; by default every variable with an axis of time
            that is no control.
        control: names of what acts over the intervals; none by default.
        static: names of what never changes and is given; by default every number
            without an axis of time that differs between samples or places.

    Raises:
        ValueError: a variable is missing, has other axes, is not real, or is a state
            and a control; the records are shorter than two intervals, or ensembles.

    Example:
        >>> recipe = suggest(data, ("temperature",), ("heating",))
        >>> recipe = replace(recipe, window=16)
    """
    dataset = in_samples(dataset)
    state = tuple(state) or _evolving(dataset, control)
    if twice := sorted({*state} & {*control}):
        raise ValueError(
            f"A field either evolves or acts, but {twice} are among the states "
            f"{list(state)} and the controls {list(control)}. Leave them out of one."
        )
    dataset = with_samples(dataset, (*state, *control))
    sizes = {str(dim): count for dim, count in dataset[state[0]].sizes.items()}
    axes = [dim for dim in sizes if dim not in ("sample", "time")]
    frames = sizes["time"] - 1
    if len(axes) not in LONGEST or min(frames, *(sizes[axis] for axis in axes)) < 2:
        points = {dim: sizes[dim] for dim in ("time", *axes)}
        raise ValueError(
            "Models are made for records of two intervals or more, with one to three "
            f"axes of space of two points or more, but a record has {points}. "
            "Join records, cut out a region, or drop an axis of one point by "
            "`.squeeze()`."
        )
    window = fitting_window(frames, LONGEST[len(axes)])
    extents = (window, *(dataset.sizes[axis] for axis in axes))
    deep = len(axes) == 1 and extents[1] >= DEEP and window % 4 == 0
    levels = 2 if deep else 1
    periodic = [_closes(dataset, state, axis) for axis in axes]
    names = _unchanging(dataset) if static is None else tuple(static)
    given = tuple(
        quantity
        for name in names
        for quantity in tasks.static((name,), _space(dataset[name]))
    )
    return Recipe(
        state,
        tuple(control),
        window,
        beside=tasks.Task((), given),
        wavelet="bior2.4" if all(periodic) else "haar",
        mode=tuple(_mode(extent, levels) for extent in extents),
        levels=levels,
        network=_network(extents, levels),
        residual=LocalScale(LearnedMean(_network(extents, levels))),
        mean_share=0.7,
        uniform_weight=0.5,
        noise=RESIDUAL_LEVELS,
        batch_size=BATCH[len(axes)],
    )


def fitting_window(frames: int, longest: int) -> int:
    """The largest even number of frames whose multiples hardly exceed a record.

    Args:
        frames: intervals of a record, two or more.
        longest: frames of a window, at most.
    """
    windows = range(2, min(longest, frames) + 1, 2)
    filled = {n: math.ceil(frames / n) * n for n in windows}
    few = [n for n in windows if filled[n] <= MOST_FILLED * frames]
    return max(few) if few else min(windows, key=lambda n: (filled[n], -n))


def _evolving(dataset: xr.Dataset, control: Sequence[str]) -> tuple[str, ...]:
    names = [str(n) for n, v in dataset.data_vars.items() if "time" in v.dims]
    found = tuple(name for name in names if name not in control)
    if not found:
        raise ValueError(
            'A model has a state that evolves, but no variable with the axis "time" '
            f"is left in {sorted(map(str, dataset.data_vars))} beside the controls "
            f"{list(control)}. Name the states, or rename the axis."
        )
    return found


def _unchanging(dataset: xr.Dataset) -> tuple[str, ...]:
    """Numbers without time that say something of a sample or a place."""
    return tuple(
        str(name)
        for name, variable in dataset.variables.items()
        if name not in dataset.dims
        and "time" not in variable.dims
        and variable.dims
        and variable.dtype.kind in "fiub"
    )


def _space(variable: xr.DataArray) -> tuple[str, ...]:
    return tuple(str(dim) for dim in variable.dims if dim != "sample")


def _closes(dataset: xr.Dataset, state: Sequence[str], axis: str) -> bool:
    """Whether states go on, from the last point of an axis, at its first."""
    for name in state:
        few = dataset[name].isel(sample=slice(8)).transpose(..., axis)
        values = real(name, few.values)
        steps = np.abs(np.diff(values, axis=-1)).mean()
        if np.abs(values[..., 0] - values[..., -1]).mean() > SEAM * steps:
            return False
    return True


def _mode(extent: int, levels: int) -> str:
    return "symmetric" if extent % 2**levels else "periodization"


def _network(extents: Sequence[int], levels: int) -> FourierConfig | LocalConfig:
    """A backbone whose modes the grid of coefficients has."""
    coefficients = [max(1, extent // 2**levels) for extent in extents]
    if len(extents) > 3:  # noqa: PLR2004 - time and three axes of space
        return LocalConfig((3,) * len(extents), width=32, depth=4)
    most, width = ((8, 16), 64) if len(extents) == 2 else ((4, 8, 8), 32)  # noqa: PLR2004
    modes = tuple(map(min, most, coefficients))
    return FourierConfig(modes, width=width, depth=4)
