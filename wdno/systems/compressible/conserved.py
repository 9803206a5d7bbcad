"""Labelled records of a gas in what is conserved, and back.

Density, velocity and pressure of a stored cell stand for its mass, momentum and energy.
Of these alone the mean over a cell is that of the means over its parts, so that records
are coarsened and refined in them.
"""

import numpy as np
import xarray as xr

__all__ = ["conserved", "primitive"]

POINT = "time: point"
MEAN = "time: point x: mean"


def conserved(record: xr.Dataset, heat_ratio: float = 5 / 3) -> xr.Dataset:
    """Density, momentum ρ v and energy p / (γ - 1) + ρ v² / 2 of a gas.

    Args:
        record: ``density``, ``velocity`` and ``pressure`` on any axes, such as
            `CompressibleNavierStokes` gives them.
        heat_ratio: γ.

    Returns:
        ``density``, ``momentum`` and ``energy``, which say that they are means over
        cells, so that `wdno.trajectory.coarsen` merges these.

    Raises:
        ValueError: a variable is missing.

    Example:
        >>> coarse = coarsen(conserved(truth), {"time": 1, "x": 8})
        >>> fine = wdno.super_resolve(refiner, coarse, conserved(initial), factor=8,
        ...                           key=key)
        >>> record = primitive(fine)
    """
    density, velocity, pressure = _variables(record, "density", "velocity", "pressure")
    momentum = density * velocity
    energy = pressure / (heat_ratio - 1) + momentum * velocity / 2
    return _labelled(record, MEAN, density=density, momentum=momentum, energy=energy)


def primitive(record: xr.Dataset, heat_ratio: float = 5 / 3) -> xr.Dataset:
    """Undo `conserved`: density, velocity and pressure.

    Velocity and pressure are those of the masses, momenta and energies in the cells.

    Args:
        record: ``density``, ``momentum`` and ``energy`` on any axes.
        heat_ratio: γ.

    Raises:
        ValueError: a variable is missing.
    """
    density, momentum, energy = _variables(record, "density", "momentum", "energy")
    velocity = momentum / density
    pressure = (heat_ratio - 1) * (energy - momentum * velocity / 2)
    found = {"density": density, "velocity": velocity, "pressure": pressure}
    return _labelled(record, POINT, **found)


def _variables(record: xr.Dataset, *names: str) -> tuple[xr.DataArray, ...]:
    if missing := [name for name in names if name not in record]:
        raise ValueError(
            f"A gas is given by {list(names)}, but {missing} are missing from "
            f"{sorted(map(str, record))}. Add them, or use the other direction."
        )
    return tuple(record[name] for name in names)


def _labelled(
    record: xr.Dataset, methods: str, **variables: xr.DataArray
) -> xr.Dataset:
    """In the precision of the record, with its attributes."""
    dtype = np.result_type(*(values.dtype for values in record.values()))
    notes = {"units": "1", "cell_methods": methods}
    found = {
        name: values.astype(dtype).assign_attrs({"long_name": name} | notes)
        for name, values in variables.items()
    }
    return xr.Dataset(found, attrs=record.attrs)
