"""Which layout a file is of, by its content: the one module that knows them all."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from wdno._files import standing
from wdno.io.hdf5 import opened
from wdno.io.official import open_burgers, open_burgers_coefficients, open_smoke
from wdno.io.official_checkpoint import read_state_dict
from wdno.io.pdebench import matches_pdebench, open_pdebench
from wdno.io.realpdebench import matches_realpdebench, open_realpdebench
from wdno.io.the_well import matches_the_well, open_the_well
from wdno.io.torch_files import read
from wdno.io.weatherbench import matches_weatherbench, open_weatherbench
from wdno.trajectory import open_trajectories
from wdno.trajectory.places import is_zarr, zarr_folders

__all__ = ["Layout", "LAYOUTS", "describe", "layout_of", "open_any"]


class Layout(NamedTuple):
    """What a layout is, and the function that opens it."""

    title: str
    open: Callable[[Path], Any]


LAYOUTS = {
    "trajectories": Layout("Trajectories of this package", open_trajectories),
    "official-burgers": Layout("Burgers records of the official code", open_burgers),
    "official-coefficients": Layout(
        "Wavelet coefficients of the official code", open_burgers_coefficients
    ),
    "official-smoke": Layout("Scenes of smoke of the official code", open_smoke),
    "official-checkpoint": Layout("Checkpoint of the official code", read_state_dict),
    "pdebench": Layout("Data of PDEBench", open_pdebench),
    "the-well": Layout("Data of The Well", open_the_well),
    "realpdebench": Layout("Raw data of RealPDEBench", open_realpdebench),
    "weatherbench": Layout("Weather of WeatherBench 2", open_weatherbench),
}
"""Every layout that is told by its content, by name."""

_HDF5 = {
    "the-well": matches_the_well,
    "pdebench": matches_pdebench,
    "realpdebench": matches_realpdebench,
}


def layout_of(path: str | Path) -> str:
    """The name in `LAYOUTS` of the layout of a file or folder, by its content.

    Suffixes do not count. Without h5py, HDF5 files are taken to be NetCDF.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is of no layout that is known here, or truncated.

    Example:
        >>> layout_of("1D_CFD_Rand_Eta0.1_Zeta0.1_periodic_Train.hdf5")
        'pdebench'
    """
    path = standing(path)
    if not path.exists():
        raise FileNotFoundError(
            f"A layout is told by the content of a file, but there is none at {path}. "
            "Check the path."
        )
    if path.is_dir():
        return _of_folder(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PK\3\4":
        return _of_archive(path)
    if magic == b"\x89HDF":
        return _of_hdf5(path) or _of_labelled(path)
    if magic[:3] == b"CDF":
        return _of_labelled(path)
    raise _unknown(path, f"it begins with {magic!r}")


def open_any(path: str | Path) -> Any:
    """Open data of any layout, lazily, as the function of its layout does.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is of no layout that is known here, or damaged.
    """
    return LAYOUTS[layout_of(path)].open(standing(path))


def describe(path: str | Path) -> str:
    """Say which layout a file or folder is of, how to open it, and what is in it.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is of no layout that is known here, or damaged.
    """
    title, open_ = LAYOUTS[layout_of(path)]
    home = "trajectory" if open_ is open_trajectories else "io"
    heading = f"{title}; wdno.{home}.{open_.__name__} opens it."
    content = open_(standing(path))
    if isinstance(content, xr.Dataset):
        return f"{heading}\n{content}"
    shapes = {name: tensor.shape for name, tensor in content.items()}
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    lines = [f"{name} {shape}" for name, shape in list(shapes.items())[:8]]
    more = [f"… and {len(shapes) - 8} more"] if len(shapes) > 8 else []
    total = f"{len(shapes)} tensors of {count:,} numbers"
    return "\n".join([heading, total, *lines, *more])


def _of_folder(path: Path) -> str:
    if is_zarr(path):
        return _of_labelled(path)
    names = sorted(entry.name for entry in path.iterdir())
    if any(name.startswith("sim_") and (path / name).is_dir() for name in names):
        return "official-smoke"
    files = [name for name in names if name.endswith((".h5", ".hdf5"))]
    if files and _of_hdf5(path / files[0]) == "realpdebench":
        return "realpdebench"
    raise _unknown(path, f"it holds {names[:8]}")


def _of_archive(path: Path) -> str:
    if zarr_folders(path):
        return _of_labelled(path)
    content = read(path)
    if isinstance(content, dict) and isinstance(content.get("coef"), list):
        return "official-coefficients"
    arrays = content if isinstance(content, dict) else {}
    pair = arrays.get("u"), arrays.get("f")
    if all(isinstance(part, np.ndarray) and part.ndim == 3 for part in pair):
        return "official-burgers"
    return "official-checkpoint"


def _of_hdf5(path: Path) -> str | None:
    """A layout that is HDF5 but not NetCDF, if the file is of one."""
    try:
        with opened(path) as file:
            if "_NCProperties" in file.attrs:
                return None
            return next((n for n, matches in _HDF5.items() if matches(file)), None)
    except ModuleNotFoundError:
        return None


def _of_labelled(path: Path) -> str:
    """Trajectories of this package or weather: NetCDF or Zarr."""
    with open_trajectories(path) as dataset:
        if {"sample", "time"} <= set(dataset.dims):
            return "trajectories"
        if matches_weatherbench(dataset):
            return "weatherbench"
        found = f"it has the dimensions {dict(dataset.sizes)}"
    raise _unknown(path, found)


def _unknown(path: Path, found: str) -> ValueError:
    told = importlib.util.find_spec("h5py") is not None
    need = "" if told else " HDF5 is told apart by h5py: pip install 'wdno[hdf5]'."
    return ValueError(
        f"Known layouts are {', '.join(LAYOUTS)}, but {path} is none of them: {found}. "
        "Files of ERA5 are opened by `wdno.open_era5`; of others make a dataset on "
        f"(sample, time, *space) and save it by `wdno.trajectory.save`.{need}"
    )
