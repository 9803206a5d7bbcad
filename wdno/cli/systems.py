"""Names of physical systems on the command line."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from wdno import systems

SystemName = Literal[
    "advection",
    "advection-steep",
    "burgers",
    "burgers-bursts",
    "kuramoto-sivashinsky",
    "navier-stokes",
    "navier-stokes-shock",
    "smoke",
    "smoke-small",
]

SYSTEMS: dict[SystemName, Callable[[], systems.PhysicalSystem]] = {
    "advection": systems.Advection,
    "advection-steep": partial(
        systems.Advection,
        waves=systems.Waves(largest=16, share_folded=0.3, share_cut=0.3),
    ),
    "burgers": systems.Burgers,
    "burgers-bursts": partial(systems.Burgers, force_spans=(0.02, 0.2)),
    "kuramoto-sivashinsky": systems.KuramotoSivashinsky,
    "navier-stokes": systems.CompressibleNavierStokes,
    "navier-stokes-shock": partial(
        systems.CompressibleNavierStokes, points=128, refinement=8
    ),
    "smoke": systems.Smoke,
    "smoke-small": partial(
        systems.Smoke, points=32, refinement=4, frames=16, substeps=16
    ),
}
