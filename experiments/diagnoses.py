"""What is right and wrong with every shipped model, put on its card.

python experiments/diagnoses.py --era5 era5_uk_t2m_32x48_744h.nc --plans smoke-plans
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import era5
import jax
import numpy as np
import tyro
import xarray as xr
from _cells import finest
from _finer_smoke import scene_key, scenes
from _results import RESULTS, record

import wdno
from wdno.cli.making import SYSTEMS
from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m
from wdno.training.diagnosis import as_notes
from wdno.trajectory import join_trajectories

SHIPPED = Path(wdno.__file__).parent / "pretrained"


@dataclass(frozen=True)
class Config:
    """Which models, on how much."""

    models: tuple[str, ...] = tuple(wdno.shipped())
    era5: Path | None = None
    plans: Path | None = None
    members: int = 8
    levels: int = 8
    seed: int = 30_000


class Case(NamedTuple):
    """What a model is diagnosed on, and how its ensembles are drawn."""

    truth: Callable[[Config], xr.Dataset]
    calls: int = 4
    sampler: Sampler = dpmpp_2m()


def drawn(system: str, samples: int) -> Callable[[Config], xr.Dataset]:
    """Trajectories of a seed that no training used."""

    def truth(config: Config) -> xr.Dataset:
        key = jax.random.key(config.seed)
        return SYSTEMS[system]().trajectories(key, samples)

    return truth


def finer_scenes(config: Config) -> xr.Dataset:
    """Scenes of smoke on twice the points."""
    return scenes(scene_key(config.seed, 0), 2, ratio=2)


def finer_gas(config: Config) -> xr.Dataset:
    """The first instants of shock tubes on 1,024 cells."""
    truth = finest(jax.random.key(config.seed), 4)
    return truth.isel(time=slice(None, 41))


def weather(config: Config) -> xr.Dataset:
    """Windows of the days of test, every sixth hour."""
    if config.era5 is None:
        raise ValueError(
            "The diagnosis of era5-t2m takes its record, but --era5 is missing. Name "
            "the file, or leave that model out by --models."
        )
    preset = replace(era5.LAPTOP, data=config.era5)
    problem = era5.problem_of(preset)
    departures = problem.linear.departures(problem.anomalies["test"])
    return departures.isel(sample=slice(None, None, 6))


def plans(config: Config) -> xr.Dataset:
    """Plans that succeed, of those that training held back."""
    if config.plans is None:
        raise ValueError(
            "The diagnosis of smoke-control takes plans that succeed, but --plans is "
            "missing. Name the folder that smoke_plans.py made, or leave that model "
            "out by --models."
        )
    data = join_trajectories(sorted(config.plans.glob("*.nc")))
    return data.isel(sample=slice(-16, None)).load()


CASES: dict[str, Case] = {
    "advection-simulation": Case(drawn("advection", 32), 8),
    "burgers-simulation": Case(drawn("burgers", 32), 8, ddim(1.0, inflation=1.5)),
    "burgers-refinement": Case(drawn("burgers", 16)),
    "burgers-control": Case(drawn("burgers-bursts", 32)),
    "navier-stokes-shock": Case(drawn("navier-stokes-shock", 32)),
    "navier-stokes-correction": Case(drawn("navier-stokes-shock", 32), 8),
    "navier-stokes-refinement": Case(finer_gas),
    "smoke-simulation": Case(drawn("smoke", 16)),
    "smoke-control": Case(plans),
    "smoke-refinement": Case(finer_scenes, 1),
    "era5-t2m": Case(weather, 8),
}


def summary(found: xr.Dataset) -> dict[str, Any]:
    """The numbers that say most: errors by level, and those of the ensemble."""
    errors = found["denoising_error"].values
    ends = np.min, np.max
    spread = found["spread_skill"].values.round(3).tolist()
    return {
        "calls": found.attrs["calls"],
        "members": found.attrs["members"],
        "errors_rise_with_sigma": bool((np.diff(errors, axis=0) > 0).all()),
        "spread_skill": dict(zip(found["field"].values.tolist(), spread, strict=True)),
        "energy_ratio": [
            float(f"{end(found['energy_ratio'].values):.3g}") for end in ends
        ],
    }


def stored() -> dict[str, Any]:
    """What was found before, which stays for models that are not diagnosed now."""
    path = RESULTS / "diagnoses.json"
    return json.loads(path.read_text())["models"] if path.exists() else {}


def main(config: Config) -> None:
    """Diagnose, write cards, print and store."""
    results = stored()
    for name in config.models:
        case = CASES[name]
        found = wdno.diagnose(
            wdno.load(name),
            case.truth(config),
            calls=case.calls,
            members=config.members,
            levels=config.levels,
            sampler=case.sampler,
            key=jax.random.key(0),
        )
        wdno.annotate(SHIPPED / name, diagnosis=as_notes(found))
        results[name] = summary(found)
        print(name, results[name], flush=True)
        record("diagnoses", asdict(config), models=results)


if __name__ == "__main__":
    main(tyro.cli(Config))
