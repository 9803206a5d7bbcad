"""Seconds and errors of the reference solver and of wavelet transforms."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np
import pywt
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import best, record  # noqa: E402

from wdno.systems import Burgers  # noqa: E402
from wdno.wavelets import transform  # noqa: E402


@dataclass(frozen=True)
class Config:
    """Sizes of what is timed."""

    batches: tuple[int, ...] = (64, 256, 512)
    shape: tuple[int, ...] = (32, 2, 80, 120)
    repeats: int = 5


def convergence(points: tuple[int, ...] = (60, 120, 240), finest: int = 960) -> dict:
    """Relative L2 error of Burgers on its own distribution, and the order observed.

    Against a much finer grid with the same forces, held over the same intervals and
    given on every grid by their own Gaussians.
    """

    def solve(n: int) -> np.ndarray:
        system = Burgers(points=n)
        inputs = system.sample_inputs(jax.random.key(0), 16)
        states = system.solve({k: v.astype(np.float64) for k, v in inputs.items()})
        return np.asarray(states["u"])[..., :: n // points[0]]

    with jax.enable_x64(True):
        truth = solve(finest)
        errors = [
            np.linalg.norm(solve(n) - truth) / np.linalg.norm(truth) for n in points
        ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    return {
        "points": points,
        "relative_l2": [float(f"{error:.3g}") for error in errors],
        "order": orders.round(2).tolist(),
    }


def transform_error(shape: tuple[int, ...]) -> float:
    """Largest difference from PyWavelets in double precision."""
    x = np.random.default_rng(0).normal(size=shape)
    wanted = pywt.dwtn(x, "bior2.4", "periodization", axes=(2, 3))
    with jax.enable_x64(True):
        found = transform.analysis(x, "bior2.4", "periodization", (2, 3))
    approximation, details = found
    # NumPy compares: outside that context JAX would round to single precision.
    came = {"aa": np.asarray(approximation)} | {
        k: np.asarray(v) for k, v in details.items()
    }
    return max(float(np.abs(came[name] - wanted[name]).max()) for name in wanted)


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
        approximation, details = transform.analysis(x, "bior2.4", mode, (2, 3))
        return (approximation**2).sum() + sum((d**2).sum() for d in details.values())

    x = jax.random.normal(jax.random.key(0), config.shape, np.float32)
    forward, gradient = jax.jit(total), jax.jit(jax.grad(total))
    results = {
        "solver_trajectories_per_second": rates,
        "solver_convergence": convergence(),
        "wavelet_error": transform_error(config.shape),
        "wavelet_milliseconds": 1e3 * best(lambda: forward(x), config.repeats),
        "wavelet_gradient_milliseconds": 1e3
        * best(lambda: gradient(x), config.repeats),
    }
    print(results)
    print(record("solver_and_wavelets", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
