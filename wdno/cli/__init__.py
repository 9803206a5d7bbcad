"""The command ``wdno``: data, training, simulation, evaluation, demonstration."""

import json
import re
import sys
from pathlib import Path
from typing import Literal

import tyro
from tyro.conf import Positional

from wdno import demo, metrics, persistence, recipes, release, systems, verbs
from wdno.samplers import ddim
from wdno.training import TrainingConfig
from wdno.trajectory import open_trajectories, save

SYSTEMS = {"burgers": systems.Burgers}
DEMOS = {"burgers": demo.burgers}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration(text: str) -> float:
    """Seconds of a duration such as ``90m``, ``2h``, ``45s`` or ``600``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"A duration is a number with s, m or h, but got {text!r}. Write 90m or 2h."
        )
    return float(match[1]) * _SECONDS[match[2]]


def run_demo(
    system: Positional[Literal["burgers"]], out: Path = Path("demo"), seed: int = 0
) -> None:
    """Simulate unseen problems with a shipped model and compare with the solver.

    Args:
        system: physical system.
        out: folder for data, pictures and the HTML page.
        seed: which problems to draw.
    """
    DEMOS[system](out, seed=seed)


def data(
    system: Positional[Literal["burgers"]],
    samples: int,
    out: Path,
    seed: int = 0,
    chunk: int = 512,
) -> None:
    """Generate trajectories with a reference solver; an interrupted run resumes.

    Args:
        system: physical system, with its default parameters.
        samples: number of trajectories.
        out: NetCDF file to write.
        seed: seed of the inputs.
        chunk: trajectories solved and written at once.
    """
    systems.generate(SYSTEMS[system](), out, samples, seed=seed, chunk=chunk)
    print(f"Wrote {samples} trajectories to {out}, checksum {systems.verify(out)}")


def train(
    recipe: Positional[str],
    data: Path,
    out: Path,
    budget: str = "",
    steps: int | None = None,
    start: str | None = None,
    validation_samples: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    resume: bool = False,
) -> None:
    """Train a model by a recipe; writes the log, checkpoints and OUT/model.

    Args:
        recipe: name of a recipe, e.g. burgers-simulation.
        data: file of trajectories; its last ones are held back for validation.
        out: folder of the run.
        budget: length as a duration, e.g. 90m. Give this or steps.
        steps: length in updates; the run is then reproducible bit for bit.
        start: begin with the parameters of this model (name or folder).
        validation_samples: number of trajectories held back.
        learning_rate: peak learning rate.
        seed: seed of initial parameters, batches and noise.
        resume: continue from the last checkpoint in OUT.
    """
    if recipe not in recipes.RECIPES:
        raise ValueError(
            f"Training follows a known recipe, but got {recipe!r}. Known: "
            f"{', '.join(recipes.RECIPES)}."
        )
    config = TrainingConfig(
        steps=steps,
        budget=duration(budget) if budget else None,
        learning_rate=learning_rate,
        seed=seed,
    )
    release.run(
        recipe,
        open_trajectories(data),
        config,
        out,
        validation_samples=validation_samples,
        start=None if start is None else persistence.load(start),
        resume=resume,
    )
    print(f"Wrote {out / 'model'}: use it by its path, e.g. wdno info {out / 'model'}")


def simulate(
    model: Positional[str],
    input: Positional[Path],
    output: Positional[Path],
    members: int | None = None,
    steps: int = 1,
    eta: float = 0.0,
    seed: int = 0,
) -> None:
    """Simulate the initial states and controls of a NetCDF file.

    Args:
        model: shipped name or folder.
        input: file with the state (its first instant is used) and the control.
        output: NetCDF file to write.
        members: size of an ensemble; no ensemble by default.
        steps: denoiser calls per window.
        eta: noise of the sampler, 0 deterministic to 1 ancestral.
        seed: seed of the sampler.
    """
    import jax

    operator = persistence.load(model)
    names = (*operator.state, *operator.control)
    given = open_trajectories(input, names)
    forecast = verbs.simulate(
        operator,
        given[list(operator.state)].isel(time=0, drop=True),
        given[list(operator.control)],
        samples=members,
        sampler=ddim(eta),
        steps=steps,
        key=jax.random.key(seed),
    )
    save(forecast, output)
    print(f"Wrote {output}: {dict(forecast.sizes)}")


def evaluate(
    forecast: Positional[Path],
    truth: Positional[Path],
    variable: str = "u",
    out: Path | None = None,
) -> None:
    """Score a forecast against the truth, with confidence intervals over samples.

    Args:
        forecast: NetCDF file, with or without ensemble members.
        truth: NetCDF file on the same grid.
        variable: which variable to score.
        out: also write the scores to this NetCDF file.
    """
    fields = [open_trajectories(path) for path in (forecast, truth)]
    for path, dataset in zip((forecast, truth), fields, strict=True):
        if variable not in dataset:
            raise ValueError(
                f"Both files need the variable {variable!r}, but {path} has "
                f"{sorted(dataset.data_vars)}. Choose another by --variable."
            )
    scores = metrics.summary(*(dataset[variable] for dataset in fields))
    for name in scores["metric"].values:
        row = scores.sel(metric=name)
        print(
            f"{name:20s} {float(row.value):11.4g}  "
            f"[{float(row.low):.4g}, {float(row.high):.4g}]  {row.convention.item()}"
        )
    if out is not None:
        save(scores, out)


def info(what: Positional[str]) -> None:
    """Say what a model or a file of trajectories is.

    Args:
        what: shipped name or folder of a model, or a NetCDF file.
    """
    if Path(what).is_file():
        print(open_trajectories(what))
        return
    card = persistence.read_card(what)
    for layout in ("targets", "given"):
        card[layout].pop("scale")
    print(json.dumps(card, indent=1))


COMMANDS = {
    "demo": run_demo,
    "data": data,
    "train": train,
    "simulate": simulate,
    "evaluate": evaluate,
    "info": info,
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line; wrong input ends with its message, exit 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="wdno", args=arguments)
    except (ValueError, OSError) as error:
        print(f"wdno: {error}", file=sys.stderr)
        raise SystemExit(2) from error
