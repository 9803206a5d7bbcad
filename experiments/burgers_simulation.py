"""How well does the shipped model simulate forced Burgers flow, and at what price?

Error of one sample against the number of denoiser calls, ensembles, and time, on
trajectories whose seed no training used; the convention is WDNO's (t = 0 excluded).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import tyro
import xarray as xr
from _results import record

import wdno
from wdno import metrics
from wdno.diffusion.samplers import ddim
from wdno.systems import Burgers
from wdno.trajectory import coarsen

WINDOW = 16
"""Frames that the linear map gives at once."""


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: str = "burgers-simulation"
    samples: int = 512
    steps: tuple[int, ...] = (0, 1, 2, 4, 8, 20)
    ensemble_samples: int = 128
    members: int = 16
    ensembles: tuple[tuple[int, float], ...] = ((4, 1.9), (8, 1.5))
    """Calls and inflation of the noise, chosen on trajectories of the training set that
    were held back (ratios of spread and skill of 1)."""
    seed: int = 20_000


def linear_map(seed: int, count: int = 2048) -> Callable[[xr.Dataset], xr.DataArray]:
    """Ridge regression of a window on its initial state and its force, chained."""
    seen = Burgers().trajectories(jax.random.key(seed), count)

    def inputs(u: np.ndarray, f: np.ndarray) -> np.ndarray:
        return np.concatenate([u, f.reshape(len(f), -1)], axis=1)

    starts = range(0, 80, WINDOW)
    parts = [seen.isel(time=slice(n, n + WINDOW + 1)) for n in starts]
    x = [inputs(part.u.values[:, 0], part.f.values[:, :-1]) for part in parts]
    y = [part.u.values[:, 1:].reshape(count, -1) for part in parts]
    x, y = np.concatenate(x), np.concatenate(y)
    gram = x.T @ x
    ridge = 1e-4 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = scipy.linalg.solve(gram + ridge, x.T @ y, assume_a="pos")

    def forecast(truth: xr.Dataset) -> xr.DataArray:
        found = truth.u.copy(deep=True)
        for n in starts:
            given = inputs(found.values[:, n], truth.f.values[:, n : n + WINDOW])
            window = (given @ weights).reshape(len(given), WINDOW, -1)
            found.values[:, n + 1 : n + WINDOW + 1] = window
        return found

    return forecast


def half_the_grid(truth: xr.Dataset) -> xr.DataArray:
    """The solver on half the points and instants, interpolated; zero at the wall."""
    coarse = coarsen(truth, 2)
    system = Burgers(points=60, frames=40)
    u = system.run(coarse.u.isel(time=0), coarse.f).u
    ends = u.isel(x=-1, drop=True).expand_dims(x=[1.0]) * 0
    whole = xr.concat([u, ends], "x").transpose("sample", "time", "x")
    return whole.interp(time=truth.time, x=truth.x)


def rivals(truth: xr.Dataset, seed: int) -> dict[str, dict[str, Any]]:
    """What a user has for nothing: scores and seconds a trajectory."""
    found = {}
    still = truth.u.isel(time=0, drop=True).broadcast_like(truth.u)
    for name, forecast in {
        "persistence": lambda truth: still.transpose(*truth.u.dims),
        "linear map of initial state and force": linear_map(seed),
        "solver on half the grid": half_the_grid,
    }.items():
        forecast(truth)
        begin = time.perf_counter()
        states = forecast(truth)
        seconds = (time.perf_counter() - begin) / truth.sizes["sample"]
        found[name] = rounded(metrics.summary(states, truth.u))
        found[name]["seconds_per_trajectory"] = round(seconds, 5)
        print(name, found[name]["mse"], seconds, flush=True)
    return found


def rounded(table: xr.Dataset) -> dict[str, Any]:
    """Value, low and high of each score."""
    columns = table[["value", "low", "high"]].to_array("part")
    return {
        str(name): columns.sel(metric=name).values.round(8).tolist()
        for name in table["metric"].values
    }


def energies(
    model: wdno.WDNO, found: xr.DataArray, truth: xr.Dataset
) -> dict[str, float]:
    """Energy of each subband of members over that of the truth, first windows."""

    def energy(u: xr.DataArray) -> np.ndarray:
        rows = u.stack(row=[d for d in ("sample", "member") if d in u.dims])
        rows = rows.isel(time=slice(1, model.window + 1)).transpose("row", "time", "x")
        z = model.targets.analysis({"u": jnp.asarray(rows.values)})
        return np.square(z).mean(axis=(0, 1, 2))

    ratio = energy(found) / energy(truth.u)
    return dict(zip(model.targets.channels, ratio.round(3).tolist(), strict=True))


def main(config: Config) -> None:
    """Measure, print and store."""
    model = wdno.load(config.model)
    key_inputs, key = jax.random.split(jax.random.key(config.seed))
    system = Burgers()
    begin = time.perf_counter()
    truth = system.trajectories(key_inputs, config.samples)
    solver = (time.perf_counter() - begin) / config.samples

    def forecast(part: xr.Dataset, **how: Any) -> tuple[xr.DataArray, float]:
        """States and seconds a trajectory and member, after compilation."""

        def run() -> xr.Dataset:
            start = part.u.isel(time=0)
            return wdno.simulate(model, start, part.f, key=key, **how)

        run()
        begin = time.perf_counter()
        found = run().u
        count = part.sizes["sample"] * (how.get("members") or 1)
        return found, round((time.perf_counter() - begin) / count, 5)

    def one_sample(steps: int) -> dict[str, Any]:
        found, seconds = forecast(truth, steps=steps)
        scores = rounded(metrics.summary(found, truth.u))
        print(f"{steps:3d} calls:", scores["mse"], seconds, flush=True)
        return scores | {"seconds_per_trajectory": seconds}

    def ensemble(steps: int, inflation: float) -> dict[str, Any]:
        part = truth.isel(sample=slice(config.ensemble_samples))
        sampler = ddim(1.0, inflation)
        how = {"members": config.members, "sampler": sampler, "steps": steps}
        found, seconds = forecast(part, **how)
        scores = rounded(metrics.summary(found, part.u))
        scores["crps_over_mae"] = scores["fair_crps"][0] / scores["mae"][0]
        scores["energy_of_subbands"] = energies(model, found, part)
        print(f"{config.members} members, {steps} calls:", scores, flush=True)
        return scores | {"seconds_per_trajectory": seconds}

    results = {
        "rivals": rivals(truth, config.seed + 1),
        "one_sample": {str(n): one_sample(n) for n in config.steps},
        "ensembles": {str(n): ensemble(n, grown) for n, grown in config.ensembles},
        "solver_seconds_per_trajectory": round(solver, 5),
        "intervals": "95 % percentile bootstrap over samples: [value, low, high]",
    }
    print(record("burgers_simulation", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
