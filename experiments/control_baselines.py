"""What do classical controllers reach on forced Burgers, and in what time?

No control, a tuned PID, and the gradient of the solver with Adam and L-BFGS, on the
same targets; each plan is judged by the solver from the true initial state.
"""

import time
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import optax
import tyro
import xarray as xr
from _pid import pid, tune
from _results import record

from wdno import metrics
from wdno._typing import Fields
from wdno.adjoint import descend
from wdno.guidance import energy, reach, terminal
from wdno.systems import Burgers


@dataclass(frozen=True)
class Config:
    """How many problems, and how long each method may go on."""

    targets: int = 50
    energy_weight: float = 2e-5
    lbfgs_steps: int = 60
    adam_steps: int = 200
    adam_rate: float = 0.03
    seed: int = 40_000


def bootstrap(values: jax.Array) -> tuple:
    """Mean over the targets with its 95 % interval."""
    return metrics.bootstrap_interval(xr.DataArray(values, dims="sample"))


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    system, objective = Burgers(), reach(("u",), ("f",), config.energy_weight)

    def problems(seed: int) -> Fields:
        """States that some force has reached: true futures of unseen trajectories."""
        truth = system.trajectories(jax.random.key(seed), config.targets)
        u = jnp.asarray(truth.u.values)
        return {"u0": u[:, 0], "uT": u[:, -1]}

    known = problems(config.seed)
    still = {"f": jnp.zeros((config.targets, system.frames, system.points))}

    def judged(f: jax.Array, seconds: float, **more) -> dict:
        u = system.solve({"u0": known["u0"], "f": f})["u"]
        parts = {"state": terminal(u, known["uT"]), "energy": energy(f)}
        parts["sum"] = parts["state"] + config.energy_weight * parts["energy"]
        intervals = {
            name: [round(float(part), 6) for part in bootstrap(value)]
            for name, value in parts.items()
        }
        per_plan = round(seconds / config.targets, 4)
        return intervals | {"seconds_per_plan": per_plan} | more

    def descent(steps: int, optimizer=None) -> dict:
        found = descend(
            system.solve, known, still, objective, steps=steps, optimizer=optimizer
        )
        curve = {
            "seconds": found.seconds.round(2).tolist(),
            "gradients": found.gradients.mean(axis=1).round(1).tolist(),
            "values": found.values.mean(axis=1).round(6).tolist(),
        }
        return judged(found.controls["f"], found.seconds[-1], curve=curve)

    tuning = problems(config.seed + 1)
    gains = tune(system, tuning["u0"], tuning["uT"], objective)
    begin = time.perf_counter()
    steered = jax.block_until_ready(pid(system, known["u0"], known["uT"], gains))
    results = {
        "none": judged(still["f"], 0.0),
        "pid": judged(steered, time.perf_counter() - begin, gains=gains._asdict()),
        "adam": descent(config.adam_steps, optax.adam(config.adam_rate)),
        "lbfgs": descent(config.lbfgs_steps),
    }
    for name, row in results.items():
        print(name, {k: v for k, v in row.items() if k != "curve"})
    print(record("control_baselines", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
