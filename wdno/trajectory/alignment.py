"""Rows of several inputs that belong together by their labels."""

from collections.abc import Collection, Mapping

import jax
import numpy as np
import xarray as xr
from jax import dtypes

from wdno._arrays import working_type
from wdno._typing import Fields
from wdno.trajectory._checks import finite

__all__ = ["aligned", "to_batch", "to_rows"]


def aligned(
    arrays: Mapping[str, xr.DataArray], axes: Collection[str]
) -> dict[str, xr.DataArray]:
    """Fields with the rows of each batch axis in the order of the first labels.

    Args:
        arrays: labelled fields by name; those without labels are taken as they come.
        axes: dimensions that are no batch axes.

    Raises:
        ValueError: labels are not the same ones, or are repeated in another order.
    """
    first: dict[str, str] = {}
    ordered = dict(arrays)
    for name, array in arrays.items():
        for dim in map(str, array.dims):
            if dim in axes or dim not in array.indexes:
                continue
            known = arrays[first.setdefault(dim, name)].indexes[dim]
            own = array.indexes[dim]
            if own.equals(known):
                continue
            unique = known.is_unique and own.is_unique and len(own) == len(known)
            places = known.get_indexer(own) if unique else np.array([-1])
            if (places < 0).any():
                raise ValueError(
                    f"All inputs must agree on the labels of {dim!r}, but "
                    f"{first[dim]} has {known.tolist()[:4]} … ({len(known)}) and "
                    f"{name} {own.tolist()[:4]} … ({len(own)}). Select the same in all "
                    "of them, e.g. by `xarray.align`, or leave the labels out by "
                    f"`.drop_vars({dim!r})`."
                )
            ordered[name] = ordered[name].isel({dim: np.argsort(places)})
    return ordered


def to_batch(
    arrays: Mapping[str, xr.DataArray], axes: Collection[str]
) -> tuple[Fields, dict[str, int]]:
    """Join labelled fields into one batch on the device; see `to_rows`."""
    fields, batch = to_rows(arrays, axes)
    return jax.device_put(fields), batch


def to_rows(
    arrays: Mapping[str, xr.DataArray], axes: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Join labelled fields into one batch in the memory of the host.

    Args:
        arrays: Fields on (*batch, *axes of their own); a batch axis that some of them
            lack is broadcast.
        axes: Names of the dimensions that are no batch axes.

    Returns:
        Arrays of shape (batch, *axes of their own), rows by their labels, in the
        precision that JAX computes in, and the extents of the batch axes.

    Raises:
        ValueError: If fields differ in the extent or the labels of a batch axis, or are
            not real and finite.
    """
    arrays = aligned(arrays, axes)
    batch: dict[str, int] = {}
    for array in arrays.values():
        batch |= {str(d): n for d, n in array.sizes.items() if d not in axes}
    dtype = dtypes.canonicalize_dtype(
        np.result_type(*(working_type(n, a.dtype) for n, a in arrays.items()))
    )
    fields = {}
    for name, array in arrays.items():
        missing = {d: n for d, n in batch.items() if d not in array.dims}
        inner = tuple(str(d) for d in array.dims if d in axes)
        bare = array.reset_coords(drop=True)  # a selected sample leaves its number
        values = bare.expand_dims(missing).transpose(*batch, *inner).values
        shape = tuple(array.sizes[d] for d in inner)
        if values.shape != (*batch.values(), *shape):
            raise ValueError(
                f"All inputs must agree on the batch axes {batch}, but {name} has "
                f"{dict(array.sizes)}. Select the same samples in all of them."
            )
        checked = finite(name, values.reshape(-1, *shape))
        fields[name] = checked.astype(dtype, copy=False)
    return fields, batch or {"sample": 1}
