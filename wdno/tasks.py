"""What is to be found and what is known: the one difference between models.

Simulation, refinement (super-resolution) and control are the same operator with
other targets and other given fields (Wavelet Diffusion Neural Operator,
arXiv 2412.04833, sections 3.1 and 3.2).
"""

from typing import NamedTuple

from wdno.layout import Field

Names = tuple[str, ...]


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
