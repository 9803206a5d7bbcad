"""Records of 32 windows by a queue of blocks, and by windows that wait for each other.

Three systems: waves that are carried around a ring, shocks under forces that never end,
and chaos. A queue has one call to wait for where a chain has one for each step of each
window; what that costs is measured: errors and short waves against the length of the
record, kinks where blocks meet, calls and memory. One window of several lengths is no
rival but where a model takes any grid, and none has seen such a window in training.

    python experiments/blocks.py
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _blocks import States, alive, figure, kinks, over_length
from _blocks_problems import PROBLEMS, Problem
from _results import RESULTS, record

import wdno
from wdno import plotting
from wdno.accelerate.block_noise import Overlapping, Pooled
from wdno.accelerate.block_queue import BlockQueue
from wdno.accelerate.pipeline_schedule import utilisation, works
from wdno.accelerate.queue_schedule import ticks


@dataclass(frozen=True)
class Config:
    """How many problems, and how long records are."""

    systems: tuple[str, ...] = ("advection", "burgers", "kuramoto-sivashinsky")
    samples: int = 16
    windows: int = 32
    seed: int = 50_000


class Way(NamedTuple):
    """How a record is made."""

    steps: int
    blocks: BlockQueue | None = None
    """None for windows that are chained as they are."""


WAYS = {
    "chain, mean alone": Way(0),
    "chain, 1 call": Way(1),
    "chain, 4 calls": Way(4),
    "chain, 4 calls, 4 frames shared": Way(4, BlockQueue(lag=4, context=4)),
    "queue, 2 steps behind": Way(4, BlockQueue(lag=2)),
    "queue": Way(4, BlockQueue()),
    "queue, 4 frames shared": Way(4, BlockQueue(context=4, noise=Overlapping())),
    "queue, shared, one pool of noise": Way(4, BlockQueue(context=4, noise=Pooled())),
    "queue, shared, later heard": Way(4, BlockQueue(context=4, later=0.3)),
    "queue of 8 steps": Way(8, BlockQueue()),
}


def made(way: Way, problem: Problem, windows: int) -> States:
    """A record of so many windows."""
    model, frames = problem.model, windows * problem.model.window
    how = {"steps": way.steps, "key": jax.random.key(0)}
    known = problem.initial, problem.control
    if not problem.control:
        stride = model.window if way.blocks is None else way.blocks.stride(model)
        how["windows"] = 1 + -(-(frames - model.window) // stride)
    if way.blocks is None:
        return wdno.rollout(model, *known, **how)["u"][:, :frames]
    parts = wdno.rollout(model, *known, blocks=way.blocks, **how)
    return jnp.concatenate([part["u"] for part in parts], axis=1)[:, :frames]


def price(way: Way, model: wdno.WDNO, windows: int) -> dict[str, float]:
    """Calls that wait for each other, and all, for each frame of a record."""
    frames = windows * model.window
    if way.blocks is None:
        calls, means = way.steps * windows, windows
        return {
            "waits": calls / frames,
            "calls": calls / frames,
            "means": means / frames,
        }
    stride = way.blocks.stride(model)
    count = 1 + -(-(frames - model.window) // stride)
    plan = list(ticks([{}] * count, way.steps, way.blocks.lag))
    calls = sum(len(tick.done) for tick in plan)
    return {
        "waits": len(plan) / frames,
        "calls": calls / frames,
        "means": calls / frames,
    }


def timed(problem: Problem, windows: int) -> dict[str, float]:
    """Processor seconds of a record, medians of three in turn once compiled."""
    times: dict[str, list[float]] = {}
    for _ in range(4):
        for name in ("chain, 1 call", "chain, 4 calls", "queue"):
            begin = time.process_time()
            jax.block_until_ready(made(WAYS[name], problem, windows))
            times.setdefault(name, []).append(time.process_time() - begin)
    return {name: round(float(np.median(row[1:])), 3) for name, row in times.items()}


def scored(problem: Problem, config: Config) -> dict[str, Any]:
    """Every way, and what needs none."""
    window, results = problem.model.window, {}
    still = jnp.broadcast_to(problem.initial["u0"][:, None], problem.truth.shape)
    for name, u in {"persistence": still, **problem.rivals}.items():
        results[name] = over_length(u, problem.truth, window)
        print(name, results[name], flush=True)
    for name, way in WAYS.items():
        u = made(way, problem, config.windows)
        stride, shared = window, 0
        if way.blocks is not None:
            stride, shared = way.blocks.stride(problem.model), way.blocks.context
        met = {
            "kinks": kinks(u, stride, shared, window),
            "kinks_of_truth": kinks(problem.truth, stride, shared, window),
        }
        results[name] = over_length(u, problem.truth, window) | met
        results[name] |= price(way, problem.model, config.windows)
        print(name, results[name], flush=True)
    for count in (2, 4):
        name = f"one window of {count}"
        if (u := longer(problem, count)) is not None:
            results[name] = over_length(u, problem.truth[:, : count * window], window)
            print(name, results[name], flush=True)
    return results


def longer(problem: Problem, count: int) -> States | None:
    """One window of several lengths, where the model takes any grid."""
    model = problem.model
    frames, (_, *space) = count * model.window, model.targets.grid
    known = {
        **problem.initial,
        **{n: f[:, :frames] for n, f in problem.control.items()},
    }
    try:
        larger = model.on((frames, *space))
        how = wdno.samplers.ddim(), model.levels(4), jax.random.key(0)
        return wdno.generate(larger, known, *how)["u"]
    except ValueError:
        return None


def memory(problem: Problem, windows: tuple[int, ...]) -> dict[str, dict[int, int]]:
    """Largest sum of bytes of all arrays while records of growing length are made."""
    model, known = problem.model, (problem.initial, problem.control)
    found: dict[str, dict[int, int]] = {"queue": {}, "chain": {}}
    for count in windows:
        how = {"steps": 4, "windows": count, "key": jax.random.key(0)}
        before = alive()
        parts = wdno.rollout(model, *known, **how, blocks=BlockQueue())
        found["queue"][count] = max(alive() for _ in parts) - before
        before = alive()
        whole = wdno.rollout(model, *known, **how)
        found["chain"][count] = alive() - before
        del whole
    return found


def pipelines(steps: int = 8, blocks: int = 32) -> list[dict[str, float]]:
    """Share of the time that stages are at work, and what formulas say."""
    work, rows = steps * blocks, []
    for stages in (2, 4, 8):
        plan = works(ticks([{}] * blocks, steps, 1), stages)
        paper = stages**2 - stages - 1
        share = utilisation(plan, stages)
        rows.append({"stages": stages, "share": share, "paper": work / (work + paper)})
    return rows


DRAWN = (
    "chain, 1 call",
    "chain, 4 calls",
    "queue",
    "queue, 4 frames shared",
    "persistence",
)


def kept(again: tuple[str, ...]) -> dict[str, Any]:
    """Stored results of the systems that are not measured again."""
    path = RESULTS / "blocks.json"
    stored = json.loads(path.read_text())["systems"] if path.exists() else {}
    return {name: rows for name, rows in stored.items() if name not in again}


def main(config: Config) -> None:
    """Simulate, judge, time, print, store and draw."""
    results = kept(config.systems)
    for system in config.systems:
        print(system, flush=True)
        problem = PROBLEMS[system](config.samples, config.seed, config.windows * 16)
        results[system] = scored(problem, config)
    one = problem._replace(
        initial=jax.tree.map(lambda u: u[:1], problem.initial),
        control=jax.tree.map(lambda u: u[:1], problem.control),
    )
    how = {
        "seconds_of_one_record": timed(one, config.windows),
        "bytes": memory(one, (4, 16, 64, 256)),
        "pipelines": pipelines(),
    }
    print(how)
    plotting.save(figure(results, DRAWN), Path("docs/pictures/blocks.png"))
    print(record("blocks", asdict(config), systems=results, **how))


if __name__ == "__main__":
    main(tyro.cli(Config))
