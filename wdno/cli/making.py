"""Commands that make something: demonstrations, data, models."""

import dataclasses
import json
import re
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import xarray as xr
from tyro.conf import Positional

from wdno import demo, io, official, systems
from wdno.operator.checkpoint import load
from wdno.operator.checkpoint import save as save_model
from wdno.training import from_data, recipes
from wdno.training.loop import TrainingConfig
from wdno.training.recipe_file import load_recipe
from wdno.training.suggestion import suggest
from wdno.trajectory import join_trajectories

SYSTEMS = {
    "advection": systems.Advection,
    "advection-steep": partial(
        systems.Advection,
        waves=systems.Waves(largest=16, share_folded=0.3, share_cut=0.3),
    ),
    "burgers": systems.Burgers,
    "burgers-bursts": partial(systems.Burgers, force_spans=(0.02, 0.2)),
    "navier-stokes": systems.CompressibleNavierStokes,
    "navier-stokes-shock": partial(
        systems.CompressibleNavierStokes, points=128, refinement=8
    ),
    "smoke": systems.Smoke,
    "smoke-small": partial(
        systems.Smoke, points=32, refinement=4, frames=16, substeps=16
    ),
}
DEMOS = {"burgers": demo.burgers, "smoke": demo.smoke}

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


def varied(
    system: systems.PhysicalSystem, parameters: dict[str, float]
) -> systems.PhysicalSystem:
    """The system with other values of some of its numbers.

    Raises:
        ValueError: if it has no such number, one that is whole gets another, or a value
            is not finite.
    """
    kinds = {f.name: type(getattr(system, f.name)) for f in dataclasses.fields(system)}
    numbers = {name: kind for name, kind in kinds.items() if kind in (int, float)}
    for name, value in parameters.items():
        broken = numbers.get(name) is int and not value.is_integer()
        if name not in numbers or not isfinite(value) or broken:
            raise ValueError(
                "A system is varied in its numbers by finite ones, whole ones by whole "
                f"ones, but got {name} = {value:g}. Choose from: "
                f"{', '.join(f'{n} ({kind.__name__})' for n, kind in numbers.items())}."
            )
    values = {name: numbers[name](value) for name, value in parameters.items()}
    return dataclasses.replace(system, **values)


def run_demo(
    system: Positional[Literal["burgers", "smoke"]],
    out: Path = Path("demo"),
    seed: int = 0,
) -> None:
    """Simulate, refine and control unseen flows beside the reference solver.

    Args:
        system: physical system.
        out: folder for data, pictures and the HTML page.
        seed: which problems to draw.
    """
    DEMOS[system](out, seed=seed)


def data(
    system: Positional[
        Literal[
            "advection",
            "advection-steep",
            "burgers",
            "burgers-bursts",
            "navier-stokes",
            "navier-stokes-shock",
            "smoke",
            "smoke-small",
        ]
    ],
    samples: int,
    out: Path,
    parameters: tuple[tuple[str, float], ...] = (),
    seed: int = 0,
    chunk: int = 512,
    workers: int = 1,
) -> None:
    """Generate trajectories with a reference solver; an interrupted run resumes.

    Args:
        system: physical system, with its default parameters; advection-steep has more
            short waves, from which models learn these sooner; burgers-bursts is driven
            by shorter forces, from which planners learn; navier-stokes has 1024 cells
            and navier-stokes-shock the means of every eight of them, on which models
            are trained; smoke-small is stored on 32 x 32 points at 16 instants.
        samples: number of trajectories.
        out: NetCDF file to write.
        parameters: other values of numbers of the system, e.g. viscosity 0.02.
        seed: seed of the inputs.
        chunk: trajectories solved and written at once.
        workers: chunks solved at the same time, in threads.
    """
    how = {"seed": seed, "chunk": chunk, "workers": workers}
    systems.generate(varied(SYSTEMS[system](), dict(parameters)), out, samples, **how)
    print(f"Wrote {samples} trajectories to {out}, checksum {systems.verify(out)}")


def import_official(
    checkpoint: Positional[Path],
    kind: Literal["burgers", "smoke"],
    out: Path,
    task: Literal["simulation", "refinement", "control"] = "simulation",
    width: int | None = None,
    groups: int | None = None,
    weights: Literal["model", "ema"] = "model",
) -> None:
    """Make an ordinary model of a checkpoint of the official WDNO code.

    Args:
        checkpoint: file that the official trainer wrote, or a bare state dict.
        kind: which system it is of.
        out: folder of the model.
        task: what it was trained for.
        width: features on the finest grid, if not those of the official configuration.
        groups: groups of normalised features, likewise (the paper has 8 for Burgers,
            the code 1; no checkpoint tells).
        weights: those that the official evaluation uses, or their moving average.
    """
    model_kind = official.KINDS[f"{kind}-{task}"]
    chosen = {"width": width, "groups": groups}
    network = dataclasses.replace(
        model_kind.network, **{n: v for n, v in chosen.items() if v is not None}
    )
    tensors = io.read_state_dict(checkpoint, weights)
    model = official.import_model(
        dataclasses.replace(model_kind, network=network), tensors
    )
    origin = {"file": checkpoint.name, "weights": weights, "kind": kind, "task": task}
    save_model(model, out, notes={"name": out.name, "origin": origin})
    print(f"Wrote {out}: a model of {len(tensors)} tensors; wdno info {out} shows it")


