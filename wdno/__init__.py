"""Wavelet diffusion neural operators: simulate, refine and control physical systems.

A `WDNO` learns whole trajectories of a partial differential equation as wavelet
coefficients with a diffusion model, after Hu et al., Wavelet Diffusion Neural Operator,
ICLR 2025 (arXiv 2412.04833). See `wdno.load`, `wdno.simulate`, `wdno.metrics` and
`wdno.systems`.
"""

import importlib
from typing import Any

from wdno import metrics, trajectory, wavelets
from wdno._json import register
from wdno.diffusion import guidance, noise, samplers
from wdno.inference.rollout import rollout
from wdno.inference.simulate import simulate
from wdno.inference.super_resolution import super_resolve
from wdno.operator import tasks
from wdno.operator.checkpoint import annotate, load, read_card, save, shipped
from wdno.operator.domain import Domain
from wdno.operator.generation import generate
from wdno.operator.model import WDNO
from wdno.operator.tasks import Task
from wdno.planning import adjoint, constraints, objectives
from wdno.planning.closed_loop import control_loop
from wdno.planning.control import best_plan, control
from wdno.planning.planner import Planner, Polish
from wdno.planning.surrogate import Surrogate
from wdno.training.diagnosis import diagnose
from wdno.training.ladder import stable_schedule
from wdno.training.loss import training_loss
from wdno.trajectory import open_trajectories
from wdno.wavelets.field import Field, Role
from wdno.wavelets.layout import WaveletLayout

__all__ = [
    "WDNO",
    "Domain",
    "Field",
    "Planner",
    "Polish",
    "Recipe",  # pyright: ignore[reportUnsupportedDunderAll]
    "Role",
    "Surrogate",
    "Task",
    "TrainingConfig",  # pyright: ignore[reportUnsupportedDunderAll]
    "WaveletLayout",
    "adjoint",
    "annotate",
    "best_plan",
    "constraints",
    "control",
    "control_loop",
    "diagnose",
    "finetune",  # pyright: ignore[reportUnsupportedDunderAll]
    "generate",
    "guidance",
    "load",
    "metrics",
    "noise",
    "objectives",
    "open_era5",  # pyright: ignore[reportUnsupportedDunderAll]
    "open_trajectories",
    "read_card",
    "register",
    "rollout",
    "samplers",
    "save",
    "shipped",
    "simulate",
    "stable_schedule",
    "suggest",  # pyright: ignore[reportUnsupportedDunderAll]
    "super_resolve",
    "tasks",
    "train",  # pyright: ignore[reportUnsupportedDunderAll]
    "training_loss",
    "trajectory",
    "wavelets",
]

_LATE = {
    "Recipe": "wdno.training.recipe",
    "TrainingConfig": "wdno.training.loop",
    "finetune": "wdno.training.from_data",
    "open_era5": "wdno.weather",
    "suggest": "wdno.training.suggestion",
    "train": "wdno.training.from_data",
}
"""What comes from a part of the package that few need, by its name."""


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import wdno`` stays cheap (PEP 562)."""
    if name not in _LATE:
        raise AttributeError(f"module 'wdno' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
