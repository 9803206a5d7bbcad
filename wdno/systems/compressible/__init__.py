"""Compressible flow in one dimension: the Navier–Stokes equations of a gas."""

from wdno.systems.compressible.system import CompressibleNavierStokes

__all__ = ["CompressibleNavierStokes"]
