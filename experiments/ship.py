"""Turn a finished run into a shipped model: half-size weights, a card with metrics.

The one-step error is measured on trajectories whose seed no training used, from the
rounded weights as they ship; the curve of the run goes to results and documentation.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from _results import record

import wdno
from wdno import metrics, plotting
from wdno.systems import Burgers
from wdno.validation import simulation_error

SHIPPED = Path(wdno.__file__).parent / "pretrained"
KEPT = ("name", "recipe", "training", "data", "validation_error")


@dataclass(frozen=True)
class Config:
    """Which run, under which name."""

    run: Path
    name: str = "burgers-simulation"
    samples: int = 512
    seed: int = 30_000


def main(config: Config) -> None:
    """Round, measure, write the card, draw the curve."""
    notes = {
        key: value
        for key, value in wdno.read_card(config.run / "model").items()
        if key in KEPT
    }
    folder = SHIPPED / config.name
    wdno.save(wdno.load(config.run / "model"), folder, dtype=jnp.float16)
    model = wdno.load(folder)
    truth = Burgers().trajectories(jax.random.key(config.seed), config.samples)
    interval = metrics.bootstrap_interval(simulation_error(model, truth))
    notes["metrics"] = {
        "one_step_mse": {
            part: float(value) for part, value in interval._asdict().items()
        },
        "convention": "mean over t > 0 and x of one sample, 95 % bootstrap interval",
        "samples": config.samples,
        "seed": config.seed,
    }
    wdno.save(model, folder, notes=notes, dtype=jnp.float16)
    lines = [json.loads(line) for line in (config.run / "log.jsonl").open()]
    curve = [line for line in lines if "validation_error" in line]
    picture = Path("docs/pictures/burgers_training.png")
    plotting.save(plotting.training_curve(curve), picture)
    results = {
        "metrics": notes["metrics"],
        "steps": lines[-1]["step"],
        "seconds": lines[-1]["seconds"],
        "curve": [[line["seconds"], line["validation_error"]] for line in curve],
    }
    print(json.dumps(notes["metrics"]["one_step_mse"]))
    print(record("burgers_training", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
