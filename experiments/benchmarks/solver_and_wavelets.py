"""Seconds of the reference solver and of wavelet transforms, best of several calls."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

from wdno import wavelets  # noqa: E402
from wdno.systems import Burgers  # noqa: E402


@dataclass(frozen=True)
class Config:
    """Sizes of what is timed."""

    batches: tuple[int, ...] = (64, 256, 512)
    shape: tuple[int, ...] = (32, 2, 80, 120)
    repeats: int = 5


def best(call: Callable[[], jax.Array], repeats: int) -> float:
    """Least seconds of a compiled call."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return min(times)


def main(config: Config) -> None:
    """Measure, print and store."""
    system = Burgers()
    rates = {}
    for batch in config.batches:
        inputs = system.sample_inputs(jax.random.key(0), batch)
        seconds = best(lambda inputs=inputs: system.solve(inputs)["u"], 3)
        rates[str(batch)] = round(batch / seconds, 1)

    def total(x: jax.Array) -> jax.Array:
        mode = "periodization"
        approximation, details = wavelets.analysis(x, "bior2.4", mode, (2, 3))
        return (approximation**2).sum() + sum((d**2).sum() for d in details.values())

    x = jax.random.normal(jax.random.key(0), config.shape, np.float32)
    forward, gradient = jax.jit(total), jax.jit(jax.grad(total))
    results = {
        "solver_trajectories_per_second": rates,
        "wavelet_milliseconds": 1e3 * best(lambda: forward(x), config.repeats),
        "wavelet_gradient_milliseconds": 1e3
        * best(lambda: gradient(x), config.repeats),
    }
    print(results)
    print(record("solver_and_wavelets", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
