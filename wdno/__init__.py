"""Wavelet diffusion neural operators: simulate, refine and control physical systems.

A `WDNO` learns whole trajectories of a partial differential equation as wavelet
coefficients with a diffusion model, after Hu et al., Wavelet Diffusion Neural Operator,
ICLR 2025 (arXiv 2412.04833). See `wdno.load`, `wdno.simulate`, `wdno.metrics` and
`wdno.systems`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wdno import io, metrics, plotting, systems, trajectory, wavelets, weather
    from wdno._json import register
    from wdno.deployment.exported import load_exported
    from wdno.deployment.exporting import export
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
    from wdno.planning.planner import Planner
    from wdno.planning.polish import Polish
    from wdno.planning.surrogate import Surrogate
    from wdno.training.calibration import calibrate
    from wdno.training.config import TrainingConfig
    from wdno.training.diagnosis import diagnose
    from wdno.training.distillation import distill
    from wdno.training.from_data import finetune, train
    from wdno.training.ladder import stable_schedule
    from wdno.training.loss import training_loss
    from wdno.training.recipe import Recipe
    from wdno.training.suggestion import suggest
    from wdno.trajectory import open_trajectories
    from wdno.wavelets.field import Field, Role
    from wdno.wavelets.layout import WaveletLayout
    from wdno.weather import open_era5

_PLACES = {
    "WDNO": "operator.model",
    "Domain": "operator.domain",
    "Field": "wavelets.field",
    "Planner": "planning.planner",
    "Polish": "planning.polish",
    "Role": "wavelets.field",
    "Surrogate": "planning.surrogate",
    "Task": "operator.tasks",
    "WaveletLayout": "wavelets.layout",
    "Recipe": "training.recipe",
    "TrainingConfig": "training.config",
    "adjoint": "planning",
    "annotate": "operator.checkpoint",
    "best_plan": "planning.control",
    "calibrate": "training.calibration",
    "constraints": "planning",
    "control": "planning.control",
    "control_loop": "planning.closed_loop",
    "diagnose": "training.diagnosis",
    "distill": "training.distillation",
    "export": "deployment.exporting",
    "finetune": "training.from_data",
    "generate": "operator.generation",
    "guidance": "diffusion",
    "io": "",
    "load": "operator.checkpoint",
    "load_exported": "deployment.exported",
    "metrics": "",
    "noise": "diffusion",
    "objectives": "planning",
    "open_era5": "weather",
    "open_trajectories": "trajectory",
    "plotting": "",
    "read_card": "operator.checkpoint",
    "register": "_json",
    "rollout": "inference.rollout",
    "samplers": "diffusion",
    "save": "operator.checkpoint",
    "shipped": "operator.checkpoint",
    "simulate": "inference.simulate",
    "stable_schedule": "training.ladder",
    "suggest": "training.suggestion",
    "super_resolve": "inference.super_resolution",
    "systems": "",
    "tasks": "operator",
    "train": "training.from_data",
    "training_loss": "training.loss",
    "trajectory": "",
    "wavelets": "",
    "weather": "",
}
"""Where each public name lies; packages lie here."""

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
    "calibrate",
    "constraints",
    "control",
    "control_loop",
    "diagnose",
    "distill",
    "export",
    "finetune",
    "generate",
    "guidance",
    "io",
    "load",
    "load_exported",
    "metrics",
    "noise",
    "objectives",
    "open_era5",
    "open_trajectories",
    "plotting",
    "read_card",
    "register",
    "rollout",
    "samplers",
    "save",
    "shipped",
    "simulate",
    "stable_schedule",
    "suggest",
    "super_resolve",
    "systems",
    "tasks",
    "train",
    "training_loss",
    "trajectory",
    "wavelets",
    "weather",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import wdno`` and ``wdno --help`` are quick.

    Where a package of its own has a name, that is meant (PEP 562).
    """
    if name not in _PLACES:
        raise AttributeError(f"module 'wdno' has no attribute {name!r}")
    package = ".".join(filter(None, ("wdno", _PLACES[name])))
    if package == "wdno":
        return importlib.import_module(f"wdno.{name}")
    home = importlib.import_module(package)
    if not hasattr(home, name):  # a module that its package does not import
        return importlib.import_module(f"{package}.{name}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
