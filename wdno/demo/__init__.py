"""The demonstrations behind ``wdno demo``: shipped models beside the solver."""

from wdno.demo.burgers import burgers
from wdno.demo.smoke import smoke

__all__ = ["burgers", "smoke"]
