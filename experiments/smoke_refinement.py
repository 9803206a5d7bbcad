"""What is refining smoke worth, against interpolation and the solver on coarse grids?

Scenes that no training has seen, solved on 128 x 128 points and 64 intervals, are
coarsened and refined again: once from 64 x 64 and 32, twice from 32 x 32 and 16. With
`--ratio 4` truth has 256 x 256 points and 128 intervals, finer than any training, and
the coarse records 128 x 128 and 64, then 64 x 64 and 32. Rivals have the same coarse
states. Velocities follow a control that is held, so that rivals
hold them in time; density they interpolate in time too.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
import xarray as xr
from _control import interval
from _finer_smoke import CHUNK, finer, kept
from _pair import pair, trained
from _results import record
from scipy.interpolate import interp1d
from tqdm import tqdm

import wdno
from wdno import plotting
from wdno.operator.calibrated import mean_of
from wdno.operator.learned_mean import LearnedMean
from wdno.plotting.style import INK, new_figure
from wdno.systems import Smoke
from wdno.trajectory import coarsen

FIELDS = ("density", "vx", "vy")
RULES = ("nearest", "linear", "cubic")
MARGIN = 12
"""Of the picture around the smoke, in points."""


@dataclass(frozen=True)
class Config:
    """Which models, on how many scenes."""

    model: str = "smoke-refinement"
    pair: Path = Path("runs/smoke-refinement-pair")
    """Folder of `_pair`, with and without wavelets; left out where there is none."""
    chunks: tuple[int, ...] = (1, 2, 3)
    """Of scenes; those of chunk 0 were looked at when the mean was made up."""
    chunk: int = CHUNK
    """Scenes of each."""
    ratio: int = 2
    """Of the points of truth along each axis to those of the problem, 64 x 64."""
    seed: int = 30_000
    data: Path = Path("runs/finer")
    """Folder of `finer_smoke.py`, from which chunks are read that are there."""
    result: str = "smoke_refinement"
    """Name of the file of results."""
    picture: Path = Path("docs/pictures/smoke_refinement.png")
    sample: int = 0
    frame: int = 11
    """Of the picture."""


class Row(NamedTuple):
    """What one way to refine was worth."""

    errors: dict[str, np.ndarray]
    """Mean squared errors, a number a scene."""
    over_time: np.ndarray
    """Of density, a number a scene and frame."""
    seconds: float
    """Per scene."""


Rows = dict[str, Row]


def scored(found: xr.Dataset, truth: xr.Dataset, seconds: float) -> Row:
    """Errors at t > 0."""
    square = np.square(
        (found[list(FIELDS)] - truth[list(FIELDS)]).isel(time=slice(1, None))
    )
    by_frame = square.mean(["y", "x"]).transpose("sample", "time")
    errors = {name: by_frame[name].mean("time").values for name in FIELDS}
    return Row(errors, by_frame["density"].values, seconds / truth.sizes["sample"])


def along(u: xr.DataArray, dim: str, places: np.ndarray, kind: str) -> xr.DataArray:
    """Values at other places; those beyond the last one are that of the last one."""
    own = u[dim].values
    kind = "previous" if kind == "nearest" else kind
    axis = u.get_axis_num(dim)
    values = interp1d(own, u.values, kind, axis=axis)(np.clip(places, own[0], own[-1]))
    coords = {name: u[name] for name in u.dims if name != dim and name in u.coords}
    return xr.DataArray(values, {**coords, dim: places}, u.dims)


def interpolated(coarse: xr.Dataset, truth: xr.Dataset, kind: str) -> xr.Dataset:
    """Coarse states on the fine grid, by a rule."""
    found = {}
    for name in FIELDS:
        u = coarse[name].astype(float).fillna(0)  # velocities at t = 0
        for dim in ("y", "x"):
            u = along(u, dim, truth[dim].values, kind)
        rule = kind if name == "density" else "next"
        found[name] = along(u, "time", truth["time"].values, rule)
    return xr.Dataset(found)


def compared(
    models: dict[str, tuple[wdno.WDNO, int]], truth: xr.Dataset, solver: Smoke
) -> tuple[Rows, dict[str, xr.Dataset]]:
    """All ways to refine the scenes, by models with their calls, and what comes out.

    The solver is that of every second point.
    """
    rows: Rows = {}

    def measure(name: str, states: Callable[[], xr.Dataset]) -> xr.Dataset:
        begin = time.perf_counter()
        found = states()
        rows[name] = scored(found, truth, time.perf_counter() - begin)
        return found

    def refined(
        model: wdno.WDNO, coarse: xr.Dataset, factor: int, steps: int
    ) -> xr.Dataset:
        found = wdno.super_resolve(
            model,
            as_in_training(coarse[list(FIELDS)]),
            as_in_training(truth.density.isel(time=0, drop=True)),
            as_in_training(truth[["cx", "cy"]]),
            factor=factor,
            steps=steps,
            batch_size=truth.sizes["sample"],
            key=jax.random.key(0),
        )
        return found.assign_coords({dim: truth[dim] for dim in ("y", "x")})

    shown = {}
    for factor in (2, 4):
        coarse, to = coarsen(truth, factor), f"x{factor}"
        for kind in RULES:
            name = f"{kind} {to}"
            shown[name] = measure(
                name, lambda k=kind, c=coarse: interpolated(c, truth, k)
            )
        for title, (model, steps) in models.items():
            how = (model, coarse, factor, steps)
            shown[f"{title} {to}"] = measure(
                f"{title} {to}", lambda how=how: refined(*how)
            )
    coarse = coarsen(truth, 2)
    cheap = solved_coarsely(solver, coarse)
    for kind in RULES[1:]:
        measure(f"solver x1, {kind}", lambda k=kind: interpolated(cheap, truth, k))
    model, steps = next(iter(models.values()))
    nested = interpolated_to(cheap, coarse)
    measure("solver x1, then refined", lambda: refined(model, nested, 2, steps))
    return rows, shown


def as_in_training(data: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    """With the first point where it lay in training.

    Stored points are centres of cells, so that they begin a quarter of a spacing of
    theirs within the box, on every grid elsewhere.
    """
    first = {dim: finer(2).coords[dim][0] for dim in ("y", "x")}
    return data.assign_coords(
        {dim: data[dim] - data[dim][0] + place for dim, place in first.items()}
    )


def solved_coarsely(solver: Smoke, coarse: xr.Dataset) -> xr.Dataset:
    """The solver on the grid of the coarse record, with the same inputs.

    Its points stand for cells twice as wide, whose centres lie elsewhere.
    """
    own = {dim: solver.coords[dim] for dim in ("y", "x")}
    inputs = coarse[["cx", "cy"]].assign_coords(own)
    return solver.run(coarse.density.isel(time=0, drop=True).assign_coords(own), inputs)


def interpolated_to(cheap: xr.Dataset, coarse: xr.Dataset) -> xr.Dataset:
    """Density at the points of coarse records; faces of cells lie there as they are."""
    density = cheap.density
    for dim in ("y", "x"):
        density = along(density, dim, coarse[dim].values, "linear")
    places = {dim: coarse[dim] for dim in ("y", "x")}
    return cheap[["vx", "vy"]].assign_coords(places).assign(density=density)


def pooled(groups: list[Rows]) -> dict[str, dict[str, Any]]:
    """Means with intervals over all scenes; seconds are the least over groups."""
    results = {}
    for name in groups[0]:
        rows = [rows[name] for rows in groups]
        entry: dict[str, Any] = {
            field: interval(np.concatenate([row.errors[field] for row in rows]))
            for field in FIELDS
        }
        if not name.startswith("cubic"):
            cubic = [
                group[f"cubic {'x4' if name.endswith('x4') else 'x2'}"]
                for group in groups
            ]
            entry["density_to_cubic"] = ratio(rows, cubic)
        over_time = np.concatenate([row.over_time for row in rows]).mean(axis=0)
        entry["density_over_time"] = [float(f"{value:.3g}") for value in over_time]
        entry["seconds_per_scene"] = round(min(row.seconds for row in rows), 3)
        results[name] = entry
    return results


def ratio(rows: list[Row], others: list[Row]) -> list[float]:
    """Of mean errors of density, with its 95 % bootstrap interval over scenes."""
    above, below = (
        np.concatenate([row.errors["density"] for row in part])
        for part in (rows, others)
    )
    draws = np.random.default_rng(0).integers(0, len(above), (2000, len(above)))
    found = above[draws].mean(axis=1) / below[draws].mean(axis=1)
    ends = np.quantile(found, [0.025, 0.975])
    return [float(f"{v:.3g}") for v in (above.mean() / below.mean(), *ends)]


def picture(truth: xr.Dataset, shown: dict[str, xr.Dataset], config: Config) -> None:
    """Density halfway between coarse instants, and what is wrong with it."""
    part = {"sample": config.sample, "time": config.frame}
    solid = np.ma.masked_less(truth["obstacle"].values, 0.5)
    right = truth.density.isel(part).values
    cells = len(right)
    columns = {
        "cubic interpolation": shown["cubic x2"].density.isel(part).values,
        "transport, assimilated": shown["without network x2"].density.isel(part).values,
        "smoke-refinement": shown["model x2"].density.isel(part).values,
    }
    figure = new_figure(10.4, 5.6)
    axes = figure.subplots(2, 4)
    coarse = coarsen(truth, 2).density.isel(
        sample=config.sample, time=config.frame // 2
    )
    place = {
        "origin": "lower",
        "extent": (0, cells, 0, cells),
        "interpolation": "nearest",
    }
    density = {"cmap": "viridis", "vmin": 0, "vmax": right.max(), **place}
    top = np.abs(columns["cubic interpolation"] - right).max()
    wrong = {"cmap": "RdBu_r", "vmin": -top, "vmax": top, **place}
    panels = [
        (axes[0, 0], right, f"solver, {cells} x {cells}", density),
        (axes[1, 0], coarse.values, "the coarse frame before", density),
        *(
            (axes[0, n], u, name, density)
            for n, (name, u) in enumerate(columns.items(), 1)
        ),
        *(
            (
                axes[1, n],
                u - right,
                f"error, MSE {np.square(u - right).mean():.1e}",
                wrong,
            )
            for n, u in enumerate(columns.values(), 1)
        ),
    ]
    rows, across = (np.flatnonzero((right > 0.02).any(axis)) for axis in (1, 0))
    for axis, values, title, how in panels:
        axis.imshow(values, **how)
        axis.imshow(solid, cmap="gray", vmin=0, vmax=2, **place)
        axis.set_title(title, fontsize=9, color=INK)
        axis.set_ylim(rows[0] - MARGIN, rows[-1] + MARGIN)
        axis.set_xlim(across[0] - MARGIN, across[-1] + MARGIN)
        axis.set_xticks([])
        axis.set_yticks([])
    plotting.save(figure, config.picture)


def main(config: Config) -> None:
    """Refine, compare, print and store."""
    model = wdno.load(config.model)
    mean = mean_of(model.residual)
    if not isinstance(mean, LearnedMean):
        raise ValueError(
            "The part of a learned mean that needs no network is measured beside it, "
            f"but the residual of {config.model} is {mean}. Choose another model."
        )
    models = {
        "model": (model, 1),
        "without network": (replace(model, residual=mean.base), 0),
    }
    models |= {name: (arm, 1) for name, arm in pair(config.pair).items()}
    groups, solver = [], finer(config.ratio // 2)
    for chunk in tqdm(config.chunks, desc="chunks"):
        truth = kept(config.data, config.seed, chunk, config.chunk, config.ratio)
        rows, shown = compared(models, truth, solver)
        groups.append(rows)
        if chunk == config.chunks[0]:
            picture(truth, shown, config)
        if len(groups) * config.chunk == 1:
            continue  # one scene has no interval
        scored = pooled(groups)
        record(
            config.result,
            asdict(config),
            scenes=len(groups) * config.chunk,
            pair=trained(config.pair),
            **scored,
        )
    for name, entry in pooled(groups).items():
        print(f"{name:28s}", {k: v for k, v in entry.items() if "over_time" not in k})


if __name__ == "__main__":
    main(tyro.cli(Config))
