"""How well does the shipped model simulate smoke, and at what price?

One sample against the number of denoiser calls, an ensemble, and the divergence of the
velocities, on scenes whose seed no training used. WDNO's convention: the mean squared
error over density, both velocities and the share of smoke, t = 0 excluded.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr
from _control import interval
from _results import record
from _smoke import FIELDS, SYSTEM, simulated, squared_errors

import wdno
from wdno import metrics
from wdno.diffusion.samplers import dpmpp_2m


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: str = "smoke-simulation"
    samples: int = 64
    steps: tuple[int, ...] = (1, 4)
    ensemble_samples: int = 16
    members: int = 8
    ensemble_steps: int = 4
    seed: int = 20_000


def divergence(flow: xr.Dataset) -> float:
    """Root mean square of ∂vx/∂x + ∂vy/∂y over that of the slopes themselves.

    Between stored points, where that of the solver's own velocity does not vanish.
    """
    along_x = flow.vx.diff("x").isel(y=slice(-1), time=slice(1, None)).values
    along_y = flow.vy.diff("y").isel(x=slice(-1), time=slice(1, None)).values
    slopes = np.square(along_x).mean() + np.square(along_y).mean()
    return round(float(np.sqrt(np.square(along_x + along_y).mean() / slopes)), 4)


def main(config: Config) -> None:
    """Measure, print and store."""
    model = wdno.load(config.model)
    key_inputs, key = jax.random.split(jax.random.key(config.seed))
    truth = SYSTEM.trajectories(key_inputs, config.samples)

    def forecast(part: xr.Dataset, **how) -> tuple[xr.Dataset, float]:
        few = part.isel(sample=slice(16))
        simulated(model, few, key, **how)  # compiles
        begin = time.perf_counter()
        found = simulated(model, part, key, **how)
        seconds = (time.perf_counter() - begin) / part.sizes["sample"]
        return found, round(seconds, 4)

    def one_sample(steps: int) -> dict[str, Any]:
        found, seconds = forecast(truth, steps=steps)
        squares = squared_errors(found, truth)
        scores: dict[str, Any] = {"mse": interval(squares.mean("field").values)}
        for name in FIELDS:
            scores[f"mse_{name}"] = interval(squares.sel(field=name).values)
        for name in FIELDS[:3]:
            pair = (metrics.exclude_initial(flow[name]) for flow in (found, truth))
            scores[f"relative_l2_{name}"] = interval(metrics.relative_l2(*pair).values)
        error = (found.density - truth.density).isel(time=slice(1, None))
        over_time = np.sqrt(np.square(error).mean(["sample", "y", "x"]))
        scores["rmse_density_over_time"] = over_time.values.round(5).tolist()
        scores["divergence"] = {
            "model": divergence(found),
            "solver": divergence(truth),
        }
        scores["seconds_per_scene"] = seconds
        print(steps, {k: v for k, v in scores.items() if "over_time" not in k})
        return scores

    results = {str(n): one_sample(n) for n in config.steps}
    part = truth.isel(sample=slice(config.ensemble_samples))
    how = {"sampler": dpmpp_2m(), "steps": config.ensemble_steps}
    found, seconds = forecast(part, members=config.members, **how)
    ensemble: dict[str, Any] = {"seconds_per_ensemble": seconds}
    for name in FIELDS[:3]:
        table = metrics.summary(found[name], part[name])
        for score in ("fair_crps", "rmse_ensemble_mean", "spread_skill"):
            row = table.sel(metric=score)
            values = [float(row[end]) for end in ("value", "low", "high")]
            ensemble[f"{score}_{name}"] = [round(v, 6) for v in values]
    print("ensemble", ensemble)
    record("smoke_simulation", asdict(config), one_sample=results, ensemble=ensemble)


if __name__ == "__main__":
    main(tyro.cli(Config))
