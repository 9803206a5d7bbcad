"""Trajectories to train on: many, or the parts of a single record."""

import numpy as np
import xarray as xr

from wdno.trajectory import with_samples

SHORTEST = 16
"""Intervals of the parts that a single record is cut into, if it has enough."""
MOST_PARTS = 16


def in_samples(dataset: xr.Dataset) -> xr.Dataset:
    """Trajectories with an axis "sample" of two or more; a single record is cut.

    Parts follow each other: the last instant of one is the first of the next.

    Raises:
        ValueError: a single record is too short to be cut, there is no time, or there
            are members of an ensemble.
    """
    dataset = with_samples(dataset, ())
    if members := dataset.sizes.get("member"):
        raise ValueError(
            "Each member of an ensemble is a trajectory to train on, but this dataset "
            f'has {members} along "member". Take one by `.isel(member=0)`, or all by '
            f"`xarray.concat([data.isel(member=n) for n in range({members})], "
            '"sample")`.'
        )
    if "time" not in dataset.dims:
        raise ValueError(
            'Trajectories have an axis "time", but this dataset has '
            f"{dict(dataset.sizes)}. Rename the axis."
        )
    if dataset.sizes.get("sample", 1) > 1:
        return dataset
    record = (
        dataset.squeeze("sample", drop=True) if "sample" in dataset.dims else dataset
    )
    frames = record.sizes["time"] - 1
    count = int(np.clip(frames // SHORTEST, 2, MOST_PARTS))
    length = frames // count // 2 * 2  # the frames of a window are even
    if length < 2:  # noqa: PLR2004 - a window of two frames is the least
        raise ValueError(
            "A single record is cut into parts of two intervals or more, some of which "
            f"are held back, but it has {frames} intervals. Give more trajectories."
        )
    instants = record["time"][: length + 1]
    parts = [
        record.isel(time=slice(n * length, (n + 1) * length + 1)).assign_coords(
            time=instants
        )
        for n in range(count)
    ]
    moving = [name for name, v in record.data_vars.items() if "time" in v.dims]
    return xr.concat(
        parts, "sample", data_vars=moving, coords="minimal", compat="override"
    )
