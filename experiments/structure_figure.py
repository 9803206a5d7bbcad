"""Draw the packages and the path of data through them, for the docs."""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from wdno import plotting
from wdno.plotting.style import FORECAST, INK, RULE

LABELLED, ARRAYS, PAPER = "#eef3f7", "#faf3ee", "#ffffff"


@dataclass(frozen=True)
class Box:
    """A package: its name, what it is for, and where it stands."""

    name: str
    purpose: str
    left: float
    bottom: float
    width: float
    height: float = 0.9


PACKAGES = (
    Box("cli   demo", "the command wdno and its demonstrations", 0, 7.3, 15.6, 0.8),
    Box("systems", "equations and their solvers", 0.3, 5.05, 3.2),
    Box("io", "files of others", 0.3, 3.95, 1.5),
    Box("weather", "ERA5", 2.0, 3.95, 1.5),
    Box("metrics", "scores", 0.3, 2.85, 3.2),
    Box("plotting", "pictures", 0.3, 1.75, 3.2),
    Box("trajectory", "the border", 4, 5.95, 1.5, 0.8),
    Box("accelerate", "windows in flight", 6, 5.95, 2.15, 0.8),
    Box("deployment", "exported, served", 8.35, 5.95, 2.15, 0.8),
    Box("official", "models of the authors' code", 10.8, 5.95, 4.5, 0.8),
    Box("planning", "objectives, planners, loops", 6, 4.75, 4.5),
    Box("training", "recipes, batches, the loop", 10.8, 4.75, 4.5),
    Box("inference", "rollouts, ensembles, refinement", 6, 3.45, 9.3),
    Box("operator", "WDNO: one window; tasks, residuals, cards", 6, 2.15, 9.3),
    Box("wavelets", "fields as coefficients", 6, 0.75, 2.7),
    Box("diffusion", "denoisers, samplers", 9.3, 0.75, 2.7),
    Box("networks", "backbones", 12.6, 0.75, 2.7),
)

PATH = (
    ((3.5, 4.15), (6, 4.15), "u0, f", (4.45, 4.3)),
    ((6, 3.65), (3.5, 3.65), "u, f", (4.5, 3.5)),
    ((7.1, 3.45), (7.1, 3.05), "what is known", (7.25, 3.25)),
    ((14.2, 3.05), (14.2, 3.45), "fields of a window", (12.15, 3.25)),
    ((6.9, 2.15), (6.9, 1.65), "analysis", (7.05, 1.9)),
    ((8.4, 1.65), (8.4, 2.15), "synthesis", (8.55, 1.9)),
    ((10.1, 2.15), (10.1, 1.65), "condition", (10.25, 1.9)),
    ((11.7, 1.65), (11.7, 2.15), "coefficients", (11.85, 1.9)),
    ((12, 1.35), (12.6, 1.35), "x, σ", (12.1, 1.52)),
    ((12.6, 1.05), (12, 1.05), "", ()),
)
"""Arrows from, to, with what goes along them and where that is written."""


@dataclass(frozen=True)
class Config:
    """Where the figure goes."""

    figure: Path = Path("docs/pictures/structure.png")


def draw_box(axis: Axes, box: Box) -> None:
    """A package with its name and its purpose below."""
    axis.add_patch(
        FancyBboxPatch(
            (box.left, box.bottom),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=PAPER,
            edgecolor=INK,
            linewidth=0.8,
        )
    )
    middle, centre = box.left + box.width / 2, box.bottom + box.height / 2
    beside = {"color": INK, "horizontalalignment": "center"}
    axis.text(middle, centre + 0.03, box.name, weight="bold", size=11, **beside)
    low = {"verticalalignment": "top", "size": 8.5}
    axis.text(middle, centre - 0.06, box.purpose, **low, **beside)


def draw_zone(axis: Axes, left: float, width: float, colour: str, title: str) -> None:
    """The border, or the side of it on which data are labelled or are arrays."""
    axis.add_patch(
        FancyBboxPatch(
            (left, 0.45),
            width,
            6.65,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour,
            edgecolor="none",
            zorder=0,
        )
    )
    axis.text(left + width / 2, 0.15, title, size=9.5, color=INK, ha="center")


def main(config: Config) -> None:
    """Draw packages above those that they import, and data on their way."""
    figure = Figure(figsize=(10.4, 5.6), layout="constrained")
    axis = figure.add_subplot(xlim=(-0.1, 15.7), ylim=(0, 8.2))
    axis.set_axis_off()
    draw_zone(axis, 0, 3.8, LABELLED, "labelled trajectories: xarray")
    draw_zone(axis, 4.3, 0.9, RULE, "")
    draw_zone(axis, 5.7, 9.9, ARRAYS, "fields as arrays, batch first")
    for box in PACKAGES:
        draw_box(axis, box)
    arrow = {"arrowstyle": "-|>", "color": FORECAST, "linewidth": 1.6}
    for start, end, what, where in PATH:
        axis.annotate("", end, start, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
        if what:
            axis.text(*where, what, size=8.5, color=FORECAST, va="center")
    print(plotting.save(figure, config.figure))


if __name__ == "__main__":
    main(tyro.cli(Config))
