"""Rows of several inputs that belong together by their labels."""

from collections.abc import Collection, Mapping

import numpy as np
import xarray as xr

__all__ = ["aligned"]


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
