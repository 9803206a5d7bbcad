"""How well does the shipped model simulate forced Burgers flow, and at what price?

Error of one sample against the number of denoiser calls, ensembles, and time, on
trajectories whose seed no training used; the convention is WDNO's (t = 0 excluded).
"""

import time
from dataclasses import asdict, dataclass

import jax
import tyro
from _results import record

import wdno
from wdno import metrics
from wdno.diffusion.samplers import Sampler, ddim
from wdno.systems import Burgers


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: str = "burgers-simulation"
    samples: int = 512
    steps: tuple[int, ...] = (1, 2, 4, 8)
    many_steps: tuple[int, ...] = (50,)
    many_steps_samples: int = 128
    ensemble_samples: int = 128
    members: int = 16
    ensemble_steps: int = 4
    seed: int = 20_000


def main(config: Config) -> None:
    """Measure, print and store."""
    model = wdno.load(config.model)
    key_inputs, key = jax.random.split(jax.random.key(config.seed))
    system = Burgers()
    begin = time.perf_counter()
    truth = system.trajectories(key_inputs, config.samples)
    solver = (time.perf_counter() - begin) / config.samples

    def scores(sampler: Sampler, steps: int, samples: int, members: int | None):
        part = truth.isel(sample=slice(samples))
        begin = time.perf_counter()
        forecast = wdno.simulate(
            model,
            part.u.isel(time=0),
            part.f,
            members=members,
            sampler=sampler,
            steps=steps,
            key=key,
        )
        seconds = (time.perf_counter() - begin) / (samples * (members or 1))
        table = metrics.summary(forecast.u, part.u)
        columns = table[["value", "low", "high"]].to_array("part")
        found = {
            str(name): columns.sel(metric=name).values.round(8).tolist()
            for name in table["metric"].values
        }
        print(f"{steps:3d} steps, {members or 1} members:", found["mse"], flush=True)
        return found | {"seconds_per_trajectory": round(seconds, 5)}

    results = {
        "one_sample": {
            str(n): scores(ddim(), n, config.samples, None) for n in config.steps
        }
        | {
            str(n): scores(ddim(), n, config.many_steps_samples, None)
            for n in config.many_steps
        },
        "ensemble": scores(
            ddim(1.0), config.ensemble_steps, config.ensemble_samples, config.members
        ),
        "solver_seconds_per_trajectory": round(solver, 5),
        "intervals": "95 % percentile bootstrap over samples: [value, low, high]",
    }
    print(record("burgers_simulation", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
