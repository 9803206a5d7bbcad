"""Wavelet transforms beside PyWavelets, ptwt and jaxwt, forward and with a gradient.

    pip install ptwt jaxwt    # those that are missing are left out
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        OMP_NUM_THREADS=1 python experiments/benchmarks/wavelets.py

One level along the last two axes, with every library's mode that extends by zeros, so
that all compute the same numbers; these are compared first. Milliseconds are those of
the processor: the least, and the median, of repeats in turn.
"""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np
import pywt
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

from wdno.wavelets import transform  # noqa: E402

AXES = (1, 2)


@dataclass(frozen=True)
class Config:
    """What is transformed, and how often."""

    shapes: tuple[tuple[int, int, int], ...] = (
        (64, 80, 120),
        (8, 256, 256),
        (4, 320, 480),
        (1, 640, 960),
        (1, 2048, 2048),
    )
    wavelet: str = "bior2.4"
    mode: str = "zero"
    repeats: int = 15


Calls = dict[str, tuple[Callable[[], object], Callable[[], np.ndarray]]]
"""By name: what is timed, and the approximation it gives (to be compared)."""


def ours(x: np.ndarray, config: Config) -> Calls:
    """The transform of this package, and the gradient of a sum of squares of it."""

    def forward(x: jax.Array):
        return transform.analysis(x, config.wavelet, config.mode, AXES)

    def total(x: jax.Array) -> jax.Array:
        return sum((band**2).sum() for band in jax.tree.leaves(forward(x)))

    values, transformed, slope = jax.numpy.asarray(x), *map(jax.jit, (forward, total))
    slope = jax.jit(jax.grad(total))
    return {
        "wdno": (
            lambda: jax.block_until_ready(transformed(values)),
            lambda: np.asarray(transformed(values)[0]),
        ),
        "wdno, gradient": (
            lambda: jax.block_until_ready(slope(values)),
            lambda: np.asarray(transformed(values)[0]),
        ),
    }


def of_pywavelets(x: np.ndarray, config: Config) -> Calls:
    """The reference, in C."""
    call = lambda: pywt.dwtn(x, config.wavelet, config.mode, axes=AXES)  # noqa: E731
    return {"PyWavelets": (call, lambda: call()["aa"])}


def of_ptwt(x: np.ndarray, config: Config) -> Calls:
    """PyTorch, with its own gradient."""
    ptwt, torch = (importlib.import_module(name) for name in ("ptwt", "torch"))
    torch.set_num_threads(1)
    values = torch.from_numpy(x)

    def forward(values):
        how = {"mode": config.mode, "level": 1, "axes": AXES}
        return ptwt.wavedec2(values, pywt.Wavelet(config.wavelet), **how)

    def slope():
        leaf = values.clone().requires_grad_()
        approximation, details = forward(leaf)
        sum((band**2).sum() for band in (approximation, *details)).backward()
        return leaf.grad

    found = lambda: forward(values)[0].numpy()  # noqa: E731
    return {
        "ptwt": (lambda: forward(values), found),
        "ptwt, gradient": (slope, found),
    }


def of_jaxwt(x: np.ndarray, config: Config) -> Calls:
    """JAX, by convolutions."""
    jaxwt, values = importlib.import_module("jaxwt"), jax.numpy.asarray(x)
    how = {"mode": config.mode, "level": 1}  # the last two axes, which are no option

    def total(x: jax.Array) -> jax.Array:
        bands = jax.tree.leaves(jaxwt.wavedec2(x, config.wavelet, **how))
        return sum((band**2).sum() for band in bands)

    forward = jax.jit(lambda x: jaxwt.wavedec2(x, config.wavelet, **how))
    slope = jax.jit(jax.grad(total))
    found = lambda: np.asarray(forward(values)[0])  # noqa: E731
    return {
        "jaxwt": (lambda: jax.block_until_ready(forward(values)), found),
        "jaxwt, gradient": (lambda: jax.block_until_ready(slope(values)), found),
    }


def main(config: Config) -> None:
    """Compare, time in turn, print and store."""
    rows = {}
    for shape in config.shapes:
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        calls: Calls = {}
        for library in (of_pywavelets, ours, of_ptwt, of_jaxwt):
            try:
                calls |= library(x, config)
            except ModuleNotFoundError as error:
                print(f"left out: {error}")
        wanted = calls["PyWavelets"][1]()
        for name, (_, approximation) in calls.items():
            np.testing.assert_allclose(approximation(), wanted, atol=2e-5, err_msg=name)
        times = {name: [] for name in calls}
        for _ in range(config.repeats):
            for name, (call, _) in calls.items():
                begin = time.process_time()
                call()
                times[name].append(1e3 * (time.process_time() - begin))
        row = {
            name: {"least": min(values), "median": float(np.median(values))}
            for name, values in times.items()
        }
        rows["×".join(map(str, shape))] = row
        least = {name: round(values["least"], 2) for name, values in row.items()}
        print(shape, least, flush=True)
        record("wavelets", asdict(config), milliseconds=rows)


if __name__ == "__main__":
    main(tyro.cli(Config))
