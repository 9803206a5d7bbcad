"""Does feedback help when the force is disturbed and the state is seen through noise?

Open loop plans once, from the initial state, and acts blindly. Feedback looks at the
state when the planner's horizon begins and every few frames from then on, and plans
anew. The disturbance is a steady push, another one in every problem.
"""

import time
from dataclasses import asdict, dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _control import OBJECTIVE, SYSTEM, Problems, late_plan
from _results import record

import wdno
from wdno.systems import run
from wdno.systems.forces import gaussian


@dataclass(frozen=True)
class Config:
    """How strong the surprises are, and how often one looks."""

    base: str = "burgers-simulation"
    planner: str = "burgers-control"
    targets: int = 50
    horizon: int = 16
    every: tuple[int, ...] = (16, 8)
    disturbances: tuple[float, ...] = (0.0, 0.3)
    noises: tuple[float, ...] = (0.0, 0.05)
    steps: int = 1
    seed: int = 40_000


def main(config: Config) -> None:
    """Run every loop under every surprise, judge, print and store."""
    problems = Problems.draw(config.seed, config.targets)
    key, *keys = jax.random.split(jax.random.key(config.seed + 3), 4)
    draw = partial(jax.random.uniform, shape=(config.targets, 1))
    place, width = draw(keys[0]), draw(keys[1], minval=0.1, maxval=0.3)
    sign = jax.random.rademacher(keys[2], (config.targets, 1), float)
    push = np.asarray(sign * gaussian(SYSTEM.coords["x"], place, width)[:, 0])
    steady = np.repeat(push[:, None], SYSTEM.frames, axis=1)
    coords = {"time": SYSTEM.coords["time"][:-1], "x": SYSTEM.coords["x"]}
    steady = xr.DataArray(steady, coords, ("sample", "time", "x"))
    base = wdno.load(config.base)
    planner = wdno.Planner(wdno.load(config.planner), OBJECTIVE, steps=config.steps)
    blind = late_plan(base, planner, problems, config.horizon, key)
    lead_in = SYSTEM.frames - config.horizon
    early, late = (
        steady.isel(time=part) for part in (slice(lead_in), slice(lead_in, None))
    )
    results = {}
    for strength in config.disturbances:
        for noise in config.noises:
            row = results[f"disturbance {strength}, noise {noise}"] = {}
            pushed = {"u0": problems.known["u0"], "f": blind + strength * steady.values}
            u = SYSTEM.solve(pushed)["u"]
            row["open loop"] = problems.scored(u, blind, 0.0)
            print(strength, noise, row["open loop"])
            for every in config.every:
                begin = time.perf_counter()
                free = run(SYSTEM.over(lead_in), problems.initial, strength * early)
                free["f"] = xr.zeros_like(free.f)  # the disturbance is no control
                loop = wdno.control_loop(
                    planner.over(config.horizon),
                    SYSTEM,
                    free.u.isel(time=-1),
                    every=every,
                    target=problems.goal,
                    disturbance=strength * late,
                    observation_noise=noise,
                    key=key,
                )
                loop = wdno.trajectory.append(free, loop)
                seconds = time.perf_counter() - begin
                row[f"every {every}"] = problems.scored(
                    *(jnp.asarray(part.values) for part in (loop.u, loop.f)), seconds
                )
                print(strength, noise, every, row[f"every {every}"], flush=True)
    print(record("closed_loop", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
