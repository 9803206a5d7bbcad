"""Chunks of a data set by the workers of a dask scheduler, which may die or hang."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wdno.systems.tasks import ChunkTask

__all__ = ["PATIENCE", "Watch", "on_cluster"]

PATIENCE = 7200.0
"""Seconds within which a worker is to finish a chunk, unless told otherwise."""


class Watch:
    """Tells workers that have chunks and finish none, as those do that hang.

    A scheduler hears of a process that has ended, and misses one whose heartbeat has
    stopped; one that waits for ever within a task has a heartbeat.

    Args:
        patience: seconds within which a worker finishes one of the chunks it has.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._seen: dict[str, tuple[frozenset[str], float]] = {}

    def overdue(self, assigned: Mapping[str, Sequence[str]], now: float) -> list[str]:
        """Workers that have finished nothing for too long, each told once.

        Args:
            assigned: names of the tasks that each worker has now.
            now: seconds of a clock.
        """
        seen = {}
        for worker, names in assigned.items():
            before, since = self._seen.get(worker, (frozenset(), now))
            waits = bool(before) and before <= set(names)
            seen[worker] = frozenset(names), since if waits else now
        late = [w for w, (_, since) in seen.items() if now - since >= self._patience]
        self._seen = {w: entry for w, entry in seen.items() if w not in late}
        return late


def on_cluster(
    task: ChunkTask,
    indices: Sequence[int],
    address: str,
    patience: float = PATIENCE,
) -> Iterator[int]:
    """Chunks as they are done by the workers of a dask scheduler.

    Workers may die or hang: their tasks go to others. What the scheduler says is not
    believed but what has a marker, so that tasks are given out until all have one.

    Args:
        task: of one chunk.
        indices: of the chunks.
        address: of the scheduler.
        patience: seconds within which a worker finishes one of the chunks it has. One
            that has not is ended, and begun anew where a nanny looks after it.

    Raises:
        ModuleNotFoundError: dask.distributed is not installed.
        OSError: there is no scheduler at the address.
        ValueError: a task cannot be done.
        RuntimeError: workers die or hang without a chunk being done in between.
    """
    try:
        # Optional: the extra "cluster".
        import distributed  # pyright: ignore
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A cluster is reached by dask.distributed, which is not installed. Install "
            "it: pip install 'wdno[cluster]'."
        ) from error
    left = list(indices)
    with (
        distributed.Client(address, set_as_default=False) as client,
        client.as_current(),
        _watched(client, patience),
    ):
        print(f"Workers are watched at {client.dashboard_link}")
        while left:
            futures = client.map(task, left, pure=False, retries=2)
            lost: Exception | None = None
            for future in distributed.as_completed(futures):
                error = future.exception() if future.status == "error" else None
                if isinstance(error, distributed.KilledWorker):
                    lost = error
                elif error is not None:
                    client.cancel(futures)
                    raise error
                elif future.status == "finished":
                    yield future.result()
            before, left = len(left), task.regions.missing(left)
            if len(left) == before:
                raise RuntimeError(
                    f"Workers of {address} die over chunks {left[:4]}, or take more "
                    f"than {patience:g} s for each, before any is done ({lost}). Give "
                    "them more memory or patience, or ask for smaller chunks."
                )


@contextlib.contextmanager
def _watched(client: Any, patience: float) -> Iterator[None]:
    """While workers of a client are ended that finish nothing for so many seconds."""
    watch, over = Watch(patience), threading.Event()

    def look() -> None:
        while not over.wait(min(patience / 4, 30.0)):
            late = watch.overdue(client.processing(), time.monotonic())
            if late:
                print(f"Ended {', '.join(late)}: no chunk for {patience:g} s")
                # `Client.restart_workers` refuses workers without a nanny; those are
                # only ended by this, and their tasks go to others all the same.
                client.sync(
                    client.scheduler.restart_workers,
                    workers=late,
                    timeout=60,
                    wait_for_workers=False,
                    on_error="return",
                    stimulus_id=f"wdno-patience-{time.time()}",
                )

    watching = threading.Thread(target=look, name="wdno-watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
