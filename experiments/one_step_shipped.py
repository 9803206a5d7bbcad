"""Are the adapters that ship as good as the eight calls that they stand for?

On trajectories of seeds on which nothing was trained and nothing chosen, neither the
adapter's size nor a weight of its loss: one call with the adapter and one without it
beside the teacher's 8, from the same keys.

    taskset -c 0 python experiments/one_step_shipped.py
"""

import json
from dataclasses import dataclass
from typing import Any

import jax
import tyro
import xarray as xr
from _one_step import FEW_CALLS, ONCE, Judge, scored
from _results import RESULTS, amend
from distil import SHIPPED

import wdno
from wdno.cli.systems import SYSTEMS
from wdno.systems import trajectories

MODELS = {
    "burgers-simulation": ("burgers", "burgers_training"),
    "kuramoto-sivashinsky-simulation": (
        "kuramoto-sivashinsky",
        "kuramoto_sivashinsky_training",
    ),
}
"""System, and the results of the teacher's training, by name of a model."""


@dataclass(frozen=True)
class Config:
    """Which models, on how much."""

    models: tuple[str, ...] = tuple(MODELS)
    samples: int = 24
    """Trajectories of each seed."""
    seeds: tuple[int, ...] = (58_000, 59_000)
    members: int = 8


def main(config: Config) -> None:
    """Judge, print and store; rows of other models stay."""
    on = {"samples": config.samples, "seeds": config.seeds, "members": config.members}
    for name in config.models:
        row = noted(name) | on | judged(name, config)
        print(name, row, flush=True)
        amend("one_step_shipped", "adapters", name, row)


def noted(name: str) -> dict[str, Any]:
    """What the card says of the adapter, and how long its teacher was trained."""
    notes = wdno.read_card(SHIPPED / name)["adapters"]["one-step"]
    trained = json.loads((RESULTS / f"{MODELS[name][1]}.json").read_text())["seconds"]
    spent = notes["training"]["processor_seconds"]
    return {
        "parameters": notes["parameters"],
        "share_of_parameters": notes["share_of_parameters"],
        "bytes": (SHIPPED / name / "one-step.safetensors").stat().st_size,
        "processor_seconds": spent,
        "share_of_teachers_training": round(sum(spent.values()) / trained, 4),
    }


def judged(name: str, config: Config) -> dict[str, Any]:
    """Scores of one call with and without the adapter, of all seeds and of each."""
    teacher, quick = wdno.load(name), wdno.load(name, adapter="one-step")
    system = SYSTEMS[MODELS[name][0]]()
    found: dict[str, Any] = {}
    parts = {
        str(seed): trajectories(system, jax.random.key(seed), config.samples)
        for seed in config.seeds
    }
    for label, truth in {
        "all": xr.concat([*parts.values()], "sample"),
        **parts,
    }.items():
        judge = Judge.of(teacher, truth, config.members)
        taught = judge.drawn(teacher, *FEW_CALLS["8 calls"])
        one = judge.drawn(quick, *ONCE)
        found[label] = {"adapter": scored(judge, teacher, one, taught)}
        if label == "all":
            plain = judge.drawn(teacher, *FEW_CALLS["1 calls"])
            found[label]["undistilled"] = scored(judge, teacher, plain, taught)
    return {"scores": found}


if __name__ == "__main__":
    main(tyro.cli(Config))
