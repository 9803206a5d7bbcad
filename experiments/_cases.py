"""What every shipped model is calibrated on, and on what it is diagnosed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import era5
import jax
import xarray as xr
from _cells import finest
from _finer_smoke import kept as kept_scenes

import wdno
from wdno.cli.systems import SYSTEMS
from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m
from wdno.operator.calibrated import uncalibrated
from wdno.training.batches import WindowBatches
from wdno.training.recipes import RECIPES
from wdno.training.variances import with_local_scale
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


Fit = Callable[[wdno.WDNO, xr.Dataset, "Case", int, int], wdno.WDNO]
"""A model, calibrated on trajectories for ensembles that are drawn as its case says: of
so many members, so many rows at a time."""


def slopes_and_factors(
    model: wdno.WDNO,
    held_out: xr.Dataset,
    case: "Case",
    members: int,
    batch_size: int,
) -> wdno.WDNO:
    """Two numbers a channel, around what the model has."""
    return wdno.calibrate(
        replace(model, residual=uncalibrated(model.residual)),
        held_out,
        calls=case.calls,
        members=members,
        sampler=case.sampler,
        batch_size=batch_size,
        key=jax.random.key(1),
    )


def local_scales(recipe: str) -> Fit:
    """The scale at each place that a recipe has, where no network knows of it."""

    def fit(
        model: wdno.WDNO,
        held_out: xr.Dataset,
        case: Case,
        members: int,
        batch_size: int,
    ) -> wdno.WDNO:
        own = RECIPES[recipe]
        batches = WindowBatches(held_out, own, seed=1)
        count = held_out.sizes["sample"] // own.batch_size
        return with_local_scale(model, batches, own.residual, count=count)

    return fit


def in_turn(*fits: Fit) -> Fit:
    """Several fits, each of the model that the one before has made."""

    def fit(model: wdno.WDNO, *how: Any) -> wdno.WDNO:
        return reduce(lambda found, fit: fit(found, *how), fits, model)

    return fit


class Case(NamedTuple):
    """What a model is diagnosed and calibrated on, and how its ensembles are drawn."""

    truth: Draw
    held_out: Draw | None = None
    """What scales are fitted to; None where nothing has been tried."""
    calls: int = 4
    sampler: Sampler = dpmpp_2m()
    fit: Fit = slopes_and_factors
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
    """The trajectories of a folder and of those in it."""
    if folder is None:
        raise ValueError(
            f"The diagnosis of {model} takes plans that succeed, but {option} is "
            f"missing. Name the folder that {script} made, or leave that model out by "
            "--models."
        )
    return join_trajectories(sorted(folder.rglob("*.nc")))


CASES: dict[str, Case] = {
    # Errors of a few steep waves outweigh all others.
    "advection-simulation": Case(
        drawn("advection", 256), drawn("advection", 384), calls=8, ships=True
    ),
    # Most of what is drawn is what its network adds to the mean.
    "burgers-simulation": Case(
        drawn("burgers", 512), calls=8, sampler=ddim(1.0, inflation=1.5)
    ),
    "burgers-refinement": Case(drawn("burgers", 128)),
    "burgers-control": Case(
        flow_plans, flow_plans, fit=local_scales("burgers-control"), ships=True
    ),
    "kuramoto-sivashinsky-simulation": Case(
        drawn("kuramoto-sivashinsky", 128),
        drawn("kuramoto-sivashinsky", 64),
        ships=True,
    ),
    "navier-stokes-shock": Case(
        drawn("navier-stokes-shock", 512),
        drawn("navier-stokes-shock", 512),
        ships=True,
    ),
    "navier-stokes-correction": Case(
        drawn("navier-stokes-shock", 512),
        drawn("navier-stokes-shock", 512),
        calls=8,
        ships=True,
    ),
    # A few steep fronts have most of the squared error.
    "navier-stokes-refinement": Case(finer_gas(192), finer_gas(384), ships=True),
    "navier-stokes-fine": Case(
        drawn("navier-stokes", 96), drawn("navier-stokes", 160), ships=True
    ),
    "smoke-simulation": Case(
        drawn("smoke", 64),
        drawn("smoke", 256),
        fit=in_turn(local_scales("smoke-simulation"), slopes_and_factors),
        ships=True,
    ),
    "smoke-control": Case(plans),
    "smoke-refinement": Case(finer_scenes(4), finer_scenes(6), ships=True),
    "era5-t2m": Case(weather("test", 6), calls=8),
}
