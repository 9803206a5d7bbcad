"""How much an excerpt is, and the copy of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from tqdm import tqdm

from wdno._files import replacing
from wdno.io.excerpt.choosing import Excerpt, choose

__all__ = ["ExcerptPlan", "copy_excerpt", "plan_excerpt"]

# Public stores are read without an account.
_PUBLIC: dict[str, dict[str, Any]] = {
    "gs": {"token": "anon"},
    "gcs": {"token": "anon"},
    "s3": {"anon": True},
}


@dataclass(frozen=True)
class ExcerptPlan:
    """How much an excerpt is, by the metadata of the store.

    Attributes:
        sizes: extents of its dimensions.
        bytes: size of its values.
        bytes_read: size of the values in the chunks that have to be read for it, which
            is more if chunks reach beyond the excerpt. Compression makes both less.
    """

    sizes: dict[str, int]
    bytes: int
    bytes_read: int


def plan_excerpt(
    excerpt: Excerpt, options: Mapping[str, Any] | None = None
) -> ExcerptPlan:
    """How much `copy_excerpt` would read and write; reads metadata and axes only.

    Args:
        excerpt: which part of which store.
        options: arguments for the file system of fsspec; by default those of public
            stores.

    Raises:
        ValueError: there is no store, or nothing in it is as asked for.
        ModuleNotFoundError: a library for stores at this address is not installed.
    """
    dataset = _opened(excerpt.url, options)
    positions, part = choose(dataset, excerpt)
    read = sum(_bytes_read(dataset[name].variable, positions) for name in part)
    sizes = {str(dim): extent for dim, extent in part.sizes.items()}
    return ExcerptPlan(sizes, sum(part[name].nbytes for name in part), read)


def copy_excerpt(
    excerpt: Excerpt, path: str | Path, options: Mapping[str, Any] | None = None
) -> None:
    """Copy a part of a Zarr store into a NetCDF file, which is complete or absent.

    Values are read and written a chunk of instants at a time, so that neither the store
    nor the excerpt has to fit into memory.

    Args:
        excerpt: which part of which store.
        path: NetCDF file to write, in an existing folder.
        options: arguments for the file system of fsspec; by default those of public
            stores.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        ValueError: there is no store, nothing in it is as asked for, or a variable does
            not consist of numbers.
        ModuleNotFoundError: a library for stores at this address is not installed.

    Example:
        >>> europe = Excerpt(
        ...     "gs://weatherbench2/datasets/era5/"
        ...     "1959-2023_01_10-6h-64x32_equiangular_conservative.zarr",
        ...     variables=("geopotential", "2m_temperature"),
        ...     levels=(500,),
        ...     latitudes=(35, 70),
        ...     longitudes=(-10, 40),
        ...     times=("2020-01", "2020-12"),
        ... )
        >>> copy_excerpt(europe, "europe.nc")
    """
    dataset = _opened(excerpt.url, options)
    positions, part = choose(dataset, excerpt)
    part = part.assign_attrs(origin=excerpt.url).drop_encoding()
    moving = [str(name) for name in part if "time" in part[name].dims]
    for name in moving:
        if part[name].dtype.kind not in "fiu":
            raise ValueError(
                f"Excerpts hold numbers, but {name!r} is of type {part[name].dtype}. "
                "Leave it out of the variables."
            )
    with replacing(path) as temporary:
        part.drop_vars(moving).to_netcdf(temporary, engine="netcdf4")
        with netCDF4.Dataset(temporary, "a") as file:
            for name in tqdm(moving, desc="variables", disable=None):
                chunk = _chunks(dataset[name].variable)["time"]
                _write(file, part[name], _blocks(positions["time"], chunk))


def _opened(url: str, options: Mapping[str, Any] | None) -> xr.Dataset:
    try:
        import zarr  # noqa: F401  # pyright: ignore
        from fsspec import get_mapper
        from fsspec.utils import get_protocol

        public = _PUBLIC.get(get_protocol(url), {})
        store = get_mapper(url, **(public if options is None else options))
    except ImportError as error:
        raise ModuleNotFoundError(
            f"Zarr stores are read by zarr and fsspec, at addresses on the web with a "
            f"library for these, but for {url} something is not installed ({error}). "
            "Install it: pip install 'wdno[era5]'."
        ) from error
    try:
        # Durations stay numbers with their unit, so that the copy has them alike.
        return xr.open_dataset(store, engine="zarr", decode_timedelta=False)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"An excerpt is taken from a Zarr store, but none can be opened at {url} "
            f"({error}). Check the address."
        ) from error


def _chunks(variable: xr.Variable) -> dict[str, int]:
    extents = variable.encoding.get("chunks") or variable.shape
    return dict(zip(map(str, variable.dims), extents, strict=True))


def _bytes_read(variable: xr.Variable, positions: dict[str, np.ndarray]) -> int:
    whole = np.dtype(variable.encoding.get("dtype", variable.dtype)).itemsize
    for dim, chunk in _chunks(variable).items():
        whole *= len(np.unique(positions[dim] // chunk)) * chunk
    return whole


def _blocks(positions: np.ndarray, chunk: int) -> list[np.ndarray]:
    """Places in the excerpt, those in one chunk of the store together."""
    ends = np.flatnonzero(np.diff(positions // chunk)) + 1
    return np.split(np.arange(len(positions)), ends)


def _write(
    file: netCDF4.Dataset, field: xr.DataArray, blocks: list[np.ndarray]
) -> None:
    kind, dims = field.dtype.newbyteorder("="), tuple(map(str, field.dims))
    for dim in (dim for dim in dims if dim not in file.dimensions):
        file.createDimension(dim, field.sizes[dim])
    stored = file.createVariable(str(field.name), kind, dims)
    stored.setncatts(field.attrs)
    axis = dims.index("time")
    for block in tqdm(blocks, desc=str(field.name), leave=False, disable=None):
        place = (slice(None),) * axis + (slice(block[0], block[-1] + 1),)
        stored[place] = field.isel(time=block).values
