"""Files of trajectories."""

import json
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from wdno._files import replacing
from wdno.trajectory._checks import check_variables

__all__ = ["open_trajectories", "save"]


def open_trajectories(path: str | Path, variables: Sequence[str] = ()) -> xr.Dataset:
    """Open a file of trajectories lazily, NetCDF or Zarr by its content.

    Args:
        path: NetCDF file or Zarr folder.
        variables: Names that must be present on (sample, time, …).

    Raises:
        FileNotFoundError: If there is nothing at ``path``.
        ValueError: If it is neither NetCDF nor Zarr, or a variable is missing or has
            other dimensions. Values are checked when they are read (`to_fields`).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Trajectories are read from an existing file, but there is none at {path}."
            " Check the path, or generate the file first."
        )
    zarr = any((path / name).exists() for name in ("zarr.json", ".zgroup"))
    if not zarr:
        magic = b"" if path.is_dir() else path.open("rb").read(4)
        if magic != b"\x89HDF" and magic[:3] != b"CDF":
            raise ValueError(
                f"Trajectories are NetCDF files or Zarr folders, but {path} begins "
                f"with {magic!r}. Convert it, or check that it is complete."
            )
    try:
        dataset = xr.open_dataset(path, engine="zarr" if zarr else None)
    except OSError as error:
        raise ValueError(
            f"Trajectories are complete NetCDF files, but {path} cannot be read "
            f"({error}). Generate or copy it again."
        ) from error
    check_variables(dataset, variables)
    return dataset


def join_trajectories(paths: Sequence[str | Path]) -> xr.Dataset:
    """Open files of trajectories as one data set, in the order of the files.

    One file is opened lazily; several are read into memory.

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
        joined = xr.concat(
            parts,
            "sample",
            join="exact",
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            combine_attrs="drop_conflicts",
        )
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
    return joined.assign_attrs(of_each)


def save(dataset: xr.Dataset, path: str | Path) -> None:
    """Write trajectories to a NetCDF file; an interrupted run leaves the old one.

    Raises:
        FileNotFoundError: If the folder of ``path`` does not exist.
    """
    with replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4")
