"""Refinement: a simulation carried far beyond the training grid."""

from pathlib import Path

import jax
import xarray as xr

from wdno import metrics, plotting, trajectory
from wdno.demo.report import Picture, Section, Table
from wdno.inference.simulate import simulate
from wdno.inference.super_resolution import super_resolve
from wdno.operator.checkpoint import load
from wdno.systems import Burgers
from wdno.trajectory import coarsen


def refinement(
    folder: Path, key: jax.Array, samples: int = 4, factor: int = 4
) -> Section:
    """Simulate flows on the training grid, refine them, compare with a fine solution.

    Args:
        folder: receives ``refined.nc``, ``refined.png`` and ``refined_shock.png``.
        key: chooses the flows.
        samples: number of flows.
        factor: ratio of the fine grid to the training grid.
    """
    usual = Burgers()
    system = Burgers(frames=factor * usual.frames, points=factor * usual.points)
    print(f"Refining {samples} simulations {factor}-fold, beyond the training grid")
    truth = system.trajectories(key, samples)
    coarse = coarsen(truth, factor)
    forecast = simulate(
        load("burgers-simulation"), coarse.u.isel(time=0), coarse.f, key=key
    )
    fine = super_resolve(
        load("burgers-refinement"),
        forecast,
        truth.u.isel(time=0),
        truth.f,
        factor=factor,
        key=key,
    )
    grids = [f"{part.sizes['time'] - 1} × {part.sizes['x']}" for part in (coarse, fine)]
    whole = _interpolated(forecast.u, truth.u)
    rows = [
        ("simulated, interpolated linearly", *_error(whole, truth)),
        ("refined", *_error(fine.u, truth)),
    ]
    for name, error, _ in rows:
        print(f"{name:34s} mean squared error {error:.3g}")
    trajectory.save(fine.assign(truth=truth.u), folder / "refined.nc")
    panels = plotting.space_time(truth.u, fine.u, samples=(0, 1))
    plotting.save(panels, folder / "refined.png")
    # No instant of the coarse grid, while fronts still move.
    between = {"time": 4 * factor + factor // 2}
    shock = plotting.profiles(
        {
            f"simulated, {grids[0]}, interpolated": whole.isel(between),
            f"refined, {grids[1]}": fine.u.isel(between),
        },
        reference=("truth", truth.u.isel(between)),
    )
    plotting.save(shock, folder / "refined_shock.png")
    return _section(folder, rows, grids, samples)


def _section(
    folder: Path, rows: list[tuple[str, float, str]], grids: list[str], samples: int
) -> Section:
    """What the page says of it."""
    return Section(
        f"Refined from {grids[0]} to {grids[1]} (time × space)",
        [
            "The refiner doubles a grid in time and space, again and again; it was "
            f"trained on {grids[0]} and coarser grids only.",
            Table(
                ("", "mean squared error", "95 % interval"),
                rows,
                caption=f"Against the solution on {grids[1]}, over {samples} flows.",
            ),
            Picture(
                folder / "refined_shock.png",
                "Lines of velocity over space at an instant between two coarse ones: "
                "the simulation interpolated, its refinement, and the truth.",
            ),
            Picture(
                folder / "refined.png",
                "Space–time panels of truth, refined simulation and error.",
            ),
        ],
    )


def _interpolated(u: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Linear interpolation to the grid of another field."""
    beyond = {"fill_value": "extrapolate"}
    return u.interp(time=like.time, x=like.x, kwargs=beyond).transpose(*like.dims)


def _error(u: xr.DataArray, truth: xr.Dataset) -> tuple[float, str]:
    later = (metrics.exclude_initial(part) for part in (u, truth.u))
    mean, low, high = map(float, metrics.bootstrap_interval(metrics.mse(*later)))
    return mean, f"{low:.3g} … {high:.3g}"
