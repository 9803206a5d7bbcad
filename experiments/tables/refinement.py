"""Tables of finer grids: errors by what made states finer, and how far."""

from collections.abc import Iterator
from typing import Any

from tables.markdown import fixed, interval, intervals, read, row, scaled, table


def super_resolution() -> list[str]:
    """Errors of Burgers flow on the finest grid, by what was refined and how far."""
    result = read("super_resolution")
    return [
        "",
        "Beyond the training grid (80 × 120, time × space): MSE against the solution "
        "on 640 × 960, to which everything is interpolated linearly, "
        f"{result['config']['samples']} unseen trajectories; in brackets 95 % "
        "intervals. Seconds are per trajectory, on 2 cores; memory is the peak of the "
        "process until then. The change is against the grid before, trajectory by "
        "trajectory. Rows without wavelets are of a model that does not ship, and of "
        "forecasts of the base model of version 0.1.",
        "",
        *table(
            "| states | grid | MSE | change, 1e-6 | seconds | GiB |",
            (
                line
                for arm, grids in result.items()
                if isinstance(grids, dict) and arm != "config"
                for name, entry in grids.items()
                for line in _refined(arm, float(name.removeprefix("x")), entry)
            ),
        ),
    ]


def _refined(arm: str, level: float, entry: dict[str, Any]) -> Iterator[str]:
    """Rows of one grid, by the interpolations that were compared on it."""
    change = "–"
    if "change" in entry:
        change = fixed(scaled(entry["change"], 1e6), 1, " to ")
    for kind, how in (("nearest", ", nearest"), ("linear", ""), ("cubic", ", cubic")):
        if kind in entry:
            yield row(
                f"{arm}{how}",
                f"{80 * level:.0f} × {120 * level:.0f}",
                interval(entry[kind], 4),
                change,
                f"{entry['seconds_per_trajectory']:.3f}",
                f"{entry['peak_memory_gib']:.1f}",
            )


def _pair(result: dict[str, Any]) -> str:
    """What rows with and without wavelets are of, where there are any."""
    trained = result.get("pair", {})
    if not trained:
        return ""
    (seconds,) = {arm["seconds"] for arm in trained.values()}
    updates = " and ".join(f"{arm['updates']}" for arm in trained.values())
    return (
        " Rows with and without wavelets are of the recipe trained anew for "
        f"{seconds:.0f} s of processor time each, {updates} updates."
    )


def smoke_refinement() -> list[str]:
    """Errors of refined smoke, by what made the coarse states finer."""
    return _smoke_rows("smoke_refinement")


def finest_smoke() -> list[str]:
    """The same on twice the points that the refiner was trained for."""
    return _smoke_rows("smoke_refinement_256")


def _smoke_rows(name: str) -> list[str]:
    result = read(name)
    points = 64 * result["config"].get("ratio", 2)
    grids = {
        f"x{n}": f"{points // n} × {points // n}, {points // n // 2} frames"
        for n in (2, 4)
    }
    return [
        f"{result['scenes']} unseen scenes against the solver with "
        f"{points} × {points} points and {points // 2} frames, MSE without t = 0. "
        "Interpolations hold velocities in time. Seconds a scene were taken on a busy "
        f"machine and are upper bounds.{_pair(result)}",
        "",
        *table(
            "| coarse states | refined by | density | ÷ cubic | vx | vy | seconds |",
            (
                _smoke_row(name, entry, grids)
                for name, entry in result.items()
                if isinstance(entry, dict) and "density" in entry
            ),
        ),
    ]


def _smoke_row(name: str, entry: dict[str, Any], grids: dict[str, str]) -> str:
    how, factor = name.rsplit(" ", 1)
    if factor not in grids:
        how = name.removeprefix("solver x1, ").replace("then refined", "model")
    points, _ = grids["x2"].split(", ")
    share = "density_to_cubic"  # which cubic itself has not
    return row(
        grids.get(factor, f"solver on {points}"),
        how,
        interval(entry["density"]),
        interval(entry[share]) if share in entry else "1",
        *intervals(entry, "vx", "vy"),
        f"{entry['seconds_per_scene']:.1f}",
    )


def navier_stokes_refinement() -> list[str]:
    """Errors of refined shock tubes: a way a row, a grid a column."""
    result = read("navier_stokes_refinement")
    found = result["coarse"]
    changes = "; ".join(
        f"{of} "
        + ", ".join(
            interval(scaled(entry["change"], 1e4), to=" to ")
            for entry in arms["model"].values()
        )
        for of, arms in found.items()
    )
    return [
        f"{result['config']['compared']} unseen trajectories: MSE over density, "
        "momentum and energy without t = 0, 1e-4, against the solver on 1,024 cells, "
        "to which what has fewer is parted by parabolas; 95 % bootstrap intervals over "
        "trajectories. Rules that are one line halve cells three times at once. "
        "Seconds are those of the last halving alone, on a busy machine, and upper "
        f"bounds.{_pair(result)}",
        "",
        *table(
            "| over 128 cells | halved by | 128 | 256 | 512 | 1,024 | seconds |",
            (
                row(of, how, *_by_cells(grids))
                for of, arms in found.items()
                for how, grids in arms.items()
            ),
        ),
        "",
        "What each doubling of the model changes, trajectory by trajectory, 1e-4: "
        f"{changes}.",
    ]


def _by_cells(grids: dict[str, Any]) -> list[str]:
    """Errors by numbers of cells, of those compared, and seconds to the most."""
    *_, last = grids.values()
    return [
        *(
            interval(scaled(grids[cells]["mse"], 1e4)) if cells in grids else ""
            for cells in ("128", "256", "512", "1024")
        ),
        f"{last['seconds']:.2g}",
    ]


def navier_stokes_fine() -> list[str]:
    """Forecasts on 1,024 cells by what they cost."""
    forecasts = read("navier_stokes_fine")["forecasts"]
    first = next(iter(forecasts.values()))
    return [
        f"{first['samples']} unseen shock tubes: MSE over density, velocity and "
        "pressure on 1,024 cells without t = 0, 1e-4, with 95 % bootstrap intervals "
        "over trajectories. What the solver has on fewer cells is parted by straight "
        "lines. Seconds are those of a processor, of a busy machine, for a record "
        f"({first['machine']}).",
        "",
        *table(
            "| forecast | MSE | median | density | velocity | pressure | seconds |",
            (
                row(
                    name,
                    interval(scaled(entry["mse"], 1e4)),
                    f"{1e4 * entry['median']:.2g}",
                    *(
                        interval(scaled(entry[part], 1e4))
                        for part in ("density", "velocity", "pressure")
                    ),
                    f"{entry['processor_seconds']:.2g}",
                )
                for name, entry in forecasts.items()
            ),
        ),
    ]
