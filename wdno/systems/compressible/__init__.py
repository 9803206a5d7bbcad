"""Compressible flow in one dimension: the Navier–Stokes equations of a gas."""

from wdno.systems.compressible.conserved import conserved, primitive
from wdno.systems.compressible.fewer_cells import OnFewerCells
from wdno.systems.compressible.finite_volume import OUTGOING, PERIODIC, WALL, Boundary
from wdno.systems.compressible.states import Jumps
from wdno.systems.compressible.system import CompressibleNavierStokes

__all__ = [
    "OUTGOING",
    "PERIODIC",
    "WALL",
    "Boundary",
    "CompressibleNavierStokes",
    "Jumps",
    "OnFewerCells",
    "conserved",
    "primitive",
]
