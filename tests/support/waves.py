"""Trajectories of fading waves on the grid of a system, without its solver.

Where a test asks what is done with data, not what they are: to compile a solver takes
longer than the test.
"""

import numpy as np

from wdno.systems import Burgers
from wdno.trajectory import to_dataset

SYSTEM = Burgers(duration=0.8, frames=8, points=16)


def waves(samples, system=SYSTEM, seed=0):
    """States and forces of three wavenumbers, zero at walls, in single precision."""
    draw = np.random.default_rng(seed)
    time, x = system.coords["time"], system.coords["x"]

    def field(instants):
        total = 0.0
        for wavenumber in (1, 2, 3):
            amplitude = draw.normal(size=(samples, 1, 1)) / wavenumber
            course = amplitude * np.exp(-wavenumber * instants[:, None])
            total += course * np.sin(np.pi * wavenumber * x)
        return total.astype(np.float32)

    u, f = field(time), field(time[1:])
    arrays = {"u0": u[:, 0], "u": u[:, 1:], "f": f}
    return to_dataset(
        arrays,
        system.coords,
        system.state,
        system.control,
        system.attributes,
        {"sample": samples},
    )
