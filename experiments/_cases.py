"""What every shipped model is calibrated on, and on what it is diagnosed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import era5
import jax
import xarray as xr
from _cells import finest
from _finer_smoke import kept as kept_scenes

import wdno
from wdno.cli.systems import SYSTEMS
from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m
from wdno.trajectory import join_trajectories

DIAGNOSED = 30_000
"""Seed of what is diagnosed; no training used it."""
HELD_OUT = 60_000
"""Seed of what ensembles are calibrated on; nothing else used it."""
JUDGED = 31_000
"""Seed of what calibrated ensembles are judged on; nothing was chosen on it."""


@dataclass(frozen=True)
class Source:
    """Where trajectories come from."""

    seed: int
    era5: Path | None = None
    plans: Path | None = None
    flow_plans: Path | None = None
    """Of the seed."""
    finer: Path = Path("runs/finer")
    """Scenes on finer grids are read from here where they are there, or solved."""


Draw = Callable[[Source], xr.Dataset]


class Case(NamedTuple):
    """What a model is diagnosed and calibrated on, and how its ensembles are drawn."""

    truth: Draw
    held_out: Draw | None = None
    """What slopes and factors are fitted to; None where none have been tried."""
    calls: int = 4
    sampler: Sampler = dpmpp_2m()
    ships: bool = False
    """The calibrated model in place of the one that was trained: where it is better."""


@cache
def trajectories(system: str, seed: int, samples: int) -> xr.Dataset:
    """Of a system; two models may share them."""
    return SYSTEMS[system]().trajectories(jax.random.key(seed), samples)


def drawn(system: str, samples: int) -> Draw:
    """Trajectories of a seed that no training used."""
    return lambda source: trajectories(system, source.seed, samples)


def finer_scenes(chunks: int) -> Draw:
    """Scenes of smoke on twice the points, four a chunk."""

    def scenes(source: Source) -> xr.Dataset:
        parts = [kept_scenes(source.finer, source.seed, n) for n in range(chunks)]
        return xr.concat(parts, "sample", data_vars="minimal", coords="minimal")

    return scenes


def finer_gas(samples: int) -> Draw:
    """The first instants of shock tubes on 1,024 cells."""

    def first(source: Source) -> xr.Dataset:
        truth = finest(jax.random.key(source.seed), samples)
        return truth.isel(time=slice(None, 41))

    return first


def weather(period: str, every: int) -> Draw:
    """Windows of the days of a period, every so many hours."""

    def windows(source: Source) -> xr.Dataset:
        if source.era5 is None:
            raise ValueError(
                "Trajectories of era5-t2m are those of its record, but --era5 is "
                "missing. Name the file, or leave that model out by --models."
            )
        problem = era5.problem_of(replace(era5.LAPTOP, data=source.era5))
        departures = problem.linear.departures(problem.anomalies[period])
        return departures.isel(sample=slice(None, None, every))

    return windows


def plans(source: Source) -> xr.Dataset:
    """Plans that succeed, of those that training held back."""
    data = kept(source.plans, "smoke-control", "--plans", "smoke_plans.py")
    return data.isel(sample=slice(-16, None)).load()


def flow_plans(source: Source) -> xr.Dataset:
    """Nearly best plans for Burgers flow, of a seed that no training used."""
    where = source.flow_plans, "burgers-control", "--flow-plans", "burgers_plans.py"
    return kept(*where).load()


def kept(folder: Path | None, model: str, option: str, script: str) -> xr.Dataset:
    """The trajectories of a folder."""
    if folder is None:
        raise ValueError(
            f"The diagnosis of {model} takes plans that succeed, but {option} is "
            f"missing. Name the folder that {script} made, or leave that model out by "
            "--models."
        )
    return join_trajectories(sorted(folder.glob("*.nc")))


CASES: dict[str, Case] = {
    # Errors of a few steep waves outweigh all others.
    "advection-simulation": Case(drawn("advection", 512), calls=8),
    # Most of what is drawn is what its network adds to the mean.
    "burgers-simulation": Case(
        drawn("burgers", 512), calls=8, sampler=ddim(1.0, inflation=1.5)
    ),
    "burgers-refinement": Case(drawn("burgers", 128)),
    "burgers-control": Case(flow_plans, flow_plans),
    "kuramoto-sivashinsky-simulation": Case(
        drawn("kuramoto-sivashinsky", 128),
        drawn("kuramoto-sivashinsky", 64),
        ships=True,
    ),
    "navier-stokes-shock": Case(
        drawn("navier-stokes-shock", 128),
        drawn("navier-stokes-shock", 256),
        ships=True,
    ),
    "navier-stokes-correction": Case(
        drawn("navier-stokes-shock", 128),
        drawn("navier-stokes-shock", 256),
        calls=8,
        ships=True,
    ),
    "navier-stokes-refinement": Case(finer_gas(32)),
    "navier-stokes-fine": Case(drawn("navier-stokes", 32)),
    "smoke-simulation": Case(drawn("smoke", 32)),
    "smoke-control": Case(plans),
    "smoke-refinement": Case(finer_scenes(4), finer_scenes(3), ships=True),
    "era5-t2m": Case(weather("test", 6), calls=8),
}


def calibrated(
    name: str,
    model: wdno.WDNO,
    held_out: xr.Dataset,
    members: int = 8,
    batch_size: int = 16,
) -> wdno.WDNO:
    """The model, calibrated for ensembles that are drawn as its case says."""
    case = CASES[name]
    return wdno.calibrate(
        model,
        held_out,
        calls=case.calls,
        members=members,
        sampler=case.sampler,
        batch_size=batch_size,
        key=jax.random.key(1),
    )
