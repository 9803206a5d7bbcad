"""Collect the arms of `grain_training.py`: results/grain_training.json, a grain map."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from _results import record
from _tokens import PROBLEMS
from grain_training import ARMS, logits
from matplotlib.figure import Figure

import wdno
from wdno import plotting
from wdno.networks.cells import most
from wdno.operator.generation import left_open, prepare
from wdno.plotting.style import finish, new_figure
from wdno.training.grain import true_cells
from wdno.training.held_out import held_windows


@dataclass(frozen=True)
class Config:
    """Where the arms are, and where the figure goes."""

    runs: Path = Path("runs/grain")
    system: str = "shocks"
    drawn: str = "quarter"
    """The arm whose cells are drawn."""
    figure: Path = Path("docs/pictures/grain_map.png")
    seed: int = 50_000


def figure(config: Config) -> Figure:
    """Cells over the density of a window: those with most details, and those chosen."""
    folder = config.runs / f"{config.system}-{config.drawn}-0" / "model"
    model = wdno.load(folder)
    system = PROBLEMS[config.system].system
    truth = system.trajectories(jax.random.key(config.seed), 1)
    windows = {n: u[:1] for n, u in held_windows(model, truth).items()}
    module: Any = model.denoiser.backbone.thaw()
    x0 = left_open(model, prepare(model, windows), windows)
    own = module.config
    choices = {
        "true": true_cells(module, x0, model.targets.energy_share),
        "predicted": most(logits(model, windows), own.kept, own.reach),
    }
    grid = module.cell_grid(x0.shape[1:-1])
    field = np.asarray(windows[model.state[0]][0])
    shape = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    extent = (0, field.shape[1], 0, field.shape[0])
    drawn = new_figure(8, 6)
    panels = drawn.subplots(len(choices), 1, sharex=True)
    for axis, (name, cells) in zip(panels, choices.items(), strict=True):
        marks = np.zeros(int(np.prod(grid)))
        marks[np.asarray(cells[0])] = 1
        axis.imshow(field, cmap="viridis", extent=extent, **shape)
        veil = 0.6 * (1 - marks.reshape(grid))
        white = np.ones(grid)
        axis.imshow(
            white, cmap="gray", vmin=0, vmax=1, alpha=veil, extent=extent, **shape
        )
        finish(axis, "cell of the grid", "frame", f"{name} cells over the density")
    return drawn


def main(config: Config) -> None:
    """Print the arms, store them and draw the cells of one."""
    arms = {}
    for arm in ARMS:
        path = config.runs / f"{config.system}-{arm}-0" / "result.json"
        if path.is_file():
            arms[arm] = json.loads(path.read_text())
            print(arm, arms[arm]["updates"], json.dumps(arms[arm]["mse"]))
    config.figure.parent.mkdir(parents=True, exist_ok=True)
    plotting.save(figure(config), config.figure)
    settings = {"runs": config.runs.name, "system": config.system}
    print(record("grain_training", settings, arms=arms))


if __name__ == "__main__":
    main(tyro.cli(Config))
