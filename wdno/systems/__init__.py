"""Physical systems: one file each, and the verbs and files that all of them share."""

from wdno.systems.advection import Advection
from wdno.systems.base import LabelledSystem, PhysicalSystem, run, trajectories
from wdno.systems.burgers import Burgers
from wdno.systems.checksums import verify
from wdno.systems.compressible.system import CompressibleNavierStokes
from wdno.systems.datasets import generate
from wdno.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from wdno.systems.smoke import Smoke
from wdno.systems.waves import Waves

__all__ = [
    "Advection",
    "Burgers",
    "CompressibleNavierStokes",
    "KuramotoSivashinsky",
    "LabelledSystem",
    "PhysicalSystem",
    "Smoke",
    "Waves",
    "generate",
    "run",
    "trajectories",
    "verify",
]
