"""Commands that make something: demonstrations, data, models."""

import dataclasses
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from wdno import demo, io, official, systems
from wdno._files import check_output_folder
from wdno.cli.runs import duration
from wdno.cli.systems import SYSTEMS, SystemName
from wdno.cli.watching import live, live_smoke
from wdno.operator.checkpoint import save as save_model

DEMOS = {"burgers": demo.burgers, "smoke": demo.smoke}
LIVE = {"burgers": partial(live, "burgers"), "smoke": live_smoke}


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
    live: bool = False,
) -> None:
    """Simulate, refine and control unseen flows beside the reference solver.

    Args:
        system: physical system.
        out: folder for data, pictures and the HTML page.
        seed: which problems to draw.
        live: steer smoke in the browser instead, in a wind of your own; Burgers flow
            is steered so by `wdno live burgers`.
    """
    if live:
        return LIVE[system](seed=seed)
    DEMOS[system](check_output_folder(out), seed=seed)


def data(
    system: Positional[SystemName],
    samples: int,
    out: Path,
    parameters: tuple[tuple[str, float], ...] = (),
    seed: int = 0,
    chunk: int = 512,
    workers: int = 1,
    cluster: str | None = None,
    patience: str = "2h",
    chunks: str | None = None,
) -> None:
    """Generate trajectories by a reference solver; interrupted runs resume.

    Args:
        system: physical system, with its default parameters; advection-steep has more
            short waves, from which models learn these sooner; burgers-bursts is driven
            by shorter forces, from which planners learn; navier-stokes has 1024 cells
            and navier-stokes-shock the means of every eight of them, on which models
            are trained; smoke-small is stored on 32 x 32 points at 16 instants.
        samples: number of trajectories.
        out: NetCDF file to write, or Zarr store, if it ends in .zarr: that can be
            written by several processes and machines.
        parameters: other values of numbers of the system, e.g. viscosity 0.02.
        seed: seed of the inputs.
        chunk: trajectories solved and written at once.
        workers: chunks solved at the same time, in threads.
        cluster: address of a dask scheduler whose workers solve them instead, such as
            tcp://host:8786.
        patience: time within which one of these finishes a chunk; one that hangs longer
            is ended, and its chunk goes to another.
        chunks: i:j solves these chunks of a store alone, from i up to but without j,
            as in an array of SLURM; a run without it finishes the store.
    """
    how: dict[str, Any] = {"seed": seed, "chunk": chunk, "workers": workers}
    if cluster is not None:
        how |= {"cluster": cluster, "patience": duration(patience)}
    if chunks is not None:
        how["chunks"] = _range(chunks)
    systems.generate(varied(SYSTEMS[system](), dict(parameters)), out, samples, **how)
    if chunks is not None and not out.exists():
        print(f"Solved chunks {chunks} of {out}; the command without --chunks ends it")
        return
    print(f"Wrote {samples} trajectories to {out}, checksum {systems.verify(out)}")


def _range(text: str) -> range:
    begin, _, end = text.partition(":")
    if not (begin.isdecimal() and end.isdecimal() and int(begin) < int(end)):
        raise ValueError(
            f"Chunks are numbers i:j with i < j, but got {text!r}. Give e.g. 0:10."
        )
    return range(int(begin), int(end))


def import_official(
    checkpoint: Positional[Path],
    kind: Literal["burgers", "smoke"],
    out: Path,
    task: Literal["simulation", "refinement", "control"] = "simulation",
    width: int | None = None,
    groups: int | None = None,
    weights: Literal["model", "ema"] = "model",
) -> None:
    """Make an ordinary model of a checkpoint of the official code.

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
    check_output_folder(out)
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
