"""Trajectories a second of the compressible solver, by processor time and by the clock.

Processor time is what a busy machine still measures: it counts this process alone, and
all of its threads. Run it with ``taskset -c 0`` for the cost on one core: threads that
wait for a busy second core count too.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import tyro

sys.path.append(str(Path(__file__).resolve().parents[1]))

from _results import best, record

from wdno._typing import Fields
from wdno.systems import CompressibleNavierStokes


@dataclass(frozen=True)
class Config:
    """How many trajectories at once, on which grids, and how often."""

    trajectories: tuple[int, ...] = (64,)
    grids: tuple[tuple[int, int], ...] = ((1024, 1), (128, 8))
    """Points and cells per point."""
    repeats: int = 3
    workers: int = 2


def processor_time(call: Callable[[], object], repeats: int) -> float:
    """Least seconds of all threads in a compiled call."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        jax.block_until_ready(call())
        times.append(time.process_time() - begin)
    return min(times)


def in_threads(solve: Callable[[Fields], object], inputs: Fields, count: int) -> None:
    """Solve parts of the rows at once, as `wdno data --workers` does."""
    parts = [{n: v[part::count] for n, v in inputs.items()} for part in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda part: jax.block_until_ready(solve(part)), parts))


def main(config: Config) -> None:
    """Time, print and store."""
    key = jax.random.key(0)
    results = {}
    for points, refinement in config.grids:
        system = CompressibleNavierStokes(points=points, refinement=refinement)
        for count in config.trajectories:
            inputs = system.sample_inputs(key, count)

            def solve(s=system, i=inputs) -> object:
                return s.solve(i)

            def threaded(s=system, i=inputs) -> None:
                in_threads(s.solve, i, config.workers)

            rates = {
                "per_second_in_threads": round(
                    count / best(threaded, config.repeats), 2
                ),
                "per_second": round(count / best(solve, config.repeats), 2),
                "per_processor_second": round(
                    count / processor_time(solve, config.repeats), 2
                ),
            }
            results[f"{points} x {refinement}, {count} at once"] = rates
            print(points, refinement, count, rates, flush=True)
    print(record("navier_stokes", asdict(config), trajectories=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
