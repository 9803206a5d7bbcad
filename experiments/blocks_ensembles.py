"""Ensembles of chaos by a queue of blocks, and by windows that wait for each other.

One call of a denoiser gives its mean, so single records need no more; members need
several calls to differ by as much as they are off. Those are what a queue shares.

    python experiments/blocks_ensembles.py
"""

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _blocks_problems import PROBLEMS, Problem
from _control import interval
from _results import record

import wdno
from wdno import metrics
from wdno.accelerate.block_noise import Overlapping
from wdno.accelerate.block_queue import BlockQueue
from wdno.diffusion.samplers import dpmpp_2m


@dataclass(frozen=True)
class Config:
    """How many problems and members, and how long records are."""

    system: str = "kuramoto-sivashinsky"
    samples: int = 16
    members: int = 8
    windows: int = 4
    seed: int = 50_000


WAYS = {
    "chain, 1 call": (1, BlockQueue()),
    "chain, 2 calls": (2, BlockQueue(lag=2)),
    "chain, 4 calls": (4, BlockQueue(lag=4)),
    "queue of 2 steps": (2, BlockQueue()),
    "queue of 4 steps": (4, BlockQueue()),
    "queue of 4 steps, 4 frames shared": (
        4,
        BlockQueue(context=4, noise=Overlapping()),
    ),
}


def scored(
    problem: Problem, steps: int, blocks: BlockQueue, config: Config
) -> dict[str, Any]:
    """Fair CRPS and spread over error in the last window of records of each length."""
    model, frames = problem.model, problem.truth.shape[1]
    known = jax.tree.map(lambda u: jnp.repeat(u, config.members, 0), problem.initial)
    how = {"steps": steps, "sampler": dpmpp_2m(), "key": jax.random.key(1)}
    stride = blocks.stride(model)
    how["windows"] = 1 + -(-(frames - model.window) // stride)
    parts = wdno.rollout(model, known, blocks=blocks, **how)
    u = np.concatenate([np.asarray(part["u"]) for part in parts], axis=1)[:, :frames]
    u = u.reshape(config.samples, config.members, *u.shape[1:])
    found = xr.DataArray(u, dims=("sample", "member", "time", "x"))
    truth = xr.DataArray(np.asarray(problem.truth), dims=("sample", "time", "x"))
    scores: dict[str, Any] = {"fair_crps": {}, "spread_skill": {}}
    for count in range(1, config.windows + 1):
        last = slice((count - 1) * model.window, count * model.window)
        pair = found.isel(time=last), truth.isel(time=last)
        scores["fair_crps"][count] = interval(metrics.fair_crps(*pair).values)
        spread = float(metrics.spread_skill(*pair).mean())
        scores["spread_skill"][count] = round(spread, 3)
    return scores


def main(config: Config) -> None:
    """Simulate, judge, print and store."""
    problem = PROBLEMS[config.system](config.samples, config.seed, 16 * config.windows)
    results = {}
    for name, (steps, blocks) in WAYS.items():
        results[name] = scored(problem, steps, blocks, config)
        print(name, results[name], flush=True)
    print(record("blocks_ensembles", asdict(config), ways=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
