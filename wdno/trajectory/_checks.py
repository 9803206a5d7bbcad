"""Checks that every reader of labelled data shares."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from wdno._arrays import not_finite


def named(
    given: xr.DataArray | xr.Dataset, names: Sequence[str]
) -> dict[str, xr.DataArray]:
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


def check_variables(dataset: xr.Dataset, names: Sequence[str]) -> None:
    """Refuse trajectories without these variables on (sample, time, …)."""
    for name, variable in named(dataset, names).items():
        if not {"sample", "time"} <= set(variable.dims):
            raise ValueError(
                f"Trajectories have the dimensions (sample, time, …), but {name} has "
                f"{variable.dims}. Rename them or add them with `.expand_dims`."
            )


def finite(
    name: str, values: np.ndarray, samples: Sequence | np.ndarray | None = None
) -> np.ndarray:
    """Refuse what is not finite; `samples` are the names of the rows, if not 0, 1, …"""
    bad = not_finite(values)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"Fields must be finite, but {name} has NaN or Inf in sample "
            f"{first if samples is None else samples[first]} ({int(bad.sum())} samples "
            "in all). Remove or regenerate these samples."
        )
    return values
