"""What cards of shipped models promise, measured anew from the weights as they ship.

python experiments/promises.py --models smoke-control --samples 50
"""

import json
from dataclasses import dataclass
from pathlib import Path

import ship
import tyro

import wdno


@dataclass(frozen=True)
class Config:
    """Which models, on what."""

    models: tuple[str, ...]
    data: Path = Path()
    """Record of ERA5, or folder of finer scenes; other models need none."""
    samples: int | None = None
    """Trajectories; by default as many as the card has."""


def renewed(name: str, data: Path, samples: int | None = None) -> None:
    """Measure what the card of a shipped model promises, and write it there."""
    if samples is None:
        samples = wdno.read_card(name)["metrics"]["samples"]
    config = ship.Config(Path(), name, data=data, samples=samples)
    found = ship.measured(wdno.load(name), config)
    wdno.annotate(ship.SHIPPED / name, metrics=found)
    print(name, json.dumps(found), flush=True)


def main(config: Config) -> None:
    """One model after the other."""
    for name in config.models:
        renewed(name, config.data, config.samples)


if __name__ == "__main__":
    main(tyro.cli(Config))
