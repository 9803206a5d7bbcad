"""Checks of what systems are asked."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Array

__all__ = ["check_inputs", "check_numbers", "check_positive"]


def check_inputs(inputs: Mapping[str, Array], **shapes: tuple[int, ...]) -> None:
    """Raise ValueError unless each named input has its shape behind the batch axis."""
    came = {name: np.shape(values) for name, values in inputs.items()}
    batch = next((came[name][:1] for name in shapes if name in came), ())
    if any(came.get(name) != (*batch, *shape) for name, shape in shapes.items()):
        wanted = {name: ("batch", *shape) for name, shape in shapes.items()}
        raise ValueError(
            f"`solve` needs inputs of the shapes {wanted}, but got {came}. Add a batch "
            "axis, or use a system with the grid of the inputs."
        )


def check_positive(**parameters: float | int) -> None:
    """Raise ValueError unless every parameter is positive and finite."""
    for name, value in parameters.items():
        if not 0 < value < np.inf:
            raise ValueError(
                f"The parameters of a system must be positive, but {name} is {value}. "
                f"Choose a positive {name}."
            )


def check_numbers(system: Any, initial: xr.DataArray | xr.Dataset) -> None:
    """Raise ValueError where trajectories say another number than the system has.

    Such a number is a coordinate with the name of a field of the system that is no
    parameter of the trajectories.
    """
    for field in dataclasses.fields(system) if dataclasses.is_dataclass(system) else ():
        own = getattr(system, field.name)
        if field.name not in initial.coords or not isinstance(own, int | float):
            continue
        came = initial[field.name].values
        if came.dtype.kind in "fiu" and not np.allclose(came, own, rtol=1e-6, atol=0):
            raise ValueError(
                "A system has one value of each of its numbers for all trajectories, "
                f"but it has {field.name} = {own} and they come with {np.unique(came)}."
                " Run those of each value by themselves, by `dataclasses.replace("
                f"system, {field.name}=...)`, and join them by `xarray.concat`."
            )
