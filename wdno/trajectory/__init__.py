"""The border between labelled trajectories (xarray) and arrays (`Fields`).

A labelled trajectory is an `xarray.Dataset` on (sample, time, *space) with the instants
t_0 … t_M. A state holds its value at each instant; a control holds the value that acts
from that instant to the next, so its last row is zero. As arrays, the state "u" is the
pair "u0" (batch, *space), "u" (batch, M, *space) at t_1 … t_M, and the control "f" is
(batch, M, *space).
"""

from wdno.trajectory._checks import Labelled, check_labelled, named, with_samples
from wdno.trajectory.alignment import to_batch, to_rows
from wdno.trajectory.arrays import static_rows, to_arrays, to_dataset, to_fields
from wdno.trajectory.axes import (
    as_came,
    axis_numbers,
    begun_with,
    from_first,
    instants_as_came,
)
from wdno.trajectory.cells import averaged_over
from wdno.trajectory.cuts import append, coarsen, windows
from wdno.trajectory.files import join_trajectories, open_trajectories
from wdno.trajectory.fingerprints import fingerprint
from wdno.trajectory.growing import GrowingStore, check_store
from wdno.trajectory.inputs import (
    at_instant,
    check_grid,
    inputs,
    on_grid,
    over_intervals,
    static_fields,
    to_inputs,
)
from wdno.trajectory.keys import initial_keys
from wdno.trajectory.opening import open_labelled
from wdno.trajectory.reading import read_windows
from wdno.trajectory.storing import check_output, save

__all__ = [
    "GrowingStore",
    "Labelled",
    "append",
    "as_came",
    "averaged_over",
    "at_instant",
    "axis_numbers",
    "begun_with",
    "check_grid",
    "check_output",
    "check_labelled",
    "check_store",
    "coarsen",
    "fingerprint",
    "from_first",
    "initial_keys",
    "inputs",
    "instants_as_came",
    "join_trajectories",
    "static_fields",
    "named",
    "on_grid",
    "open_labelled",
    "open_trajectories",
    "over_intervals",
    "read_windows",
    "save",
    "static_rows",
    "to_arrays",
    "to_batch",
    "to_dataset",
    "to_fields",
    "to_inputs",
    "to_rows",
    "windows",
    "with_samples",
]
