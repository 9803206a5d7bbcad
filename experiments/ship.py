"""Turn a finished run into a shipped model: calibrated, half-size weights, a card.

The error is measured on trajectories whose seed no training used, from the rounded
weights as they ship; the curve of the run goes to results and documentation.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import _smoke
import era5
import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _cases import CASES, HELD_OUT, Source
from _cells import finest
from _control import OBJECTIVE, SYSTEM, Problems, late_plan
from _era5 import by_model
from _era5_scores import statistics
from _finer_smoke import CHUNK, kept
from _results import record

import wdno
from wdno import metrics, plotting
from wdno.cli.systems import SYSTEMS
from wdno.systems import PhysicalSystem
from wdno.training.history import history
from wdno.training.validation import refinement_error, simulation_error

SHIPPED = Path(wdno.__file__).parent / "pretrained"
KEPT = ("name", "recipe", "training", "data", "validation_error")


@dataclass(frozen=True)
class Config:
    """Which run, under which name."""

    run: Path
    name: str = "burgers-simulation"
    data: Path = Path()
    samples: int = 512
    seed: int = 30_000


Measure = Callable[[wdno.WDNO, Config], xr.DataArray]


def one_step_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Mean over t > 0 and x of the squared error of one sample."""
    truth = SYSTEM.trajectories(jax.random.key(config.seed), config.samples)
    return simulation_error(model, truth)


def mse_of(system: PhysicalSystem) -> Measure:
    """Measure of a model that simulates a system without controls."""

    def simulation_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
        """Mean over t > 0, space and states of the squared error of one sample."""
        truth = system.trajectories(jax.random.key(config.seed), config.samples)
        return simulation_error(model, truth)

    return simulation_mse


