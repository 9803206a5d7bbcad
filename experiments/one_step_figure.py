"""Samples of one call and of several, and the energy of their subbands, as a picture.

python experiments/one_step_figure.py --drawn runs/one_step
"""

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro
from _results import RESULTS

import wdno
from wdno import plotting

SHOWN = {
    "1 calls": "one call",
    "8 calls": "teacher, 8 calls",
    "adapters, seed 0": "adapters, one call",
    "adapters, squared error": "squared error, one call",
    "whole backbone by fair CRPS": "by fair CRPS, one call",
}
INSTANT = -1


@dataclass(frozen=True)
class Config:
    """Where samples lie, and where the picture goes."""

    drawn: Path = Path("runs/one_step")
    picture: Path = Path("docs/pictures/one_step.png")


def main(config: Config) -> None:
    """Draw."""
    truth = np.load(config.drawn / "truth.npy")
    drawn = {path.stem: np.load(path) for path in config.drawn.glob("*.npy")}
    arms = json.loads((RESULTS / "one_step.json").read_text())["arms"]
    channels = wdno.load("burgers-simulation").targets.channels
    shown = [name for name in SHOWN if name in drawn]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 7), layout="constrained")
    x = np.arange(truth.shape[-1]) / truth.shape[-1]
    centre = drawn["8 calls"][0].mean(axis=0)[INSTANT]
    for n, name in enumerate(shown):
        for number, member in enumerate(drawn[name][0][:, INSTANT]):
            label = SHOWN[name] if number == 0 else None
            top.plot(x, member - centre, color=f"C{n}", lw=0.7, label=label)
    top.plot(x, truth[0][INSTANT] - centre, "k", lw=1.5, label="truth")
    top.set(xlabel="x", ylabel="u less the teacher's mean, last frame")
    top.legend(ncols=3, fontsize="small")
    width = 0.8 / len(shown)
    for n, name in enumerate(shown):
        places = np.arange(len(channels)) + n * width
        bottom.bar(places, arms[name]["energy_over_truth"], width, label=SHOWN[name])
    bottom.axhline(1, color="k", lw=0.8)
    bottom.set(ylabel="energy of members over truth", ylim=(0.6, 1.2))
    names = [str(name).removeprefix("u:") for name in channels]
    bottom.set_xticks(np.arange(len(channels)) + 0.4, names, rotation=45)
    plotting.save(figure, config.picture)


if __name__ == "__main__":
    main(tyro.cli(Config))
