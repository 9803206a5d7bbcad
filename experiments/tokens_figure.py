"""Collect the arms of `tokens.py`: results/tokens.json and a figure for the docs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from _results import record
from _tokens import PROBLEMS
from matplotlib.figure import Figure

from wdno import plotting
from wdno.plotting.style import CURVES, finish, new_figure


@dataclass(frozen=True)
class Config:
    """Where the arms are, and where the figure goes."""

    runs: Path = Path("runs/tokens")
    figure: Path = Path("docs/pictures/tokens.png")
    samples: int = 96
    """Records for the errors of what one has for nothing."""
    seed: int = 50_000


def standing_still(name: str, config: Config) -> float:
    """Mean squared error of the initial states at all later instants."""
    system = PROBLEMS[name].system
    inputs = system.sample_inputs(jax.random.key(config.seed), config.samples)
    solved = system.solve(inputs)
    states = [(inputs[f"{n}0"][:, None], solved[n]) for n in system.state]
    return float(np.mean([np.square(u - u0).mean() for u0, u in states]))


def figure(systems: dict[str, dict[str, Any]]) -> Figure:
    """Error of one call against processor time, a panel a system."""
    arms = dict.fromkeys(arm for found in systems.values() for arm in found["arms"])
    colours = dict(zip(arms, CURVES, strict=False))
    drawn = new_figure(5.5 * len(systems), 4.5)
    panels = np.atleast_1d(drawn.subplots(1, len(systems)))
    for axis, (name, found) in zip(panels, systems.items(), strict=True):
        for arm, row in found["arms"].items():
            seconds, errors = zip(*row["curve"], strict=True)
            axis.plot(seconds, errors, marker=".", color=colours[arm], label=arm)
        axis.axhline(found["standing_still"], color="0.6", ls=":", label="no motion")
        axis.set_yscale("log")
        finish(axis, "seconds of one core", "MSE of one call", name)
        axis.legend(loc="center right", frameon=False)
    return drawn


def main(config: Config) -> None:
    """Print the arms by error, store them and draw error against seconds."""
    systems: dict[str, dict[str, Any]] = {}
    for path in sorted(config.runs.glob("*/result.json")):
        arm = json.loads(path.read_text())
        own = arm["config"]
        found = systems.setdefault(own["system"], {"arms": {}})
        seed = f", seed {own['seed']}" if int(own["seed"]) else ""
        label = LABELS[path.parent.name.split("-")[1]]
        found["arms"][label + seed] = arm
    for name, found in systems.items():
        found["standing_still"] = standing_still(name, config)
        rows = found["arms"].items()
        found["arms"] = dict(sorted(rows, key=lambda item: item[1]["mse"]["1"]["mean"]))
        for arm, row in found["arms"].items():
            print(f"{name:8s} {arm:30s} {row['updates']:5d} updates", row["mse"])
    config.figure.parent.mkdir(parents=True, exist_ok=True)
    plotting.save(figure(systems), config.figure)
    print(record("tokens", {"runs": config.runs.name}, systems=systems))


LABELS = {
    "best": "best other backbone",
    "old": "transformer before",
    "everywhere": "tokens",
    "unshrunk": "tokens, noisy patches not shrunk",
}
"""Of arms, by the second part of the name of their folder."""

if __name__ == "__main__":
    main(tyro.cli(Config))
