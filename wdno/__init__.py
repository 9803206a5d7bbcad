"""Wavelet diffusion neural operators: simulate, refine and control physical systems.

A `WDNO` learns whole trajectories of a partial differential equation as wavelet
coefficients with a diffusion model, after Hu et al., Wavelet Diffusion Neural Operator,
ICLR 2025 (arXiv 2412.04833). See `wdno.load`, `wdno.simulate`, `wdno.metrics` and
`wdno.systems`.
"""

import importlib
from typing import Any

from wdno import (
    adjoint,
    constraints,
    guidance,
    metrics,
    noise,
    samplers,
    tasks,
    wavelets,
)
from wdno.closed_loop import control_loop
from wdno.field import Field
from wdno.layout import WaveletLayout
from wdno.operator import WDNO, Domain, generate, training_loss
from wdno.persistence import load, read_card, save, shipped
from wdno.planning import best_plan, control
from wdno.super_resolution import super_resolve
from wdno.tasks import Task
from wdno.trajectory import open_trajectories
from wdno.verbs import rollout, simulate

__all__ = [
    "WDNO",
    "Domain",
    "Field",
    "Task",
    "WaveletLayout",
    "adjoint",
    "best_plan",
    "constraints",
    "control",
    "control_loop",
    "generate",
    "guidance",
    "load",
    "metrics",
    "noise",
    "open_era5",  # pyright: ignore[reportUnsupportedDunderAll]
    "open_trajectories",
    "read_card",
    "rollout",
    "samplers",
    "save",
    "shipped",
    "simulate",
    "super_resolve",
    "tasks",
    "training_loss",
    "wavelets",
]

_LATE = {"open_era5": "wdno.systems.era5"}
"""What comes from a part of the package that few need, by its name."""


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import wdno`` stays cheap (PEP 562)."""
    if name not in _LATE:
        raise AttributeError(f"module 'wdno' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
