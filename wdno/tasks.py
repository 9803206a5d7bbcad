"""What is to be found and what is known: the one difference between models.

Simulation, refinement (super-resolution) and control are the same operator with
other targets and other given fields (Wavelet Diffusion Neural Operator,
arXiv 2412.04833, sections 3.1 and 3.2).
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array

from wdno.field import Field

Names = tuple[str, ...]
Values = TypeVar("Values", np.ndarray, Array)


class Task(NamedTuple):
    """Fields to generate (`targets`) and fields to condition on (`given`)."""

    targets: tuple[Field, ...]
    given: tuple[Field, ...]


def whole(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each state over all axes, time included."""
    return tuple(Field(name, dims) for name in names)


def held(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each control over all axes; its values act over intervals of time."""
    return tuple(Field(name, dims, held=True) for name in names)


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
    return Task(whole(state, dims), initial(state, dims) + held(control, dims))


def refinement(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control, coarse state): doubles the resolution."""
    given = initial(state, dims) + held(control, dims) + coarse(state, dims)
    return Task(whole(state, dims), given)


def control(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state): what guidance turns into a plan."""
    return Task(whole(state, dims) + held(control, dims), initial(state, dims))


def reaching(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state, final state): plans that end where wished."""
    given = initial(state, dims) + final(state, dims)
    return Task(whole(state, dims) + held(control, dims), given)


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
