"""How well does the shipped model simulate smoke, and at what price?

One sample against the number of denoiser calls, an ensemble, and the divergence of the
velocities, on scenes whose seed no training used. WDNO's convention: the mean squared
error over density, both velocities and the share of smoke, t = 0 excluded.
"""

import time
from dataclasses import asdict, dataclass

import jax
import numpy as np
import tyro
import xarray as xr
from _control import interval
from _results import record

import wdno
from wdno import metrics
from wdno.samplers import Sampler, ddim
from wdno.systems import Smoke

FIELDS = ("density", "vx", "vy")


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
    model, system = wdno.load(config.model), Smoke()
    key_inputs, key = jax.random.split(jax.random.key(config.seed))
    begin = time.perf_counter()
    truth = system.trajectories(key_inputs, config.samples)
    solver = (time.perf_counter() - begin) / config.samples

    def forecast(sampler: Sampler, steps: int, samples: int, members: int | None):
        part = truth.isel(sample=slice(samples))
        begin = time.perf_counter()
        found = wdno.simulate(
            model,
            part.density.isel(time=0),
            part[["cx", "cy"]],
            samples=members,
            sampler=sampler,
            steps=steps,
            batch_size=16,
            key=key,
        )
        return found, part, time.perf_counter() - begin

    def one_sample(steps: int) -> dict:
        found, part, seconds = forecast(ddim(), steps, config.samples, None)
        later = {"time": slice(1, None)}
        errors = {n: (found[n] - part[n]).isel(later) for n in (*FIELDS, "smoke")}
        squares = [
            np.square(e).mean([d for d in e.dims if d != "sample"])
            for e in errors.values()
        ]
        scores = {"mse": interval(sum(s.values for s in squares) / len(squares))}
        for name, square in zip(errors, squares, strict=True):
            scores[f"mse_{name}"] = interval(square.values)
        for name in FIELDS:
            pair = (flow[name].isel(later) for flow in (found, part))
            scores[f"relative_l2_{name}"] = interval(metrics.relative_l2(*pair).values)
        over_time = np.sqrt(np.square(errors["density"]).mean(["sample", "y", "x"]))
        scores["rmse_density_over_time"] = over_time.values.round(5).tolist()
        scores["divergence"] = {"model": divergence(found), "solver": divergence(part)}
        scores["seconds_per_scene"] = round(seconds / config.samples, 4)
        print(steps, {k: v for k, v in scores.items() if "over_time" not in k})
        return scores

    results = {str(n): one_sample(n) for n in config.steps}
    found, part, seconds = forecast(
        ddim(1.0), config.ensemble_steps, config.ensemble_samples, config.members
    )
    ensemble = {}
    for name in FIELDS:
        table = metrics.summary(found[name], part[name])
        for score in ("fair_crps", "rmse_ensemble_mean", "spread_skill"):
            row = table.sel(metric=score)
            values = [float(row[p]) for p in ("value", "low", "high")]
            ensemble[f"{score}_{name}"] = [round(v, 6) for v in values]
    print("ensemble", ensemble)
    print(
        record(
            "smoke_simulation",
            asdict(config),
            one_sample=results,
            ensemble=ensemble,
            seconds_per_ensemble=round(seconds / config.ensemble_samples, 3),
            solver_seconds_per_scene=round(solver, 4),
        )
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
