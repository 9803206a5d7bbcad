"""Control: a planned force that brings the flow to a goal, judged by the solver."""

from pathlib import Path

import jax
import jax.numpy as jnp
import xarray as xr

from wdno import plotting, trajectory
from wdno.demo.report import Picture, Section, Table
from wdno.inference.simulate import simulate
from wdno.operator.checkpoint import load
from wdno.planning.control import control as plan_controls
from wdno.planning.objectives import energy, reach, terminal
from wdno.planning.planner import Planner
from wdno.systems import Burgers

ENERGY_WEIGHT = 2e-5
HORIZON = 16
"""Frames before the end in which the force acts."""


def control(folder: Path, key: jax.Array, samples: int = 16) -> Section:
    """Plan forces towards final states of other flows, and let the solver judge them.

    Args:
        folder: receives ``control.nc``, ``control.png`` and ``control.gif``.
        key: chooses the flows.
        samples: number of problems.
    """
    system, model = Burgers(), load("burgers-control")
    lead_in = system.frames - HORIZON
    print(f"Planning forces for {samples} goals, judged by the reference solver")
    truth = system.trajectories(key, samples)
    initial = truth.u.isel(time=0, drop=True)
    goal = truth.u.isel(time=-1, drop=True)
    planner = Planner(model, reach(("u",), ("f",), ENERGY_WEIGHT), steps=1)
    calm = simulate(load("burgers-simulation"), initial, frames=lead_in, key=key)
    late = plan_controls(
        planner.over(HORIZON), calm.isel(time=-1), target=goal, key=key
    )
    plan = trajectory.append(calm, late)
    free = system.run(initial, xr.zeros_like(truth.f))
    achieved = system.run(initial, plan.f)
    rows = [
        ("uncontrolled", *_costs(free, goal)),
        ("force of the data", *_costs(truth, goal)),
        ("plan, as the model sees it", *_costs(plan, goal)),
        ("plan, judged by the solver", *_costs(achieved, goal)),
    ]
    for name, *costs in rows:
        print(f"{name:28s}" + "".join(f"{cost:12.4f}" for cost in costs))
    record = achieved.assign(planned=plan.u, uncontrolled=free.u, goal=goal)
    trajectory.save(record, folder / "control.nc")
    _draw(folder, free, plan, achieved, goal)
    return _section(folder, rows, system.frames)


def _draw(
    folder: Path,
    free: xr.Dataset,
    plan: xr.Dataset,
    achieved: xr.Dataset,
    goal: xr.DataArray,
) -> None:
    """The final states as a picture, the way there as a film."""
    last = {"time": -1}
    ends = plotting.profiles(
        {
            "uncontrolled": free.u.isel(last),
            "planned": plan.u.isel(last),
            "achieved": achieved.u.isel(last),
        },
        reference=("goal", goal),
    )
    plotting.save(ends, folder / "control.png")
    plotting.film(
        {"uncontrolled": free.u, "planned": plan.u, "achieved": achieved.u},
        folder / "control.gif",
        reference=("goal", goal.broadcast_like(free.u).transpose(*free.u.dims)),
    )


def _section(
    folder: Path, rows: list[tuple[str, float, float, float]], frames: int
) -> Section:
    """What the page says of it."""
    return Section(
        "Controlled flow",
        [
            "A planner samples states and forces together, given where the flow is and "
            f"where it should be. It waits {frames - HORIZON} frames, since the "
            f"flow forgets what acts early, and plans the last {HORIZON}.",
            Table(
                ("", "miss", "energy", "sum"),
                rows,
                caption="Means over the problems: miss is the mean squared distance of "
                f"u(T) from the goal, energy is {ENERGY_WEIGHT:g} Σ f².",
            ),
            Picture(
                folder / "control.gif",
                "Animation of the uncontrolled, the planned and the achieved flow.",
            ),
            Picture(
                folder / "control.png",
                "Final states of three problems: uncontrolled, planned and achieved "
                "beside the goal.",
            ),
        ],
    )


def _costs(flow: xr.Dataset, goal: xr.DataArray) -> tuple[float, float, float]:
    """Mean distance from the goal, weighted energy and their sum."""
    u, f, target = (jnp.asarray(v.values) for v in (flow.u, flow.f, goal))
    miss = float(terminal(u, target).mean())
    price = ENERGY_WEIGHT * float(energy(f).mean())
    return miss, price, miss + price
