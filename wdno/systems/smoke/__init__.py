"""Smoke in a box with obstacles and exits, driven from its outer ring alone."""

from wdno.systems.smoke.geometry import EXITS, OBSTACLES, Rectangle
from wdno.systems.smoke.system import Smoke

__all__ = ["EXITS", "OBSTACLES", "Rectangle", "Smoke"]
