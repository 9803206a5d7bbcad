"""Whole labelled trajectories <-> arrays."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from wdno._typing import Fields
from wdno.trajectory._checks import check_variables, finite

__all__ = ["to_arrays", "to_dataset", "to_fields"]


def to_arrays(
    dataset: xr.Dataset, state: Sequence[str], control: Sequence[str]
) -> dict[str, np.ndarray]:
    """Split labelled trajectories into NumPy arrays, views of the dataset's data.

    Args:
        dataset: Trajectories on (sample, time, *space), in any order of dimensions.
        state: Names of the states.
        control: Names of the controls.

    Returns:
        For a state "u": "u0" (sample, *space) and "u" (sample, M, *space); for a
        control "f": "f" (sample, M, *space), where M + 1 is the number of instants.

    Raises:
        ValueError: If a variable is missing, has other dimensions or is not finite.
    """
    check_variables(dataset, (*state, *control))
    values = {}
    for name in (*state, *control):
        variable = dataset[name].transpose("sample", "time", ...)
        values[name] = finite(name, variable.values)
    initial = {f"{name}0": values[name][:, 0] for name in state}
    later = {name: values[name][:, 1:] for name in state}
    return initial | later | {name: values[name][:, :-1] for name in control}


def to_fields(
    dataset: xr.Dataset, state: Sequence[str], control: Sequence[str]
) -> Fields:
    """Split labelled trajectories into JAX arrays; see `to_arrays`."""
    arrays = to_arrays(dataset, state, control)
    return {name: jnp.asarray(values) for name, values in arrays.items()}


def to_dataset(
    fields: Mapping[str, Array | np.ndarray],
    coords: Mapping[str, np.ndarray],
    state: Sequence[str],
    control: Sequence[str],
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    batch: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Join arrays into labelled trajectories; the inverse of `to_fields`.

    Args:
        fields: Arrays as `to_arrays` describes them, for every state and control.
        coords: Instants t_0 … t_M under "time", then the positions on each spatial
            axis in axis order.
        state: Names of the states.
        control: Names of the controls.
        attributes: Attributes (units, long_name) by name of variable or coordinate.
        batch: Names and extents of the axes that the batch axis stands for, such as
            ``{"sample": 4, "member": 16}``; one axis "sample" by default.

    Returns:
        A dataset on (*batch, time, *space). The CF attribute ``cell_methods`` says
        which variables are values at an instant and which are held over an interval.

    Raises:
        ValueError: If a field is missing or does not have the shape of the grid.
    """
    required = (*(f"{name}0" for name in state), *state, *control)
    if missing := [name for name in required if name not in fields]:
        raise ValueError(
            f"A dataset of {[*state, *control]} needs the fields {list(required)}, but "
            f"{missing} are missing from {sorted(fields)}. Give every one of them."
        )
    attributes = attributes or {}
    batch = batch or {"sample": np.shape(fields[required[0]])[0]}
    columns = {name: np.asarray(fields[name]) for name in required}
    joined = {
        name: np.concatenate([columns[f"{name}0"][:, None], columns[name]], axis=1)
        for name in state
    } | {
        name: np.concatenate(
            [columns[name], np.zeros_like(columns[name][:, :1])], axis=1
        )
        for name in control
    }
    shape = (*batch.values(), *(len(points) for points in coords.values()))
    methods = dict.fromkeys(state, "time: point") | dict.fromkeys(control, "time: mean")
    variables = {}
    for name, values in joined.items():
        if values.size != np.prod(shape) or values.shape[1:] != shape[len(batch) :]:
            raise ValueError(
                f"{name} must fill {dict(zip((*batch, *coords), shape, strict=True))}, "
                f"but has the shape {values.shape} (batch, instants, *space). Check "
                "the coordinates and the names of the batch axes."
            )
        notes = {**attributes.get(name, {}), "cell_methods": methods[name]}
        variables[name] = ((*batch, *coords), values.reshape(shape), notes)
    axes = {name: (name, v, attributes.get(name, {})) for name, v in coords.items()}
    return xr.Dataset(variables, coords=axes)
