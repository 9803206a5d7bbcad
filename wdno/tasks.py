"""What is to be found and what is known: the one difference between models.

Simulation, refinement (super-resolution) and control are the same operator with
other targets and other given fields (Wavelet Diffusion Neural Operator,
arXiv 2412.04833, sections 3.1 and 3.2).
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.layout import Field, WaveletLayout

Names = tuple[str, ...]
Values = TypeVar("Values", np.ndarray, Array)


class Task(NamedTuple):
    """Fields to generate (`targets`) and fields to condition on (`given`)."""

    targets: tuple[Field, ...]
    given: tuple[Field, ...]


def whole(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity over all axes, time included."""
    return tuple(Field(name, dims) for name in names)


def initial(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity at the time just before the window: ``u`` gives ``u0(x)``."""
    return tuple(Field(f"{name}0", dims[1:]) for name in names)


def final(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity wished for at the end of the window: ``u`` gives ``uT(x)``."""
    return tuple(Field(f"{name}T", dims[1:]) for name in names)


def coarse(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity on the grid with half the samples along every axis."""
    return tuple(Field(f"{name}_coarse", dims, level=1) for name in names)


def simulation(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control): the operator proper.

    Args:
        state: names of the state variables, e.g. ("u",).
        control: names of the forcing or control variables, e.g. ("f",).
        dims: axes, time first, e.g. ("time", "x").
    """
    return Task(whole(state, dims), initial(state, dims) + whole(control, dims))


def refinement(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control, coarse state): doubles the resolution."""
    given = initial(state, dims) + whole(control, dims) + coarse(state, dims)
    return Task(whole(state, dims), given)


def control(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state): what guidance turns into a plan."""
    return Task(whole(state + control, dims), initial(state, dims))


def reaching(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state, final state): plans that end where wished."""
    given = initial(state, dims) + final(state, dims)
    return Task(whole(state + control, dims), given)


def with_conditions(
    fields: Mapping[str, Values], given: tuple[Field, ...]
) -> dict[str, Values]:
    """Add what is given and follows from the trajectories themselves.

    Final states are the last frames. Coarse states are every second sample along every
    axis: of the instants t_1, t_2, … those with even number, of the positions
    x_0, x_1, … as well.

    Args:
        fields: states ``u`` (batch, frames, *space) with what else is known.
        given: the fields that a model is conditioned on.

    Returns:
        `fields` and, as far as `given` names them, ``uT`` without the axis of time and
        ``u_coarse`` with axes half as long.
    """
    derived = {}
    for quantity in given:
        state = fields.get(quantity.name.removesuffix("T"))
        fine = fields.get(quantity.name.removesuffix("_coarse"))
        if quantity.name in fields:
            continue
        if quantity.level and fine is not None:
            odd, even = slice(1, None, 2), slice(None, None, 2)
            derived[quantity.name] = fine[:, odd, *(even,) * (fine.ndim - 2)]
        elif state is not None:
            derived[quantity.name] = state[:, -1]
    return {**fields, **derived}


def first_guess(known: Fields, layout: WaveletLayout) -> Fields:
    """What is given says of the targets by itself: coarse states, interpolated.

    A model generates departures from it, which are small and fade on finer grids.

    Args:
        known: what is given, of which coarse states and initial ones are used.
        layout: of the targets; its modes say how fields go on beyond the ends of space.

    Returns:
        The targets of which there are coarse states, on their own grid.
    """
    return {
        quantity.name: prolonged(
            known[f"{quantity.name}_coarse"], known[f"{quantity.name}0"], layout.mode
        )
        for quantity in layout.fields
        if f"{quantity.name}_coarse" in known
    }


def prolonged(
    coarse: Float[Array, "batch coarse_frames *coarse_space"],
    before: Float[Array, "batch *space"],
    mode: Names,
) -> Float[Array, "batch frames *space"]:
    """Coarse states on the grid of twice the samples, interpolated linearly.

    Exact for states that are linear along every axis; samples of the coarse grid keep
    their values. Beyond the last position comes the first again along an axis of mode
    "periodization", as for its wavelets, and a linear continuation along others.

    Args:
        coarse: states at t_2, t_4, … and x_0, x_2, … (see `with_conditions`).
        before: fine states at t_0.
        mode: of each axis, time first.
    """
    fine = coarse
    for axis, name in enumerate(mode[1:], start=2):
        place = partial(lax.index_in_dim, fine, axis=axis)
        beyond = place(0) if name == "periodization" else 2 * place(-1) - place(-2)
        ends = jnp.concatenate([fine, beyond], axis=axis)
        fine = _interleaved(fine, _midpoints(ends, axis), axis)
    record = jnp.concatenate([before[:, None], fine], axis=1)
    return _interleaved(_midpoints(record, 1), fine, 1)


def _midpoints(u: Array, axis: int) -> Array:
    points = u.shape[axis]
    lower = lax.slice_in_dim(u, 0, points - 1, axis=axis)
    return (lower + lax.slice_in_dim(u, 1, points, axis=axis)) / 2


def _interleaved(first: Array, second: Array, axis: int) -> Array:
    """Samples of the two in turn along an axis."""
    extents = list(first.shape)
    extents[axis] *= 2
    return jnp.stack([first, second], axis=axis + 1).reshape(extents)
