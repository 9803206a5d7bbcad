"""Windows of trajectories, read from where these lie when they are asked for."""

import numpy as np
import xarray as xr
from jaxtyping import Int

__all__ = ["read_windows"]


def read_windows(
    dataset: xr.Dataset,
    length: int,
    starts: Int[np.ndarray, " window"],
    rows: Int[np.ndarray, " window"],
) -> xr.Dataset:
    """Short trajectories that are cut out of long ones, in a file or in memory.

    Nothing else is read of a file, and rows are read in their order there, whichever
    order is asked for.

    Args:
        dataset: Trajectories on (sample, time, *space), in any order of dimensions;
            what has no axis "sample" is the same for all.
        length: Intervals of a window, which has one instant more.
        starts: Its first instant.
        rows: Number of the trajectory that each window is cut from.

    Returns:
        Windows on (sample, time, *space), each with the number of its trajectory as
        its coordinate "sample", and without "time", which differs between them.
    """
    order = np.argsort(rows, kind="stable")
    cut = {}
    for name, variable in dataset.variables.items():
        if name in ("sample", "time"):
            continue
        if "sample" not in variable.dims:
            cut[name] = variable
            continue
        space = [d for d in variable.dims if d not in ("sample", "time")]
        dims = ("time", *space) if "time" in variable.dims else tuple(space)
        extents = {**variable.sizes, "time": length + 1}
        values = np.empty((len(rows), *(extents[d] for d in dims)), variable.dtype)
        for window in order:
            instants = slice(starts[window], starts[window] + length + 1)
            place = {"sample": int(rows[window]), "time": instants}
            part = variable.isel(place, missing_dims="ignore")
            values[window] = part.transpose(*dims).values
        cut[name] = (("sample", *dims), values, variable.attrs)
    return xr.Dataset(cut, {"sample": rows})
