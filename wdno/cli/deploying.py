"""Commands by which a model leaves this machine."""

import importlib
import importlib.util
import tempfile
from pathlib import Path

from tyro.conf import Positional

import wdno
from wdno._files import check_output
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.cli.using import objective_of
from wdno.deployment import hub_page
from wdno.deployment.batching import Simulator
from wdno.operator import checkpoint
from wdno.operator.card_file import notes_of


def export(
    model: Positional[str],
    out: Path,
    steps: int = 1,
    sampler: SamplerName = "ddim",
    objective: str = "reach",
    energy_weight: float = 2e-5,
    strength: float | None = 0.1,
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Write a model as a program that needs neither networks nor layouts.

    Args:
        model: shipped name or folder; of a planner the plans are exported.
        out: file to write, such as model.stablehlo: a zip with the program, what it
            takes and gives, the weights and the card.
        steps: denoiser calls per window, or per plan.
        sampler: rule of one step in noise level.
        objective: of a planner: reach, leakage, or a Python file that defines
            objective(fields); see wdno control.
        energy_weight: weight of the control in reach.
        strength: of the guidance by the objective; None for no guidance.
        platforms: that it is to run on.
    """
    check_output(out)
    operator = checkpoint.load(model)
    how = {"platforms": platforms, "notes": notes_of(checkpoint.read_card(model))}
    if operator.planned:
        wish = objective_of(objective, operator, energy_weight)
        planner = wdno.Planner(
            operator, wish, strength, sampler=SAMPLERS[sampler], steps=steps
        )
        wdno.export(planner, out, **how)
    else:
        wdno.export(operator, out, sampler=SAMPLERS[sampler], steps=steps, **how)
    print(f"Wrote {out}: {out.stat().st_size / 1e6:.3g} MB for {', '.join(platforms)}")


def publish(
    model: Positional[str],
    to: str,
    out: Path,
    license: str,
    tags: tuple[str, ...] = (),
) -> None:
    """Write a model as the Hugging Face Hub takes it; nothing is sent.

    Args:
        model: shipped name or folder.
        to: address of the repository that it is for, hf://owner/name.
        out: folder to write: the model, its adapters, and README.md, whose front matter
            the Hub lists.
        license: as the Hub names it, such as mit.
        tags: by which it is to be found, besides those of every model.
    """
    hub_page.publish(model, out, to, license=license, tags=tags)
    name = to.removeprefix("hf://")
    print(f"Wrote {out}; send it by: hf upload {name} {out}")


def serve(
    model: Positional[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    steps: int = 1,
    sampler: SamplerName = "ddim",
    largest_request: int = 2**26,
    largest_result: int = 2**28,
    seconds: float = 60.0,
    waiting: int = 64,
    rows: int = 64,
) -> None:
    """Simulate over HTTP: NetCDF or zipped Zarr in and out.

    Args:
        model: file that wdno export wrote; or a shipped name or a folder, which is
            exported first.
        host: address to listen at; whoever reaches it may ask, so that by default only
            this machine does.
        port: to listen at.
        steps: denoiser calls per window; of an exported file its own.
        sampler: rule of one step in noise level; of an exported file its own.
        largest_request: bytes of a file that comes, and of its values.
        largest_result: bytes of a result.
        seconds: that an answer may take.
        waiting: requests at a time; more are sent away.
        rows: trajectories that are computed together.
    """
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"A service needs {package}, which is not installed. Install it: pip "
                "install 'wdno[serve]'."
            )
    service = importlib.import_module("wdno.deployment.service")
    if Path(model).is_file():
        exported = wdno.load_exported(model, effort=1)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.stablehlo")
            export(model, path, steps, sampler)
            exported = wdno.load_exported(path, effort=1)
    simulator = Simulator(exported, largest_result, rows)
    simulator.warm()
    limits = service.Limits(largest_request, seconds, waiting)
    application = service.make_service(simulator, limits)
    importlib.import_module("uvicorn").run(application, host=host, port=port)
