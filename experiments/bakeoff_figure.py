"""Collect the arms of the bake-off: results/bakeoff.json and a figure for the docs."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from _results import record
from matplotlib.figure import Figure

from wdno import plotting


@dataclass(frozen=True)
class Config:
    """Where the arms are, and where the figure goes."""

    runs: Path = Path("runs/bakeoff")
    figure: Path = Path("docs/pictures/bakeoff.png")


def main(config: Config) -> None:
    """Print the arms by error, store them and draw error against seconds."""
    arms = {
        path.parent.name.replace("-", " "): json.loads(path.read_text())
        for path in config.runs.glob("*/result.json")
    }
    arms = dict(sorted(arms.items(), key=lambda item: item[1]["mse"]["1"]["mean"]))
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.add_subplot(
        xlabel="seconds of training on one core",
        ylabel="one-step MSE, 128 unseen trajectories",
        yscale="log",
        title="Same data, same seconds: which operator learns fastest?",
    )
    for name, arm in arms.items():
        mean = arm["mse"]["1"]["mean"]
        print(f"{name:22s} {arm['steps']:6d} updates", json.dumps(arm["mse"]))
        seconds, errors = zip(*arm["curve"], strict=True)
        axis.plot(seconds, errors, marker=".", label=f"{name}, {mean:.1e}")
    axis.legend(title="arm, final MSE of 512", frameon=False)
    axis.grid(True, which="both", alpha=0.3)
    config.figure.parent.mkdir(parents=True, exist_ok=True)
    plotting.save(figure, config.figure)
    print(record("bakeoff", {"runs": str(config.runs)}, arms=arms))


if __name__ == "__main__":
    main(tyro.cli(Config))
