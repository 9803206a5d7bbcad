"""A training run on one page: recipe, data, errors, learning curve, a forecast."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from wdno import metrics, plotting
from wdno.demo.report import Picture, Section, Table, metrics_table, write_report
from wdno.inference.simulate import simulate
from wdno.inference.super_resolution import super_resolve
from wdno.operator.checkpoint import load, read_card
from wdno.operator.model import WDNO
from wdno.training.history import history
from wdno.trajectory import coarsen

SHOWN = 3
"""Trajectories in the picture."""
SCORED = 16
"""Trajectories that are scored, at most."""


def training_run(run: str | Path, held_back: xr.Dataset) -> Path:
    """Write ``learning_curve.png`` and ``report.html`` into the folder of a run.

    A simulation model forecasts trajectories that were held back, from their initial
    states on; a refiner doubles the grid of their every second value. What a planner is
    worth no single trajectory says: its page has the error of denoising alone.

    Args:
        run: folder that `wdno.train` wrote to, with ``model``.
        held_back: trajectories that the model has not seen.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: there is no model in that folder.
    """
    folder = Path(run)
    card, model = read_card(folder / "model"), load(folder / "model")
    truth = held_back.isel(sample=slice(-SCORED, None)).load()
    page = folder / "report.html"
    lead = (
        f"A model of {', '.join(model.state or model.planned)}, trained on "
        f"{card['data'].get('title', 'trajectories')}. Error of validation, mean over "
        f"the trajectories held back: {card['validation_error']:.4g}."
    )
    sections = [*_forecast(model, truth), *_learning(folder), *_made(card, truth)]
    return write_report(page, f"Training of {card['name']}", sections, lead=lead)


def _forecast(model: WDNO, truth: xr.Dataset) -> list[Section]:
    """Scores and pictures of what the model says of trajectories it has not seen."""
    made = _predicted(model, truth)
    if made is None:
        return []
    truth = truth.isel(time=slice(made.sizes["time"]))
    content: list[str | Table | Picture] = []
    for name in model.state:
        forecast, true = _on_a_line(made[name]), _on_a_line(truth[name])
        where = "" if true.sizes == truth[name].sizes else ", on a line in the middle"
        panels = plotting.space_time(true, forecast, samples=range(SHOWN))
        about = f"Truth, forecast and error of {name} over time and space{where}."
        content += [
            Picture(panels, about, about),
            metrics_table(metrics.summary(made[name], truth[name])),
        ]
    errors = plotting.error_over_time(
        truth[model.state[0]], {model.state[0]: made[model.state[0]]}
    )
    content.append(Picture(errors, f"Relative error of {model.state[0]} over time."))
    return [Section("Forecast and truth", content)]


def _predicted(model: WDNO, truth: xr.Dataset) -> xr.Dataset | None:
    """What a simulation model or a refiner makes of these trajectories."""
    start = truth[list(model.state)].isel(time=0, drop=True)
    control, key = truth[list(model.control)], jax.random.key(0)
    if not model.state or model.planned or model.final:
        return None
    if model.coarse:
        coarse = coarsen(truth, 2)[list(model.coarse)]
        return super_resolve(model, coarse, start, control, key=key)
    frames = truth.sizes["time"] - 1
    frames = min(frames, model.window) if model.past else frames
    return simulate(model, start, control, frames=frames, key=key)


def _on_a_line(field: xr.DataArray) -> xr.DataArray:
    """The field on its last axis of space, through the middle of the others."""
    space = [dim for dim in field.dims if dim not in ("sample", "time", "member")]
    middle = {dim: field.sizes[dim] // 2 for dim in space[:-1]}
    return field.isel(middle, drop=True)


def _learning(folder: Path) -> list[Section]:
    """The learning curve; what is fitted at once has none."""
    stages = history(folder)
    if not stages:
        return []
    picture = folder / "learning_curve.png"
    plotting.save(plotting.learning_curve(stages), picture)
    rows = [
        (name, lines[-1]["step"], lines[-1]["seconds"], _last(lines, "loss"))
        for name, lines in stages.items()
    ]
    about = "Loss and validation error by updates and by seconds of training."
    header = ("stage", "updates", "seconds", "last loss")
    return [Section("Learning", [Picture(picture, about), Table(header, rows)])]


def _last(lines: list[dict[str, Any]], quantity: str) -> float:
    return next(
        (ln[quantity] for ln in reversed(lines) if quantity in ln), float("nan")
    )


def _made(card: Mapping[str, Any], truth: xr.Dataset) -> list[Section]:
    """Of what and how the model was made."""
    sizes = {
        f"axis {dim}": size for dim, size in truth.sizes.items() if dim != "sample"
    }
    parts = {
        "Data": sizes | card["data"],
        "Recipe": card["recipe"],
        "Training": card["training"],
    }
    return [
        Section(title, [Table(("entry", "value"), _rows(entries))])
        for title, entries in parts.items()
    ]


def _rows(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in entries.items()
    ]
