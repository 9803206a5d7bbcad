"""Does a transformer on patches of coefficients earn its place?

Transformers with attention everywhere, along one axis at a time and in windows, and the
best of the other backbones train on the same records for the same
processor time of one core and are judged on records that none has seen. There is no
mean: the backbone makes the whole field. Run one arm a core:

    python experiments/tokens.py --arm everywhere --system shocks --data shocks.nc \\
        --test shocks-test.nc
    python experiments/tokens_figure.py

With `--budget 0` an arm only says what a call and an update cost.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro
import xarray as xr
from _tokens import PROBLEMS, Arm, Problem, price

import wdno
from wdno import metrics
from wdno.networks import TokenTransformerConfig
from wdno.operator.checkpoint import save
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.pipeline import train
from wdno.training.validation import simulation_error
from wdno.trajectory import open_trajectories


@dataclass(frozen=True)
class Config(Arm):
    """One arm."""

    out: Path = Path("runs/tokens")
    patch: tuple[int, ...] = ()
    """Coefficients a token; empty for that of the system."""
    width: int = 192
    depth: int = 6
    heads: int = 6
    budget: float = 360.0
    validate_every: float = 45.0
    early: int = 32
    """Records that are watched; the errors are of the others."""


def arms(config: Config) -> dict[str, Callable[[Problem], Any]]:
    """Makers of the configuration of a network, by name."""

    def sized(kind: Callable[..., Any], problem: Problem, **more: Any) -> Any:
        size = {"width": config.width, "depth": config.depth, "heads": config.heads}
        return kind(config.patch or problem.patch, **size, **more)

    def one_by_one(problem: Problem) -> Any:
        axes = range(len(problem.patch))
        windows = tuple(tuple(int(a != here) for a in axes) for here in axes)
        return sized(TokenTransformerConfig, problem, windows=windows)

    def time_and_boxes(problem: Problem) -> Any:
        space = len(problem.patch) - 1
        windows = ((0, *(1,) * space), (1, *(8,) * space), (0, *(2,) * space))
        return sized(TokenTransformerConfig, problem, windows=windows)

    return {
        "best": lambda problem: problem.recipe.network,
        "everywhere": partial(sized, TokenTransformerConfig),
        "axes": one_by_one,
        "windows": time_and_boxes,
    }


def folder(config: Config) -> Path:
    """Of the run: by system, arm, size and seed."""
    patch = "x".join(map(str, config.patch)) or "own"
    size = f"{patch}-{config.width}-{config.depth}-{config.learning_rate:g}"
    return config.out / f"{config.system}-{config.arm}-{size}-{config.seed}"


def errors(model: wdno.WDNO, test: xr.Dataset, config: Config) -> dict[str, Any]:
    """Mean squared errors by calls a window, with intervals over records."""
    found = {}
    for steps in config.steps:
        rows = simulation_error(model, test, steps)
        interval = metrics.bootstrap_interval(rows)._asdict()
        found[str(steps)] = {name: float(value) for name, value in interval.items()}
    return found


def main(config: Config) -> None:
    """Price the arm, train it, and keep the model and what was found."""
    problem, where = PROBLEMS[config.system], folder(config)
    network = arms(config)[config.arm](problem)
    recipe = replace(problem.recipe, network=network)
    data = open_trajectories(config.data).load()
    fresh = build_model(recipe, data, WindowBatches(data, recipe, config.seed))
    results: dict[str, Any] = {
        "config": config.noted(),
        "network": asdict(network) | {"kind": type(network).__name__},
        "price": price(fresh, network, recipe.batch_size),
    }
    print(config.arm, results["price"], flush=True)
    if not config.budget:
        return
    test = open_trajectories(config.test).load()
    early = test.isel(sample=slice(config.early))
    how = {"held_back": early, "clock": time.process_time}
    model = train(recipe, data, config.training, where, **how)
    save(model, where / "model", notes={"name": f"tokens-{config.system}"})
    lines = [json.loads(line) for line in (where / "log.jsonl").open()]
    results |= {
        "updates": lines[-1]["step"],
        "curve": [
            [line["seconds"], line["validation_error"]]
            for line in lines
            if "validation_error" in line
        ],
        "mse": errors(model, test.isel(sample=slice(config.early, None)), config),
    }
    (where / "result.json").write_text(json.dumps(results, indent=1) + "\n")
    print(config.arm, results["updates"], results["curve"], results["mse"])


if __name__ == "__main__":
    main(tyro.cli(Config))
