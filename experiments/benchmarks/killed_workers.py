"""A data set by a cluster whose workers end, are killed, freeze and hang at random.

``python experiments/benchmarks/killed_workers.py`` solves 100 chunks by three
processes, disturbs one after the other, and compares the store with that of one
process, byte for byte.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import tyro

from wdno.systems import Burgers, generate, tasks

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402

SYSTEM = Burgers(points=32, frames=5, duration=0.4)


@dataclass(frozen=True)
class Config:
    """How much is solved, and how often it is disturbed."""

    chunks: int = 100
    chunk: int = 4
    workers: int = 3
    disturbances: int = 32
    patience: float = 20.0
    """Seconds after which a worker that finishes no chunk is ended."""
    seed: int = 0


def ends(client: distributed.Client, address: str, process: int) -> None:
    """A process that ends by itself, whatever it is doing."""
    client.run(exit_now, workers=[address], wait=False)


def is_killed(client: distributed.Client, address: str, process: int) -> None:
    """A process that the system kills, as where memory does not suffice."""
    os.kill(process, signal.SIGKILL)


def freezes(client: distributed.Client, address: str, process: int) -> None:
    """A process that stands still, and is not heard of."""
    os.kill(process, signal.SIGSTOP)


def hangs(client: distributed.Client, address: str, process: int) -> None:
    """A process that is heard of, and whose next chunk never ends."""
    client.run(wait_for_ever, workers=[address])


async def exit_now() -> None:
    """Without a word to anyone."""
    os._exit(1)


def wait_for_ever() -> None:
    """In place of what solves a chunk, in the process that calls this."""
    tasks.chunk_of = lambda *_: time.sleep(1e6)


MODES: Mapping[str, Callable[[distributed.Client, str, int], None]] = {
    "exit": ends,
    "kill": is_killed,
    "freeze": freezes,
    "hang": hangs,
}


class Disturber(threading.Thread):
    """Disturbs workers, all modes equally often, spread over the chunks of a set."""

    def __init__(self, cluster: Any, markers: Path, config: Config) -> None:
        super().__init__(daemon=True)
        self._cluster, self._markers, self._config = cluster, markers, config
        self._over = threading.Event()
        self._disturbed: set[int] = set()
        self.done: Counter[str] = Counter()
        self.processes: set[int] = set()

    def run(self) -> None:
        """Begin."""
        config, draw = self._config, np.random.default_rng(self._config.seed)
        modes = draw.permutation(np.resize([*MODES], config.disturbances))
        after = np.sort(draw.integers(0, 0.9 * config.chunks, config.disturbances))
        with distributed.Client(self._cluster, set_as_default=False) as client:
            for mode, least in zip(modes, after, strict=True):
                while len([*self._markers.glob("[0-9]*.json")]) < least:
                    if self._over.wait(0.02):
                        return
                self._over.wait(draw.exponential(0.1))
                while not (alive := self._alive()):
                    if self._over.wait(0.02):
                        return
                address, process = alive[draw.integers(len(alive))]
                self._disturbed.add(process)
                # It may have ended, or be begun anew, just before.
                with contextlib.suppress(OSError):
                    MODES[mode](client, address, process)
                    self.done[str(mode)] += 1

    def stop(self) -> None:
        """End, also where something is left to disturb."""
        self._over.set()
        self.join()

    def _alive(self) -> list[tuple[str, int]]:
        nannies = [n for n in self._cluster.workers.values() if n.pid]
        self.processes |= {nanny.pid for nanny in nannies}
        return [
            (nanny.worker_address, nanny.pid)
            for nanny in nannies
            if nanny.status.name == "running" and nanny.pid not in self._disturbed
        ]


def content(store: Path) -> dict[str, bytes]:
    """Of all files of a store."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


@contextlib.contextmanager
def forked_cluster(workers: int) -> Iterator[distributed.LocalCluster]:
    """Processes that are forked from one with all modules, so that they begin soon."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        context = distributed.utils.get_mp_context()
        context.set_forkserver_preload(["distributed", "wdno.systems"])
        with distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster:
            cluster.adapt(minimum=workers, maximum=workers)  # who leaves is replaced
            yield cluster


def survived(config: Config, folder: Path) -> dict[str, Any]:
    """What happened on the way, and whether the bytes are those of one process."""
    recipe = {
        "samples": config.chunk * config.chunks,
        "seed": config.seed,
        "chunk": config.chunk,
    }
    serial = generate(SYSTEM, folder / "serial.zarr", **recipe)
    path = folder / "set.zarr"
    begin = time.perf_counter()
    with forked_cluster(config.workers) as cluster:
        disturber = Disturber(cluster, Path(f"{path}.markers"), config)
        disturber.start()
        reached = {"cluster": cluster.scheduler_address, "patience": config.patience}
        generate(SYSTEM, path, **recipe, **reached)
        disturber.stop()
    return {
        "disturbances": {mode: disturber.done[mode] for mode in MODES},
        "processes": len(disturber.processes),
        "seconds": round(time.perf_counter() - begin, 1),
        "files": len(content(path)),
        "same_bytes": content(path) == content(serial),
    }


def main(config: Config) -> None:
    """Measure, and write what was found."""
    with tempfile.TemporaryDirectory() as folder:
        found = survived(config, Path(folder))
    print(found, f"written to {record('killed_workers', asdict(config), **found)}")


if __name__ == "__main__":
    main(tyro.cli(Config))
