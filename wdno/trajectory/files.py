"""Files of trajectories."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from wdno.trajectory._checks import with_samples
from wdno.trajectory.lazy import Labelled, lazy
from wdno.trajectory.opening import open_labelled

__all__ = ["join_trajectories", "open_trajectories"]


def open_trajectories(path: str | Path, variables: Sequence[str] = ()) -> xr.Dataset:
    """Open trajectories lazily, NetCDF or Zarr by their content.

    Args:
        path: NetCDF file, Zarr folder, Zarr in a zip, or the address of one of these,
            see `open_labelled`.
        variables: Names that must be present on (sample, time, …), or on (time, …) for
            a single trajectory.

    Raises:
        FileNotFoundError: If there is nothing at ``path``.
        ValueError: If it is neither NetCDF nor Zarr or is damaged (`open_labelled`), or
            a variable is missing or has other dimensions. Values are checked when they
            are read (`to_fields`).
    """
    return with_samples(open_labelled(path), variables)


def join_trajectories(paths: Sequence[str | Path]) -> xr.Dataset:
    """Open files of trajectories lazily as one data set, in the order of the files.

    Args:
        paths: NetCDF files or Zarr folders on one grid, with the same variables.

    Returns:
        All trajectories. If there are several files, the attributes ``recipe`` and
        ``checksum`` are JSON lists of theirs; others are kept where they agree.

    Raises:
        FileNotFoundError: If there is nothing at a path.
        ValueError: If there is no file, one cannot be read, or they differ in their
            grid, their variables, or in what is the same for all trajectories of a
            file.
    """
    parts = [open_trajectories(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    variables = [sorted(map(str, part.variables)) for part in parts]
    try:
        if any(names != variables[0] for names in variables):
            raise ValueError(f"variables {variables}")  # xarray fills in what is not
        # Without a sample they have all that they have in common, and nothing is read.
        common = xr.concat(
            [part.isel(sample=slice(0)) for part in parts],
            "sample",
            join="exact",
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            combine_attrs="drop_conflicts",
        )
        of_samples = {
            name: _joined([part.variables[name] for part in parts])
            for name, variable in common.variables.items()
            if "sample" in variable.dims
        }
    except ValueError as error:
        raise ValueError(
            "Files are joined along their trajectories and have all else in common, "
            f"but {', '.join(map(str, paths))} cannot be joined ({error}). Join files "
            "of one system on one grid."
        ) from error
    of_each = {
        name: json.dumps([part.attrs.get(name) for part in parts])
        for name in ("recipe", "checksum")
    }
    joined = common.drop_vars(of_samples).assign(of_samples).assign_attrs(of_each)
    return joined.set_coords(common.coords)


def _joined(parts: Sequence[xr.Variable]) -> xr.Variable:
    """Variables one after the other along "sample"; single numbers are read at once."""
    if parts[0].ndim == 1:
        return xr.Variable.concat([part.to_base_variable() for part in parts], "sample")
    if len(dtypes := {part.dtype for part in parts}) > 1:
        raise ValueError(f"types {dtypes}")
    dims = tuple(str(dim) for dim in parts[0].dims if dim != "sample")
    ends = np.cumsum([part.sizes["sample"] for part in parts])

    def sample(n: int) -> Labelled:
        of = int(np.searchsorted(ends, n, side="right"))
        return Labelled(parts[of].isel(sample=n - ends[of]), dims)  # from its end

    joined = lazy(sample, int(ends[-1]), dims)
    joined.attrs = dict(parts[0].attrs)
    return joined
