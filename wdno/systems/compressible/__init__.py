"""Compressible flow in one dimension: the Navier–Stokes equations of a gas."""

from wdno.systems.compressible.finite_volume import Boundary
from wdno.systems.compressible.states import Jumps
from wdno.systems.compressible.system import CompressibleNavierStokes

__all__ = ["Boundary", "CompressibleNavierStokes", "Jumps"]
