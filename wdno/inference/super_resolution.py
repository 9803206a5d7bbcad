"""Super-resolution: one refiner, applied again and again, doubles a grid each time.

Axes that are doubled and the span refined at once are its layout's (`refinement`,
`span`); whether values are at points or means over cells, its fields (`cells`) say.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import eval_context
from jaxtyping import PRNGKeyArray

from wdno._arguments import is_whole
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys, step_keys
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import (
    Labelled,
    attributes,
    batch_keys,
    check_call,
    for_members,
    in_batches,
    record_coords,
    with_members,
)
from wdno.inference.rollout import rollout
from wdno.operator.model import WDNO
from wdno.trajectory import (
    as_came,
    at_instant,
    coarsen,
    on_grid,
    over_intervals,
    static_fields,
    to_dataset,
    to_fields,
    to_rows,
)


# Labelled data are never traced: within a transform they are computed with at once.
@eval_context()
def super_resolve(
    model: WDNO,
    coarse: Labelled,
    initial: Labelled,
    control: Labelled | None = None,
    *,
    factor: int = 2,
    members: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 1,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Refine coarse trajectories, beyond the training grid too.

    Values at points are refined in time and space, means over cells in space.

    The model of p(u | u_coarse, u0, f) takes the grid N to 2N; its output is its next
    input (WDNO, arXiv 2412.04833, section 3.2):

    ``u_2N ~ p(u_2N | u_N, u0_2N, f_2N)``, ``u_4N ~ p(u_4N | u_2N, u0_4N, f_4N)``, …

    where u0 and f on the grids between are those given, coarsened
    (`wdno.trajectory.coarsen`). Each doubling is a `rollout` of windows; axes that the
    model does not refine stay as they are. A model with the residual of an
    `Interpolation` of means over cells keeps these: what is conserved on the coarse
    grid is so on all others.

    Args:
        model: a model of the refinement task; its parameters serve every grid.
        coarse: states at t_0 … t_M on (sample[, member], time, *space), from another
            model, a solver or a measurement; an array if there is one state. Of what
            has no initial state that is given, the first instant is not read.
        initial: initial states on the finest grid. What never changes and the model is
            given, such as a parameter of the equation, is a coordinate of theirs.
        control: controls on the finest grid: ``factor * M`` rows, or one more that
            closes the record and does not act; left out if the model has none.
        factor: ratio of the finest grid to the coarse one along each refined axis.
        members: refinements of each trajectory; adds the dimension "member".
        sampler: deterministic DDIM by default.
        steps: denoiser calls per window.
        batch_size: trajectories computed at once; bounds the memory and changes
            nothing else.
        key: one key; trajectory n draws from ``fold_in(key, n)``, its member m from
            ``fold_in(fold_in(key, n), m)``, and from these anew on each grid.

    Returns:
        States and controls on the finest grid, with the initial state at the first
        instant; members that the coarse states have are refined one by one. What the
        model generates beside them has NaN there.

    Raises:
        ValueError: before any sampling, if the model is no refiner, `factor` is not a
            power of two from 2, or an input is missing, not finite, on a grid not
            nested with that of the others, or not on the domain of the model.

    Example:
        >>> fine = wdno.super_resolve(refiner, forecast, truth.u.isel(time=0), truth.f,
        ...                           factor=8, key=jax.random.key(0))
    """
    optional = {"control": control}
    check_call(model, key, optional=optional, coarse=coarse, initial=initial)
    ratios = _ratios_to_finest(factor)
    _require_refiner(model)
    control = xr.Dataset() if control is None else control
    extents = _finest_extents(coarse, initial, control, model, factor)
    refiners = [_refiner(model, extents, ratio) for ratio in ratios]
    over_time = control if model.control else coarse
    coords = record_coords(refiners[-1], over_time, extents[0])
    fields, batch = _inputs(coarse, initial, control, model, coords, factor)
    batch = with_members(batch, members)
    refined = np.argmax(model.targets.refinement)

    def run(known: Fields, keys: RowKeys) -> Fields:
        states = {name: known.pop(key) for name, key in model.coarse.items()}
        for ratio, refiner in zip(ratios, refiners, strict=True):
            start = _on_coarser_grid(known, model, coords, ratio)
            over_time = {name: start.pop(name) for name in model.control}
            over_time |= {key: states[name] for name, key in model.coarse.items()}
            # by extent, usually frames: a doubling draws the same alone or in a row
            draws = step_keys(keys, jnp.full(len(keys), extents[refined] // ratio))
            states = rollout(
                refiner, start, over_time, sampler=sampler, steps=steps, key=draws
            )
        return states

    states = in_batches(run, fields, batch_size, batch_keys(key, batch))
    attrs = attributes(initial, model.state) | attributes(control, model.control)
    beside = {q.name: q.dims for q in model.targets.fields if q.name in model.auxiliary}
    known = for_members(fields, batch)
    fine = to_dataset(
        {**known, **states}, coords, model.initial, model.control, attrs, batch, beside
    )
    static = {name: initial[name].variable for name in model.static}
    return as_came(fine, initial, control, coarse).assign_coords(static)


def _ratios_to_finest(factor: int) -> list[int]:
    """Ratio of the finest grid to the grid of each doubling: factor/2, …, 2, 1."""
    if not is_whole(factor, 2) or factor & (factor - 1):
        raise ValueError(
            f"A refiner doubles the grid some number of times, but factor is {factor}. "
            "Choose 2, 4, 8, …"
        )
    return [2**k for k in reversed(range(factor.bit_length() - 1))]


def _strides(model: WDNO, ratio: int) -> dict[str, int]:
    """The ratio along each axis that the model refines, 1 along others."""
    axes = zip(model.targets.dims, model.targets.refinement, strict=True)
    return {dim: ratio if refined > 1 else 1 for dim, refined in axes}


def _refiner(model: WDNO, extents: tuple[int, ...], ratio: int) -> WDNO:
    """The model on the grid coarser by `ratio` than frames and points of the finest."""
    strides = _strides(model, ratio).values()
    frames, *points = (n // r for n, r in zip(extents, strides, strict=True))
    return model.on((model.targets.span(frames), *points))


def _require_refiner(model: WDNO) -> None:
    coarse, state = {*model.coarse}, {*model.state}
    if not (state and state <= coarse <= state | {*model.auxiliary}):
        raise ValueError(
            "Super-resolution takes a model of the refinement task, which is given "
            f"coarse states, but this one generates {list(model.state)} given "
            f"{[q.name for q in model.given.fields]}. Load a refiner."
        )


def _finest_extents(
    coarse: Labelled, initial: Labelled, control: Labelled, model: WDNO, factor: int
) -> tuple[int, ...]:
    """Frames and points of the finest grid, once all inputs have them."""
    dims = model.targets.dims
    if missing := [dim for dim in dims if dim not in coarse.dims]:
        raise ValueError(
            f"Coarse states have the dimensions {list(dims)}, but {missing} are missing"
            f" from {list(coarse.dims)}. Rename or add them."
        )
    times = _strides(model, factor)
    frames, *points = (times[dim] * coarse.sizes[dim] for dim in dims)
    frames -= times[dims[0]]  # the initial state is an instant, but no frame
    allowed = dict(
        zip(dims, ((frames, frames + 1), *((n,) for n in points)), strict=True)
    )
    for what, given in (("initial state", initial), ("control", control)):
        for dim, extents in allowed.items():
            if dim in given.dims and given.sizes[dim] not in extents:
                raise ValueError(
                    f"The fine conditions have {times[dim]} times the extent of coarse "
                    f"states, {' or '.join(map(str, extents))} along {dim!r}, but the "
                    f"{what} has {given.sizes[dim]}. Give it on that grid, or choose "
                    "another factor."
                )
    return frames, *points


def _inputs(
    coarse: Labelled,
    initial: Labelled,
    control: Labelled,
    model: WDNO,
    coords: dict[str, np.ndarray],
    factor: int,
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Conditions on the finest grid, coarse states on theirs, as one batch."""
    space = {dim: coords[dim] for dim in model.targets.dims[1:]}
    nested = _coarse_coords(coords, model, factor)
    initials = at_instant(initial, model.state, space)
    states = on_grid(coarse, tuple(model.coarse), nested)
    arrays = {model.initial[name]: u for name, u in initials.items()}
    arrays |= static_fields(initial, model.static, space)
    arrays |= over_intervals(control, model.control, coords)
    later = slice(1, None)
    arrays |= {model.coarse[n]: u.isel(time=later) for n, u in states.items()}
    return to_rows(arrays, coords)


def _coarse_coords(
    coords: dict[str, np.ndarray], model: WDNO, ratio: int
) -> dict[str, np.ndarray]:
    """Coordinates of the grid coarser by `ratio`: some of the points, or centres."""
    strides = _strides(model, ratio)
    coarse = {dim: points[:: strides[dim]] for dim, points in coords.items()}
    for dim in model.cells:
        coarse[dim] = coords[dim].reshape(-1, strides[dim]).mean(axis=1)
    return coarse


def _on_coarser_grid(
    known: Fields, model: WDNO, coords: dict[str, np.ndarray], ratio: int
) -> Fields:
    """What is known on the grid coarser by `ratio` than `coords`."""
    strides = _strides(model, ratio)
    starting = {*model.initial.values(), *model.static}
    thin = {
        quantity.name: quantity.coarsened(known[quantity.name], strides)
        for quantity in model.given.fields
        if quantity.name in starting
    }
    if model.control:
        means = {"cell_methods": " ".join(f"{dim}: mean" for dim in model.cells)}
        notes = dict.fromkeys(model.control, means)
        acting = to_dataset(known, coords, (), model.control, notes)
        thin |= to_fields(coarsen(acting, strides), (), model.control)
    return thin
