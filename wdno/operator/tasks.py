"""What is to be found and what is known: the one difference between models.

Simulation, refinement (super-resolution) and control are the same operator with
other targets and other given fields (Wavelet Diffusion Neural Operator,
arXiv 2412.04833, sections 3.1 and 3.2).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from wdno.wavelets.field import DERIVED, CellMeans, Field, Role, Values
from wdno.wavelets.protocols import Conditions

Names = tuple[str, ...]


class Task(NamedTuple):
    """Fields to generate (`targets`) and fields to condition on (`given`)."""

    targets: tuple[Field, ...]
    given: tuple[Field, ...]


def joined(*parts: Task) -> Task:
    """The fields of several tasks, each under a name of its own.

    A derived field gives way to one that really has its name: where a quantity is
    called "u0", the initial values of "u" are called "u_initial".
    """
    targets = tuple(quantity for part in parts for quantity in part.targets)
    given = tuple(quantity for part in parts for quantity in part.given)
    taken = {q.name for q in (*targets, *given) if q.role not in DERIVED}
    return Task(targets, tuple(_distinct(quantity, taken) for quantity in given))


def whole(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each state over all axes, time included."""
    return tuple(Field(name, dims) for name in names)


def piecewise_constant(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each control over all axes; its values act over intervals of time."""
    return tuple(Field(name, dims, Role.PIECEWISE_CONSTANT) for name in names)


def initial(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity at the time just before the window: of u it is ``u0(x)``."""
    return tuple(Field(f"{n}0", dims[1:], Role.INITIAL, of=n) for n in names)


def final(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity wished for at the end of the window: of u it is ``uT(x)``."""
    return tuple(Field(f"{n}T", dims[1:], Role.FINAL, of=n) for n in names)


def coarse(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity on the grid with half the samples along its axes."""
    return tuple(Field(f"{n}_coarse", dims, Role.COARSE, of=n, level=1) for n in names)


def static(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity that never changes, on these axes; numbers have none."""
    return tuple(Field(name, dims, Role.STATIC) for name in names)


def past(names: Names, dims: Names) -> tuple[Field, ...]:
    """Each quantity as it was observed before the initial state."""
    return tuple(Field(name, dims, Role.PAST) for name in names)


def simulation(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control): the operator proper.

    Args:
        state: names of the state variables, e.g. ("u",).
        control: names of the forcing or control variables, e.g. ("f",).
        dims: axes, time first, e.g. ("time", "x").
    """
    given = initial(state, dims) + piecewise_constant(control, dims)
    return joined(Task(whole(state, dims), given))


def refinement(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control, coarse state): doubles the resolution."""
    return joined(simulation(state, control, dims), Task((), coarse(state, dims)))


def cell_refinement(state: Names, control: Names, dims: Names) -> Task:
    """p(state | initial state, control, coarse state) of means over cells of space.

    Doubles the cells along each axis of space and keeps the instants.
    """
    parts = refinement(state, control, dims)
    return Task(*(tuple(CellMeans(**vars(q)) for q in part) for part in parts))


def control(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state): what guidance turns into a plan."""
    targets = whole(state, dims) + piecewise_constant(control, dims)
    return joined(Task(targets, initial(state, dims)))


def reaching(state: Names, control: Names, dims: Names) -> Task:
    """p(state, control | initial state, final state): plans that end where wished."""
    targets = whole(state, dims) + piecewise_constant(control, dims)
    return joined(Task(targets, initial(state, dims) + final(state, dims)))


def keys_of(role: Role, layout: Conditions) -> dict[str, str]:
    """Keys of the arrays with a role in a layout, by the quantity that they are of."""
    return {q.of or q.name: q.name for q in layout.fields if q.role is role}


def with_conditions(
    fields: Mapping[str, Values], given: tuple[Field, ...]
) -> dict[str, Values]:
    """Add what is given and follows from the trajectories themselves.

    Final states are the last frames. Coarse states are every second sample along every
    axis: of the instants t_1, t_2, … those with even number, of the positions
    x_0, x_1, … as well. Where values are means over cells, coarse ones are means over
    two cells along every axis of space, at all instants.

    Args:
        fields: states ``u`` (batch, frames, *space) with what else is known.
        given: the fields that a model is conditioned on.

    Returns:
        `fields` and, as far as `given` names them, ``uT`` without the axis of time and
        ``u_coarse`` with axes half as long (`Field.coarsened`).
    """
    derived = {}
    for quantity in given:
        record = fields.get(quantity.of)
        if quantity.name in fields or record is None:
            continue
        if quantity.role is Role.COARSE:
            derived[quantity.name] = quantity.coarsened(
                record, dict.fromkeys(quantity.refined, 2)
            )
        elif quantity.role is Role.FINAL:
            derived[quantity.name] = record[:, -1]
    return {**fields, **derived}


def _distinct(quantity: Field, taken: set[str]) -> Field:
    if quantity.role in DERIVED and quantity.name in taken:
        return replace(quantity, name=f"{quantity.of}_{quantity.role.value}")
    return quantity
