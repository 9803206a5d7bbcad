"""Commands that use a model on files."""

import runpy
from pathlib import Path
from typing import cast

import jax
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray
from tyro.conf import Positional

import wdno
from wdno._typing import Objective
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.operator import checkpoint
from wdno.planning.constraints import all_of, region
from wdno.planning.objectives import leakage, reach
from wdno.trajectory import append, check_output, open_trajectories, save


def simulate(
    model: Positional[str],
    input: Positional[str],
    output: Positional[Path],
    frames: int | None = None,
    members: int | None = None,
    steps: int = 1,
    sampler: SamplerName = "ddim",
    batch_size: int = 256,
    seed: int = 0,
) -> None:
    """Simulate the initial states and controls of a file.

    Args:
        model: shipped name or folder.
        input: NetCDF file, Zarr store (a folder or a zip), or an address of these
            (https://…, s3://…), with the state (its first instant is used) and the
            control, if there is one.
        output: NetCDF file to write, or Zarr store, if it ends in .zarr: that is
            written as windows come, so that it may be larger than memory, and the same
            command goes on with it after an interruption.
        frames: length of the forecast; that of the record in the file by default.
        members: size of an ensemble; no ensemble by default.
        steps: denoiser calls per window.
        sampler: rule of one step in noise level; dpmpp-2m for ensembles.
        batch_size: trajectories, or members, computed at once.
        seed: seed of the sampler.
    """
    check_output(output)
    operator = checkpoint.load(model)
    names = (*operator.state, *operator.control)
    given = open_trajectories(input, names)
    streamed = output.suffix == ".zarr"
    forecast = wdno.simulate(
        operator,
        given[list(operator.state)].isel(time=0),
        given[list(operator.control)],
        members=members,
        frames=frames or given.sizes["time"] - 1 or None,
        sampler=SAMPLERS[sampler],
        steps=steps,
        batch_size=batch_size,
        out=output if streamed else None,
        key=jax.random.key(seed),
    )
    if not streamed:
        save(forecast, output)
    print(f"Wrote {output}: {dict(forecast.sizes)}")


def refine(
    model: Positional[str],
    coarse: Positional[str],
    conditions: Positional[str],
    output: Positional[Path],
    factor: int = 2,
    members: int | None = None,
    steps: int = 1,
    sampler: SamplerName = "ddim",
    seed: int = 0,
) -> None:
    """Refine coarse trajectories of a file by a power of two.

    Args:
        model: shipped name or folder of a refiner.
        coarse: file, or its address, with the states on the coarse grid.
        conditions: file, or its address, with the state (its first instant is used)
            and the control, on the fine grid.
        output: NetCDF file to write, or Zarr store, if it ends in .zarr.
        factor: ratio of the resolutions: 2, 4, 8, …
        members: refinements of each trajectory; one by default, no ensemble.
        steps: denoiser calls per window.
        sampler: rule of one step in noise level.
        seed: seed of the sampler.
    """
    check_output(output)
    refiner = checkpoint.load(model)
    state, control = list(refiner.state), list(refiner.control)
    given = open_trajectories(conditions, (*state, *control))
    fine = wdno.super_resolve(
        refiner,
        open_trajectories(coarse, state)[state],
        given[state].isel(time=0, drop=True),
        given[control],
        factor=factor,
        members=members,
        sampler=SAMPLERS[sampler],
        steps=steps,
        key=jax.random.key(seed),
    )
    save(fine, output)
    print(f"Wrote {output}: {dict(fine.sizes)}")


def control(
    model: Positional[str],
    input: Positional[str],
    output: Positional[Path],
    target: float | str | None = None,
    objective: str = "reach",
    energy_weight: float = 2e-5,
    strength: float | None = 0.1,
    members: int | None = None,
    steps: int = 50,
    frames: int | None = None,
    lead_in: int = 0,
    simulator: str | None = None,
    within: str | None = None,
    seed: int = 0,
) -> None:
    """Plan controls from the initial states of a file.

    Args:
        model: shipped name or folder of a planner.
        input: file, or its address, with the state, of which the first instant is used.
        output: NetCDF file to write, or Zarr store, if it ends in .zarr.
        target: file with the state, of which the last instant is to be reached; or the
            number that what the model is given the end of is to reach.
        objective: reach (mean squared distance of the last state to the target, plus
            the weighted sum of squares of the control), leakage (share of the smoke
            that has not come into the exit), or a Python file that defines
            objective(fields), one number a row, small is good.
        energy_weight: weight of the control in reach.
        strength: of the guidance by the objective; None for no guidance.
        members: plans per initial state, of which the best by the model is kept.
        steps: denoiser calls.
        frames: length of the plan; the window of the model by default.
        lead_in: frames before the plan in which nothing acts.
        simulator: shipped name or folder of a model that foresees them.
        within: variable or coordinate of the input file that is not 0 where controls
            may act, such as ring; everywhere by default.
        seed: seed of the sampler.
    """
    check_output(output)
    operator = checkpoint.load(model)
    state = list(operator.state)
    goal = None
    if isinstance(target, float):
        wish = xr.DataArray(np.float32(target))  # the precision of data and models
        goal = xr.Dataset(dict.fromkeys(operator.final, wish))
    elif target is not None:
        goal = open_trajectories(target, state)[state].isel(time=-1, drop=True)
    given = open_trajectories(input, state)
    constraint = None
    if within is not None:
        allowed = _mask(given, within)
        constraint = all_of(*(region(name, allowed) for name in operator.planned))
    planner = wdno.Planner(
        operator,
        objective_of(objective, operator, energy_weight),
        strength=strength,
        constraint=constraint,
        steps=steps,
    )
    planner = planner if frames is None else planner.over(frames)
    initial, key = given[state].isel(time=0, drop=True), jax.random.key(seed)
    calm = _calm(simulator, initial, lead_in, key)
    start = initial if calm is None else calm.isel(time=-1)
    plan = wdno.control(planner, start, target=goal, members=members, key=key)
    plan = plan if members is None else wdno.best_plan(plan)
    plan = plan if calm is None else append(calm, plan)
    save(plan, output)
    print(f"Wrote {output}: {dict(plan.sizes)}")


def _calm(
    simulator: str | None, initial: xr.Dataset, frames: int, key: PRNGKeyArray
) -> xr.Dataset | None:
    """What a model says of the frames in which nothing acts, if there are any."""
    if not frames:
        return None
    if simulator is None:
        raise ValueError(
            f"A model foresees the {frames} frames before the plan, but none is named. "
            "Name one by --simulator, or plan from the beginning."
        )
    return wdno.simulate(checkpoint.load(simulator), initial, frames=frames, key=key)


def _mask(given: xr.Dataset, name: str) -> np.ndarray:
    """Where a variable of a file is not 0."""
    if name not in given.variables:
        raise ValueError(
            f"Controls act where a variable of the input file is not 0, but {name!r} "
            f"is none of {sorted(map(str, given.variables))}. Name another."
        )
    return given[name].values != 0


def objective_of(name: str, model: wdno.WDNO, energy_weight: float) -> Objective:
    """The named objective, or the one that a Python file defines."""
    known = {
        "reach": reach(model.state, model.planned, energy_weight),
        "leakage": leakage,
    }
    if name in known:
        return known[name]
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"An objective is one of {list(known)} or a Python file, but there is no "
            f"file {name!r}. Check the path."
        )
    found = runpy.run_path(name).get("objective")
    if not callable(found):
        raise ValueError(
            f"The file of an objective defines a function objective(fields), but {name}"
            " does not. Add it."
        )
    return cast(Objective, found)
