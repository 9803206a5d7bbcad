"""What this package and others of the field do alike, timed beside each other in turn.

    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    pip install -e '.[peers]'
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        OMP_NUM_THREADS=1 python experiments/benchmarks/peers.py

Peers that are not installed are left out. Calls are made in turn, so that whatever else
the machine does meets all of them; a ratio is ours over theirs in the same round: its
median and quartiles. What is to have the same numbers is compared first.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tyro

sys.path[:0] = map(str, Path(__file__).resolve().parents[:2])
import wavelets  # noqa: E402
from _peer_networks import sampling, spectral, training  # noqa: E402
from _peer_solvers import burgers, projection  # noqa: E402
from _peers import Calls, Config, draw  # noqa: E402
from _results import amend  # noqa: E402


def transforms(shape: tuple[int, int, int]) -> Iterator[tuple[str, Calls]]:
    """A wavelet transform of two axes, and its gradient."""
    x, config, calls = draw(*shape), wavelets.Config(), {}
    libraries = (wavelets.of_pywavelets, wavelets.of_ptwt, wavelets.of_jaxwt)
    for of in (wavelets.ours, *libraries):
        try:
            calls |= of(x, config)
        except ModuleNotFoundError as error:
            print(f"left out: {error}")
    wanted = calls["PyWavelets"][1]()
    for name, (_, approximation) in calls.items():
        np.testing.assert_allclose(approximation(), wanted, atol=2e-5, err_msg=name)
    size = "×".join(map(str, shape))
    ends = {"": f"wavelets, {size}", ", gradient": f"wavelets with gradient, {size}"}
    for end, what in ends.items():
        names = [n for n in calls if n.endswith(", gradient") == bool(end)]
        yield what, {name.removesuffix(end): calls[name][0] for name in names}


SUBJECTS: dict[str, Callable[[Config], Calls]] = {
    "spectral layer": lambda config: spectral(config, gradient=False),
    "spectral layer with gradient": lambda config: spectral(config, gradient=True),
    "training step": training,
    "sampling step": sampling,
    "Burgers, 64 flows": burgers,
    "projection around obstacles": projection,
}


def subjects(config: Config) -> Iterator[tuple[str, Calls]]:
    """What is timed, by its name; what has no peer here is left out."""
    if config.only in "wavelets":
        for shape in config.shapes:
            yield from transforms(shape)
    for name, make in SUBJECTS.items():
        if config.only in name:
            try:
                yield name, make(config)
            except ModuleNotFoundError as error:
                print(f"left out: {name}: {error}")


def timed(calls: Calls, repeats: int) -> dict[str, Any]:
    """Milliseconds of the processor and of the clock, and ours over each other."""
    clocks = {"processor": time.process_time, "clock": time.perf_counter}
    taken = {kind: {name: [] for name in calls} for kind in clocks}
    for round_ in range(1 + repeats):
        for name, call in calls.items():
            begin = {kind: clock() for kind, clock in clocks.items()}
            call()
            for kind, clock in clocks.items():
                if round_:  # the first one compiles
                    taken[kind][name].append(1e3 * (clock() - begin[kind]))
    ours = np.asarray(taken["processor"]["wdno"])
    return {
        "milliseconds": {
            kind: {name: float(np.median(values)) for name, values in rows.items()}
            for kind, rows in taken.items()
        },
        "ratio": {
            name: np.quantile(ours / np.asarray(values), (0.5, 0.25, 0.75)).tolist()
            for name, values in taken["processor"].items()
            if name != "wdno"
        },
    }


def main(config: Config) -> None:
    """Time in turn, print and store; rows that are not timed stay as they were."""
    for name, calls in subjects(config):
        row = timed(calls, config.repeats)
        print(name, row["ratio"], flush=True)
        amend("peers", "rows", name, {"config": asdict(config), **row})


if __name__ == "__main__":
    main(tyro.cli(Config))
