"""Which backbone, levels, window and noise levels learn forced Burgers fastest?

Each arm trains on the same data for the same processor time of one core, and is judged
by the error of chained windows on unseen trajectories, with one and with several
denoiser calls a window. Run one arm a core:

    taskset -c 0 python experiments/bakeoff.py --arm fourier --data burgers.nc
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import tyro
from backbones import AttentionUNetConfig, GatedMixerConfig

from wdno import metrics
from wdno.networks import FourierConfig, TokenTransformerConfig
from wdno.training.config import TrainingConfig
from wdno.training.pipeline import train
from wdno.training.recipes import RECIPES, NoiseLevels, Recipe
from wdno.training.validation import simulation_error
from wdno.trajectory import open_trajectories

BASE = RECIPES["burgers-simulation"]
PEAKED = replace(BASE, noise=NoiseLevels())
ARMS: dict[str, Recipe] = {
    "fourier": PEAKED,
    "unet": replace(PEAKED, network=AttentionUNetConfig((96, 128, 192), blocks=1)),
    "transformer": replace(PEAKED, network=TokenTransformerConfig((1, 2), 192, 6, 6)),
    "mixer": replace(PEAKED, network=GatedMixerConfig((4, 30), (1, 1), 192, 6)),
    "wide noise": BASE,
    "one level": replace(BASE, levels=1, network=FourierConfig((16, 32), 32, 4)),
    "whole trajectory": replace(
        BASE, window=80, network=FourierConfig((16, 16), 48, 4)
    ),
}


@dataclass(frozen=True)
class Config:
    """One arm of the comparison."""

    arm: str
    data: Path
    test: Path
    out: Path = Path("runs/bakeoff")
    budget: float = 1200.0
    learning_rate: float = 1e-3
    steps: tuple[int, ...] = (1, 8)
    seed: int = 0


def main(config: Config) -> None:
    """Train the arm, score it, and store the curve with what made it."""
    test = open_trajectories(config.test).load()
    early, late = test.isel(sample=slice(128)), test.isel(sample=slice(128, 640))
    directory = config.out / config.arm.replace(" ", "-")
    training = TrainingConfig(
        budget=config.budget,
        seed=config.seed,
        validate_every=60,
        learning_rate=config.learning_rate,
    )
    model = train(
        ARMS[config.arm],
        open_trajectories(config.data),
        training,
        directory,
        held_back=early,
        clock=time.process_time,
    )
    lines = [json.loads(line) for line in (directory / "log.jsonl").open()]
    intervals = {
        str(steps): metrics.bootstrap_interval(simulation_error(model, late, steps))
        for steps in config.steps
    }
    result = {
        "command": " ".join(sys.argv),
        "commit": subprocess.getoutput("git rev-parse --short HEAD"),
        "machine": f"one core of {os.cpu_count()}, {platform.machine()}",
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "recipe": json.loads(json.dumps(asdict(ARMS[config.arm]), default=str)),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(model)),
        "steps": lines[-1]["step"],
        "curve": [
            [line["seconds"], line["validation_error"]]
            for line in lines
            if "validation_error" in line
        ],
        "mse": {
            steps: {name: float(v) for name, v in interval._asdict().items()}
            for steps, interval in intervals.items()
        },
    }
    (directory / "result.json").write_text(json.dumps(result, indent=1))
    print(config.arm, json.dumps(result["mse"]), result["steps"])


if __name__ == "__main__":
    main(tyro.cli(Config))