def doubling_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Mean over t > 0 and x of the squared error of doubling exact coarse states."""
    truth = SYSTEM.trajectories(jax.random.key(config.seed), config.samples)
    return refinement_error(model, truth)


def density_doubling_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Mean over t > 0 and space of the squared error of doubled exact density."""
    chunks = range(1, 1 + config.samples // CHUNK)
    errors = [
        refinement_error(model, kept(config.data, config.seed, n)) for n in chunks
    ]
    return xr.concat(errors, "sample")


def cell_doubling_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Mean over t > 0, x and states of the squared error of halving exact cells."""
    truth = finest(jax.random.key(config.seed), config.samples)
    return refinement_error(model, truth)


def objective(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Miss and energy of plans over the last 16 frames, judged by the solver."""
    problems, key = Problems.draw(config.seed, config.samples), jax.random.key(0)
    base = wdno.load("burgers-simulation")
    planner = wdno.Planner(model, OBJECTIVE, steps=1)
    f = late_plan(base, planner, problems, 16, key)
    fields = SYSTEM.solve({"u0": problems.known["u0"], "f": f})
    values = OBJECTIVE({**problems.known, **fields, "f": f})
    return xr.DataArray(np.asarray(values), dims="sample")


def smoke_mse(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Mean over t > 0, space and density, vx, vy, smoke of the squared error."""
    truth = _smoke.SYSTEM.trajectories(jax.random.key(config.seed), config.samples)
    found = _smoke.simulated(model, truth, jax.random.key(0))
    return _smoke.squared_errors(found, truth).mean("field")


def leakage(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Share of smoke that leaks under plans of 8 calls, judged by the solver."""
    scenes = _smoke.Scenes.draw(config.seed, config.samples)
    controls = _smoke.sampled(model, scenes, jax.random.key(0))
    inputs = {"density0": scenes.inputs["density0"], **controls}
    last = _smoke.SYSTEM.solve(inputs)["smoke"][:, -1]
    return xr.DataArray(1 - np.asarray(last), dims="sample")


def temperature_crps(model: wdno.WDNO, config: Config) -> xr.DataArray:
    """Fair CRPS in K of 16 members, mean over 24 h, by day of start of the test."""
    preset = replace(era5.LAPTOP, data=config.data)
    forecaster = era5.ensemble(model, preset.members, preset.steps)
    problem = era5.problem_of(preset)
    found = statistics(problem, by_model(problem, forecaster), "test", preset.every)
    return found["crps"].mean("time").groupby("day").mean().rename(day="sample")


MEASURES: dict[str, Measure] = {
    "advection-simulation": mse_of(SYSTEMS["advection"]()),
    "burgers-simulation": one_step_mse,
    "burgers-refinement": doubling_mse,
    "burgers-control": objective,
    "kuramoto-sivashinsky-simulation": mse_of(SYSTEMS["kuramoto-sivashinsky"]()),
    "navier-stokes-shock": mse_of(SYSTEMS["navier-stokes-shock"]()),
    "navier-stokes-correction": mse_of(SYSTEMS["navier-stokes-shock"]()),
    "navier-stokes-refinement": cell_doubling_mse,
    "navier-stokes-fine": mse_of(SYSTEMS["navier-stokes"]()),
    "smoke-simulation": smoke_mse,
    "smoke-control": leakage,
    "smoke-refinement": density_doubling_mse,
    "era5-t2m": temperature_crps,
}
"""What the card of a model promises, by its name."""


def one_after_the_other(run: Path) -> list[dict[str, Any]]:
    """Lines of the logs of a run, one stage after the other."""
    lines: list[dict[str, Any]] = []
    for stage in history(run).values():
        steps, seconds = (lines[-1][k] if lines else 0 for k in ("step", "seconds"))
        lines += [
            line | {"step": steps + line["step"], "seconds": seconds + line["seconds"]}
            for line in stage
        ]
    return lines


def measured(model: wdno.WDNO, config: Config) -> dict[str, Any]:
    """What the card promises, with its 95 % bootstrap interval."""
    measure = MEASURES[config.name]
    errors = measure(model, config)
    interval = metrics.bootstrap_interval(errors)
    return {
        measure.__name__: {n: float(v) for n, v in interval._asdict().items()},
        "convention": f"{measure.__doc__} Mean with 95 % bootstrap interval.",
        "samples": errors.sizes["sample"],
        "seed": config.seed,
    }


def main(config: Config) -> None:
    """Calibrate, round, measure, write the card, draw the curve."""
    card = wdno.read_card(config.run / "model")
    notes = {key: value for key, value in card.items() if key in KEPT}
    folder = SHIPPED / config.name
    model, case = wdno.load(config.run / "model"), CASES[config.name]
    if case.ships:
        source = Source(HELD_OUT, config.data, flow_plans=config.data)
        held_out = case.held_out(source)
        model = case.fit(model, held_out, case, members=8, batch_size=16)
    wdno.save(model, folder, dtype=jnp.float16)
    model = wdno.load(folder)
    notes["metrics"] = measured(model, config)
    wdno.save(model, folder, notes=notes, dtype=jnp.float16)
    stem = config.name.replace("-", "_").replace("_simulation", "")
    results = {
        "metrics": notes["metrics"],
        **drawn(one_after_the_other(config.run), stem),
    }
    print(json.dumps(notes["metrics"]))
    print(record(f"{stem}_training", asdict(config), **results))


def drawn(lines: list[dict[str, Any]], stem: str) -> dict[str, Any]:
    """Length of a run, its curve and its picture; what is fitted at once has none."""
    if not lines:
        return {}
    length = {"steps": lines[-1]["step"], "seconds": lines[-1]["seconds"]}
    curve = [line for line in lines if "validation_error" in line]
    if not curve:
        return length
    picture = Path(f"docs/pictures/{stem}_training.png")
    plotting.save(plotting.training_curve(curve), picture)
    found = [[line["seconds"], line["validation_error"]] for line in curve]
    return length | {"curve": found}


if __name__ == "__main__":
    main(tyro.cli(Config))
