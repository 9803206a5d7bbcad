"""A model of what PhiFlow simulates: plumes of smoke that rise around an obstacle.

PhiFlow solves for scenes with an inlet and an obstacle at random places, the dataset is
made by `wdno.io.from_phiflow`, and the suggested recipe trains on it. Beside it what
one has for nothing, on scenes that no training saw: persistence, and a linear map from
all that is given to the change since the start, by ridge regression.

    python experiments/phiflow_plume.py --out runs/phiflow
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import tyro
import xarray as xr
from _results import RESULTS, record

import wdno
from wdno import metrics, plotting
from wdno.diffusion.samplers import dpmpp_2m
from wdno.io import from_phiflow

STATES = ("smoke", "velocity_x", "velocity_y")
STATIC = ("obstacle", "inlet")


@dataclass(frozen=True)
class Config:
    """How many scenes, on which grid, and how long to train."""

    scenes: int = 200
    unseen: int = 40
    """Scenes, the last ones, that are for the scores alone."""
    points: int = 32
    begin: int = 16
    """Steps before the record begins, so that there is a flow to begin with."""
    frames: int = 16
    step: float = 1.0
    budget: float = 600.0
    """Of the training, in seconds."""
    learning_rate: float = 2e-3
    members: int = 8
    steps: int = 4
    seed: int = 0
    out: Path = Path("runs/phiflow")
    picture: Path = RESULTS.parents[1] / "docs" / "pictures" / "phiflow_plume.png"


def plumes(config: Config) -> xr.Dataset:
    """Scenes as PhiFlow solves for them, all in one batch."""
    from phi.jax import flow  # its name for NumPy's functions, geometry and physics

    draw = np.random.default_rng(config.seed)
    scenes = flow.batch(scene=config.scenes)

    def uniform(low: float, high: float) -> Any:
        return flow.wrap(draw.uniform(low, high, config.scenes), scenes)

    def place(x: Any, y: Any) -> Any:
        return flow.vec(x=x, y=y)

    # Lengths in cells of a box that is closed below and at the sides, open above.
    across = uniform(9, 23)
    inlet = flow.Sphere(place(across, uniform(3, 5)), radius=uniform(2, 3))
    obstacle = flow.Cuboid(
        place(across + uniform(-5, 5), uniform(12, 18)),
        half_size=place(uniform(2, 4), uniform(1, 2.5)),
    )
    box = {"bounds": flow.Box(x=32, y=32), "x": config.points, "y": config.points}
    walls = {"x": 0, "y-": 0, "y+": flow.ZERO_GRADIENT}
    velocity = flow.StaggeredGrid(0, walls, **box)
    smoke = flow.CenteredGrid(0, flow.ZERO_GRADIENT, **box)
    # Cached by PhiFlow on first use, which must not be within a traced function.
    _ = velocity.geometry.center, smoke.geometry.center

    @flow.jit_compile
    def advance(velocity: Any, smoke: Any, pressure: Any) -> tuple[Any, Any, Any]:
        dt = config.step
        source = flow.resample(inlet, to=smoke, soft=True)
        smoke = flow.advect.mac_cormack(smoke, velocity, dt) + 0.2 * dt * source
        lift = flow.resample(smoke * (0, 0.1), to=velocity)
        velocity = flow.advect.semi_lagrangian(velocity, velocity, dt) + lift * dt
        solve = flow.Solve("CG", 1e-4, 1e-4, x0=pressure)
        velocity, pressure = flow.fluid.make_incompressible(velocity, obstacle, solve)
        return velocity, smoke, pressure

    frames, pressure = [], None
    for n in range(config.begin + config.frames + 1):
        velocity, smoke, pressure = advance(velocity, smoke, pressure)
        if n >= config.begin:
            frames.append({"smoke": smoke, "velocity": velocity})
    instants = config.step * np.arange(config.frames + 1)
    static = {"obstacle": obstacle, "inlet": inlet}
    return from_phiflow(frames, instants, static=static)


def columns(scenes: xr.Dataset, scale: xr.Dataset) -> np.ndarray:
    """All that is given, a row each scene, every field in units of its size."""
    start = [scenes[name].isel(time=0, drop=True) / scale[name] for name in STATES]
    parts = [*start, *(scenes[name] for name in STATIC)]
    return np.concatenate([part.values.reshape(len(part), -1) for part in parts], 1)


def linear(seen: xr.Dataset, unseen: xr.Dataset) -> xr.Dataset:
    """Ridge regression of the change since the start on what is given.

    Its strength is the best of several on an eighth of the scenes, and the map is then
    fitted to all of them.
    """
    scale = np.sqrt(np.square(seen[list(STATES)]).mean())
    cut = seen.sizes["sample"] * 7 // 8
    fitted, judged = seen.isel(sample=slice(cut)), seen.isel(sample=slice(cut, None))

    def forecast(known: xr.Dataset, asked: xr.Dataset, strength: float) -> xr.Dataset:
        given, mean = columns(known, scale), columns(known, scale).mean(axis=0)
        kernel = (given - mean) @ (given - mean).T
        ridge = strength * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
        weights = np.linalg.solve(
            kernel + ridge, (given - mean) @ (columns(asked, scale) - mean).T
        )
        found = {}
        for name in STATES:
            change = known[name] - known[name].isel(time=0)
            rows = change.mean("sample").values + np.tensordot(
                weights.T, change - change.mean("sample"), 1
            )
            found[name] = asked[name].isel(time=0, drop=True) + asked[name].copy(
                data=rows
            )
        return xr.Dataset(found).transpose("sample", "time", ...)

    def loss(strength: float) -> float:
        errors = np.square(forecast(fitted, judged, strength) - judged[list(STATES)])
        return float((errors.mean() / scale**2).to_array().mean())

    return forecast(seen, unseen, min(10.0 ** np.arange(-4, 3), key=loss))


def scores(found: xr.Dataset, truth: xr.Dataset) -> dict[str, Any]:
    """Errors of whole records with intervals over scenes; of an ensemble its CRPS."""
    entries: dict[str, Any] = {}
    for name in STATES:
        table = metrics.summary(found[name], truth[name])
        for score in ("mse", "relative_l2", "fair_crps", "spread_skill"):
            if score in table.metric:
                row = table.sel(metric=score)
                ends = (float(row[end]) for end in ("value", "low", "high"))
                entries[f"{score} {name}"] = [round(end, 6) for end in ends]
    return entries


def picture(panels: dict[str, xr.Dataset], path: Path) -> None:
    """Smoke of one scene, a forecast a row."""
    shown = {
        name: part.smoke.transpose("sample", "time", "y", "x").clip(0)
        for name, part in panels.items()
    }
    last = next(iter(shown.values())).sizes["time"] - 1
    times = np.linspace(0, last, 5).astype(int).tolist()
    figure = plotting.maps(shown, times=times, sample=1)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def simulate(config: Config, path: Path) -> None:
    """Write the scenes to a file, with the processor time that they took."""
    begin = time.process_time()
    data = plumes(config)
    seconds = round(time.process_time() - begin)
    wdno.trajectory.save(data.assign_attrs(processor_seconds=seconds), path)
    # PhiFlow's JAX switches double precision on, for the whole process.
    jax.config.update("jax_enable_x64", False)


def main(config: Config) -> None:
    """Simulate and train where that is not done yet, judge, print and store."""
    config.out.mkdir(parents=True, exist_ok=True)
    path = config.out / "plumes.nc"
    if not path.exists():
        simulate(config, path)
    data = wdno.open_trajectories(path).load()
    seen = data.isel(sample=slice(-config.unseen))
    truth = data.isel(sample=slice(-config.unseen, None))
    folder = config.out / "training"
    if not (folder / "model").exists():
        wdno.train(
            seen,
            folder,
            wdno.TrainingConfig(
                budget=config.budget,
                learning_rate=config.learning_rate,
                validate_every=config.budget / 4,
                seed=config.seed,
            ),
            resume=(folder / "recipe.json").exists(),
        )
    model = wdno.load(folder / "model")
    start = truth.isel(time=0)
    how = {"key": jax.random.key(1)}
    forecasts = {
        "persistence": start.drop_vars("time").broadcast_like(truth),
        "linear map": linear(seen, truth),
        "mean of the model": wdno.simulate(model, start, steps=0, **how),
        "one call": wdno.simulate(model, start, steps=1, **how),
        f"{config.members} members of {config.steps} calls": wdno.simulate(
            model,
            start,
            members=config.members,
            sampler=dpmpp_2m(),
            steps=config.steps,
            **how,
        ),
    }
    found = {name: scores(part, truth) for name, part in forecasts.items()}
    for name, row in found.items():
        print(name, row, flush=True)
    shown = {"PhiFlow": truth, "model": forecasts["one call"]}
    shown["linear map"] = forecasts["linear map"].assign_coords(obstacle=truth.obstacle)
    picture(shown, config.picture)
    record(
        "phiflow_plume",
        asdict(config),
        solver_seconds=int(data.processor_seconds),
        scores=found,
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
