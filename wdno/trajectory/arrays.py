"""Whole labelled trajectories <-> arrays."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from wdno._arrays import real
from wdno._typing import Fields
from wdno.trajectory._checks import finite, with_samples
from wdno.trajectory.cells import in_space
from wdno.trajectory.keys import States, initial_keys

__all__ = ["static_rows", "to_arrays", "to_dataset", "to_fields"]


def to_arrays(
    dataset: xr.Dataset,
    state: States,
    control: Sequence[str],
    auxiliary: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Split labelled trajectories into NumPy arrays, views of the dataset's data.

    Args:
        dataset: Trajectories on (sample, time, *space), in any order of dimensions.
        state: Names of the states, or the keys of their initial values by name.
        control: Names of the controls.
        auxiliary: Names of what comes beside the states; not read at t_0.

    Returns:
        For a state "u": "u0" (sample, *space) and "u" (sample, M, *space); for a
        control "f": "f" (sample, M, *space), where M + 1 is the number of instants;
        for what is auxiliary, "s", (sample, M, *its own axes of space).

    Raises:
        ValueError: If a variable is missing, has other dimensions or is not finite.
    """
    names = (*state, *control, *auxiliary)
    dataset = with_samples(dataset, names)
    values = {}
    for name in names:
        values[name] = dataset[name].transpose("sample", "time", ...).values
    keys = initial_keys(state, names)
    initial = {key: values[name][:, 0] for name, key in keys.items()}
    later = {name: values[name][:, 1:] for name in (*state, *auxiliary)}
    arrays = initial | later | {name: values[name][:, :-1] for name in control}
    samples = dataset["sample"].values
    return {name: finite(name, array, samples) for name, array in arrays.items()}


def to_fields(
    dataset: xr.Dataset,
    state: States,
    control: Sequence[str],
    auxiliary: Sequence[str] = (),
) -> Fields:
    """Split labelled trajectories into JAX arrays; see `to_arrays`."""
    arrays = to_arrays(dataset, state, control, auxiliary)
    return jax.device_put(arrays)


def static_rows(
    dataset: xr.Dataset, names: Sequence[str], rows: np.ndarray
) -> dict[str, np.ndarray]:
    """What never changes, repeated or selected for these trajectories.

    Args:
        dataset: Trajectories, with coordinates or variables of these names without
            "time".
        names: Names of what is wanted.
        rows: Numbers of the trajectories.

    Raises:
        ValueError: If one is missing.
    """
    found = {}
    for name in names:
        if name not in dataset.variables:
            raise ValueError(
                f"The trajectories carry what never changes, {list(names)}, but "
                f"{name!r} is missing from {sorted(map(str, dataset.variables))}. Add "
                f"it, e.g. by `.assign_coords({name}=...)`."
            )
        turned = dataset[name].transpose("sample", ..., missing_dims="ignore")
        values = real(name, turned.values)
        same = "sample" not in dataset[name].dims
        shape = (len(rows), *values.shape)
        found[name] = np.broadcast_to(values, shape) if same else values[rows]
    return found


def to_dataset(
    fields: Mapping[str, Array | np.ndarray],
    coords: Mapping[str, np.ndarray],
    state: States,
    control: Sequence[str],
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    batch: Mapping[str, int] | None = None,
    auxiliary: Mapping[str, tuple[str, ...]] | None = None,
) -> xr.Dataset:
    """Join arrays into labelled trajectories; the inverse of `to_fields`.

    Args:
        fields: Arrays as `to_arrays` describes them, for every state and control.
        coords: Instants t_0 … t_M under "time", then the positions on each spatial
            axis in axis order.
        state: Names of the states, or the keys of their initial values by name.
        control: Names of the controls.
        attributes: Attributes (units, long_name) by name of variable or coordinate.
        batch: Names and extents of the axes that the batch axis stands for, such as
            ``{"sample": 4, "member": 16}``; one axis "sample" by default.
        auxiliary: Axes, time first, by name of what comes beside the states: known
            from t_1 on, and NaN at t_0.

    Returns:
        A dataset on (*batch, time, *space). The CF attribute ``cell_methods`` says
        which variables are values at an instant and which act over an interval; what
        `attributes` says there of axes of space stays.

    Raises:
        ValueError: If a field is missing or does not have the shape of the grid.
    """
    beside = auxiliary or {}
    keys = initial_keys(state, (*control, *beside))
    required = (*keys.values(), *state, *control, *beside)
    if missing := [name for name in required if name not in fields]:
        raise ValueError(
            f"A dataset of {[*state, *control]} needs the fields {list(required)}, but "
            f"{missing} are missing from {sorted(fields)}. Give every one of them."
        )
    attributes = attributes or {}
    batch = batch or {"sample": np.shape(fields[required[0]])[0]}
    columns = {name: np.asarray(fields[name]) for name in required}
    joined = {
        name: np.concatenate([columns[key][:, None], columns[name]], axis=1)
        for name, key in keys.items()
    } | {
        name: np.concatenate(
            [columns[name], np.zeros_like(columns[name][:, :1])], axis=1
        )
        for name in control
    }
    methods = dict.fromkeys(state, "time: point") | dict.fromkeys(control, "time: mean")
    dims = dict.fromkeys(joined, tuple(coords))
    for name, own in beside.items():
        later = columns[name]
        nothing = [(0, 0), (1, 0), *[(0, 0)] * (later.ndim - 2)]
        joined[name] = np.pad(later, nothing, constant_values=np.nan)
        methods[name], dims[name] = "time: point", own
    variables = {}
    for name, values in joined.items():
        extents = {**batch, **{dim: len(coords[dim]) for dim in dims[name]}}
        shape = tuple(extents.values())
        if values.size != np.prod(shape) or values.shape[1:] != shape[len(batch) :]:
            raise ValueError(
                f"{name} must fill {extents}, but has the shape {values.shape} (batch, "
                "instants, *space). Check the coordinates and the names of the batch "
                "axes."
            )
        notes = dict(attributes.get(name, {}))
        notes["cell_methods"] = methods[name] + in_space(notes.get("cell_methods", ""))
        variables[name] = (tuple(extents), values.reshape(shape), notes)
    axes = {name: (name, v, attributes.get(name, {})) for name, v in coords.items()}
    return xr.Dataset(variables, coords=axes)
