"""Checks that every reader of labelled data shares."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from wdno._arrays import not_finite, real

Labelled = xr.DataArray | xr.Dataset


def check_labelled(**given: Any) -> None:
    """Refuse inputs that have no labels, such as plain arrays.

    Raises:
        ValueError: one of them is no DataArray or Dataset.
    """
    for name, labelled in given.items():
        if not isinstance(labelled, Labelled):
            raise ValueError(
                "Data are labelled, an xarray.DataArray or Dataset, but "
                f"{name!r} is a {type(labelled).__module__}.{type(labelled).__name__}. "
                'Label it, e.g. xarray.DataArray(values, dims=("sample", "time", "x")).'
            )


def named(given: Labelled, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """The variables of these names: of a dataset, or the array of the only name."""
    check_labelled(**{", ".join(names) or "what is given": given})
    if isinstance(given, xr.DataArray):
        if len(names) != 1:
            raise ValueError(
                f"Several variables {list(names)} are given as a Dataset, but a "
                "DataArray came. Put them into one xarray.Dataset."
            )
        return {names[0]: given}
    if missing := [name for name in names if name not in given]:
        raise ValueError(
            f"The dataset must hold {list(names)}, but {missing} are missing from "
            f"{sorted(map(str, given.data_vars))}. Rename or add them."
        )
    return {name: given[name] for name in names}


def with_samples(dataset: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Trajectories on (sample, time, …); a single one, on (time, …), gets that axis.

    Raises:
        ValueError: it is no dataset, a variable is missing or has other dimensions.
    """
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(
            "Trajectories are an xarray.Dataset of named fields, but a "
            f"{type(dataset).__name__} came. Give an array a name by "
            '`.to_dataset(name="u")`.'
        )
    found = named(dataset, names)
    one = "sample" not in dataset.dims and "sample" not in dataset.variables
    if one and found and all(v.dims[:1] == ("time",) for v in found.values()):
        return dataset.assign({n: v.expand_dims("sample") for n, v in found.items()})
    for name, variable in found.items():
        if not {"sample", "time"} <= set(variable.dims):
            raise ValueError(
                f"Trajectories have the dimensions (sample, time, …), but {name} has "
                f"{variable.dims}. Rename them, or add one by "
                '`.expand_dims("sample")`.'
            )
    return dataset


def finite(
    name: str, values: np.ndarray, samples: Sequence | np.ndarray | None = None
) -> np.ndarray:
    """Real and finite values, as `real` gives them.

    Args:
        name: of the field, for messages.
        values: rows first.
        samples: names of the rows, if not 0, 1, …

    Raises:
        ValueError: they are not real or not finite.
    """
    values = real(name, values)
    bad = not_finite(values)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"Fields must be finite, but {name} has NaN or Inf in sample "
            f"{first if samples is None else samples[first]} ({int(bad.sum())} samples "
            "in all). Remove or regenerate these samples."
        )
    return values
