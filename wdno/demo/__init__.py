"""The demonstrations behind ``wdno demo``: shipped models beside the solver."""

from wdno.demo.burgers import burgers

__all__ = ["burgers"]
