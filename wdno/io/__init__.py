"""Files in the layouts of others, opened lazily as datasets of this package.

Each function opens one layout as an ``xarray.Dataset`` on (sample, time, *space), reads
what a selection asks for and no more, and checks the layout, not the values.
`layout_of` tells them apart by their content. HDF5 files need h5py (the extra "hdf5"),
Zarr folders zarr (the extra "zarr"). `download` fetches public files; `from_phiflow`
labels what a simulation with PhiFlow has in memory (the extra "phiflow").
"""

from wdno.io import download
from wdno.io.formats import LAYOUTS, describe, layout_of, open_any
from wdno.io.official import (
    open_burgers,
    open_burgers_coefficients,
    open_smoke,
)
from wdno.io.official_checkpoint import read_state_dict
from wdno.io.pdebench import open_pdebench
from wdno.io.phiflow import from_phiflow
from wdno.io.realpdebench import open_realpdebench
from wdno.io.the_well import open_the_well
from wdno.io.weatherbench import open_weatherbench

__all__ = [
    "LAYOUTS",
    "describe",
    "download",
    "from_phiflow",
    "layout_of",
    "open_any",
    "open_burgers",
    "open_burgers_coefficients",
    "open_pdebench",
    "open_realpdebench",
    "open_smoke",
    "open_the_well",
    "open_weatherbench",
    "read_state_dict",
]