@dataclasses.dataclass(frozen=True)
class Length:
    """How long and how a model is trained.

    Attributes:
        budget: length as a duration, e.g. 90m. Give this or steps.
        steps: length in updates; the run is then reproducible bit for bit.
        validation_samples: number of trajectories held back; an eighth by default, and
            never more than 128.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay.
        validate_every: training between validations, as a duration.
        checkpoint_every: training between checkpoints.
        log_every: training between lines of the log.
        seed: seed of initial parameters, batches and noise.
        resume: continue from the last checkpoint in OUT.
    """

    budget: str = ""
    steps: int | None = None
    validation_samples: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    validate_every: str = "2m"
    checkpoint_every: str = "3m"
    log_every: str = "1s"
    seed: int = 0
    resume: bool = False

    def config(self) -> TrainingConfig:
        """With durations in seconds."""
        return TrainingConfig(
            steps=self.steps,
            budget=duration(self.budget) if self.budget else None,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=duration(self.validate_every),
            checkpoint_every=duration(self.checkpoint_every),
            log_every=duration(self.log_every),
            seed=self.seed,
        )

    def how(self) -> dict[str, Any]:
        """What else `wdno.train` is told."""
        return {"validation_samples": self.validation_samples, "resume": self.resume}


Flat = Annotated[Length, tyro.conf.OmitArgPrefixes]


def train(
    recipe: Positional[str] = "",
    *,
    data: tuple[Path, ...],
    out: Path,
    state: tuple[str, ...] = (),
    control: tuple[str, ...] = (),
    static: tuple[str, ...] | None = None,
    start: str | None = None,
    length: Flat,
) -> None:
    """Train a model; writes its recipe, the log, checkpoints and OUT/model.

    Args:
        recipe: name of a recipe, e.g. burgers-simulation, or a file such as an earlier
            OUT/recipe.json, changed as you like; by default one is suggested for the
            data, and printed.
        data: files of trajectories on one grid, of which windows are read as they are
            needed; the last trajectories of the last file are held back for validation,
            in memory.
        out: folder of the run.
        state: variables whose evolution is learned, without a recipe; by default all
            with an axis of time that are no control.
        control: variables that act over the intervals, likewise.
        static: variables that never change and are given, likewise.
        start: begin with the parameters of this model (name or folder).
        length: how long and how it is trained.
    """
    dataset = join_trajectories(data)
    names = {"state": state, "control": control, "static": static}
    from_data.train(
        dataset,
        out,
        length.config(),
        recipe=_recipe(recipe, dataset, {n: v for n, v in names.items() if v}),
        start=None if start is None else load(start),
        **length.how(),
    )
    print(f"Wrote {out / 'model'}: use it by its path, e.g. wdno info {out / 'model'}")


def finetune(
    model: Positional[str], *, data: tuple[Path, ...], out: Path, length: Flat
) -> None:
    """Go on training a model on other trajectories, of another grid or coefficient.

    Args:
        model: shipped name or folder.
        data: files of trajectories with the variables that the model knows.
        out: folder of the run.
        length: how long and how it is trained.
    """
    from_data.finetune(
        model, join_trajectories(data), out, length.config(), **length.how()
    )
    print(f"Wrote {out / 'model'}: use it by its path, e.g. wdno info {out / 'model'}")


def _recipe(
    recipe: str, dataset: xr.Dataset, names: dict[str, tuple[str, ...]]
) -> recipes.Recipe:
    """The recipe of that name or file, or one that is suggested and printed."""
    if not recipe:
        chosen = suggest(from_data.in_samples(dataset), **names)
        print(f"Recipe, suggested for these data: {json.dumps(chosen.notes())}")
        return chosen
    if names:
        raise ValueError(
            f"Variables are named where a recipe is suggested, but got {[*names]} "
            f"beside the recipe {recipe!r}. Leave out one of the two."
        )
    if recipe in recipes.RECIPES:
        return recipes.RECIPES[recipe]
    if not Path(recipe).expanduser().is_file():
        raise ValueError(
            f"Training follows a known recipe or the file of one, but got {recipe!r}. "
            f"Known: {', '.join(recipes.RECIPES)}."
        )
    return load_recipe(recipe)
