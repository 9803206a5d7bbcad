"""All that is shown of smoke, on one page."""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from wdno import plotting, trajectory
from wdno._typing import Constraint
from wdno.demo.report import Picture, Section, Table, write_report
from wdno.inference.simulate import simulate
from wdno.operator.checkpoint import load
from wdno.planning.adjoint import descend
from wdno.planning.constraints import all_of, region
from wdno.planning.control import control
from wdno.planning.objectives import leakage
from wdno.planning.planner import Planner
from wdno.plotting import Landmark
from wdno.plotting.maps import GOAL
from wdno.systems import Smoke

LEAD = (
    "Smoke has to leave a box through the middle gap of its ceiling (green), past "
    "obstacles, by a velocity that is imposed in the outer ring alone. A planner "
    "samples densities, velocities and controls together; the solver, on a grid twice "
    "as fine, judges the plan. The models have seen none of these scenes."
)
GOAL_SHARE = 1.0
"""Share of smoke that planners are asked for."""


def smoke(out: str | Path, *, samples: int = 8, polish: int = 3, seed: int = 0) -> Path:
    """Simulate and control unseen smoke beside the solver.

    Prints the scores and writes data (NetCDF), pictures, films and a page,
    ``index.html``, that shows them.

    Args:
        out: folder for the results; created if absent.
        samples: number of scenes.
        polish: steps of descent through the solver on each plan.
        seed: chooses the scenes; training used the seeds named in the models' cards.

    Returns:
        Path of the HTML page.
    """
    begin = time.perf_counter()
    folder, system = Path(out), Smoke()
    folder.mkdir(parents=True, exist_ok=True)
    key_scenes, key = jax.random.split(jax.random.key(10_000 + seed))
    print(f"Drawing {samples} unseen scenes and solving them with the solver")
    truth = system.trajectories(key_scenes, samples)
    sections = [
        _control(folder, system, truth, key, polish),
        _simulation(folder, system, truth, key),
    ]
    page = folder / "index.html"
    write_report(page, "Smoke in a box", sections, lead=LEAD)
    print(f"Wrote {page} ({time.perf_counter() - begin:.0f} s in all)")
    return page


def _control(
    folder: Path, system: Smoke, truth: xr.Dataset, key: jax.Array, polish: int
) -> Section:
    """Plans with and without polish beside no control and the data's own controls."""
    initial = truth.density.isel(time=0, drop=True)
    inside = all_of(*(region(name, system.ring) for name in system.control))
    planner = Planner(load("smoke-control"), leakage, constraint=inside, steps=8)
    goal = xr.Dataset({"smoke": xr.DataArray(np.float32(GOAL_SHARE))})
    print(f"Planning controls for {_count(truth)} scenes")
    plan = control(planner, initial, target=goal, key=key)
    print(f"Polishing them by {polish} steps through the solver")
    polished = _polished(system, initial, plan[["cx", "cy"]], inside, polish)
    none = xr.zeros_like(truth[["cx", "cy"]])
    runs = {
        "uncontrolled": system.run(initial, none),
        "way-points of the data": truth,
        "planned (as the model sees it)": plan,
        "plan, judged by the solver": system.run(initial, plan[["cx", "cy"]]),
        "polished plan, judged": system.run(initial, polished),
    }
    rows = [(name, *_costs(run)) for name, run in runs.items()]
    for name, *costs in rows:
        print(f"{name:32s}" + "".join(f"{cost:10.4f}" for cost in costs))
    trajectory.save(runs["polished plan, judged"], folder / "control.nc")
    achieved = runs["polished plan, judged"]
    panels = {
        "uncontrolled": runs["uncontrolled"],
        "planned": plan,
        "achieved": runs["plan, judged by the solver"],
        "polished": achieved,
    }
    plotting.film_maps(
        {name: run.density for name, run in panels.items()},
        folder / "control.gif",
        arrows={n: (r.cx, r.cy) for n, r in panels.items() if n != "uncontrolled"},
        landmarks=_exits(system),
    )
    return Section(
        "Controlled smoke",
        [
            Table(
                ("", "leakage", "energy"),
                rows,
                caption="Means over the scenes: leakage is the share of the smoke that "
                "has not come into the target exit at the end, energy the mean of c².",
            ),
            Picture(
                folder / "control.gif",
                "Animation of uncontrolled, planned, achieved and polished smoke with "
                "obstacles, exits and the imposed velocity as arrows.",
            ),
        ],
    )


def _polished(
    system: Smoke,
    initial: xr.DataArray,
    controls: xr.Dataset,
    inside: Constraint,
    steps: int,
) -> xr.Dataset:
    """Descend from planned controls; their closing row does not act and is left out."""
    acting = controls.isel(time=slice(-1))
    found = descend(
        system.solve,
        {"density0": jnp.asarray(initial.values)},
        {name: jnp.asarray(acting[name].values) for name in system.control},
        leakage,
        steps=steps,
        constraint=inside,
    )
    return acting.copy(data={n: np.asarray(c) for n, c in found.controls.items()})


def _simulation(
    folder: Path, system: Smoke, truth: xr.Dataset, key: jax.Array
) -> Section:
    """One forecast of each scene beside the solver."""
    print("Simulating the same scenes with the shipped model")
    begin = time.perf_counter()
    forecast = simulate(
        load("smoke-simulation"),
        truth.density.isel(time=0, drop=True),
        truth[["cx", "cy"]],
        key=key,
    )
    seconds = (time.perf_counter() - begin) / _count(truth)
    later = {"time": slice(1, None)}
    rows = [
        (name, float(np.square((forecast[name] - truth[name]).isel(later)).mean()))
        for name in ("density", "vx", "vy", "smoke")
    ]
    for name, error in rows:
        print(f"{name:12s}{error:12.5f}")
    picture = plotting.maps(
        {"solver": truth.density, "model": forecast.density},
        times=np.linspace(4, system.frames, 5).astype(int).tolist(),
        landmarks=_exits(system),
    )
    plotting.save(picture, folder / "forecast.png")
    return Section(
        "Simulated smoke",
        [
            Table(
                ("", "mean squared error"),
                rows,
                caption=f"One call of the model a scene, {seconds:.2f} s.",
            ),
            Picture(
                folder / "forecast.png",
                "Density at five instants, solver above and model below.",
            ),
        ],
    )


def _count(truth: xr.Dataset) -> int:
    """Number of scenes."""
    return truth.sizes["sample"]


def _exits(system: Smoke) -> list[Landmark]:
    """Outlines of the exits, the target in green."""
    outlines = [Landmark(*exit_) for exit_ in system.exits]
    outlines[system.target] = outlines[system.target]._replace(colour=GOAL)
    return outlines


def _costs(run: xr.Dataset) -> tuple[float, float]:
    """Mean leakage and mean square of the control."""
    energy = (np.square(run.cx) + np.square(run.cy)).isel(time=slice(-1)).mean() / 2
    return 1 - float(run.smoke.isel(time=-1).mean()), float(energy)
