"""Scenes a second of the smoke solver, and what drawing and gradients cost.

The official generator takes 25 s a scene of 128 x 128 cells and 256 steps, on the same
machine.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro

sys.path.append(str(Path(__file__).resolve().parents[1]))

from _results import best, record

from wdno.planning.objectives import leakage
from wdno.systems import Smoke

OFFICIAL = 25.0
"""Seconds a scene of the official generator."""


@dataclass(frozen=True)
class Config:
    """How many scenes at once, and how often."""

    scenes: tuple[int, ...] = (1, 4, 16)
    repeats: int = 3


def main(config: Config) -> None:
    """Time, print and store."""
    system, key = Smoke(), jax.random.key(0)

    def loss(controls, density0):
        return leakage(system.solve({"density0": density0, **controls})["smoke"]).sum()

    gradient = jax.jit(jax.grad(loss))
    results = {}
    for count in config.scenes:
        inputs = system.sample_inputs(key, count)
        density0 = jnp.asarray(inputs["density0"])
        controls = {name: inputs[name] for name in system.control}
        seconds = {
            "draw": best(lambda n=count: system.sample_inputs(key, n), config.repeats),
            "solve": best(lambda i=inputs: system.solve(i), config.repeats),
            "gradient": best(
                lambda c=controls, d=density0: gradient(c, d), config.repeats
            ),
        }
        rates = {name: round(count / value, 2) for name, value in seconds.items()}
        results[str(count)] = {
            "scenes_per_second": rates,
            "times_the_official_generator": round(
                OFFICIAL * count / (seconds["draw"] + seconds["solve"]), 1
            ),
        }
        print(count, results[str(count)], flush=True)
    print(record("smoke_solver", asdict(config), scenes_at_once=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
