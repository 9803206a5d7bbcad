"""The record of a training run: log, checkpoints, progress bar, orderly stop."""

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flax import nnx

from wdno.training.checkpoints import Checkpoints
from wdno.training.log import Log
from wdno.training.pending import Metrics, Pending, Step, means
from wdno.training.processes import is_first


@contextmanager
def on_sigterm() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM has arrived since."""
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python delivers signals to the main thread only.
        return
    previous = signal.signal(
        signal.SIGTERM, lambda number, frame: arrived.append(number)
    )
    try:
        yield lambda: bool(arrived)
    finally:
        signal.signal(signal.SIGTERM, previous)


class Record:
    """What a run leaves on disk and on the terminal: log, checkpoints, progress bar.

    The host does not wait for a step before it begins the next, so that the device is
    never idle. What steps gave is looked at together, at intervals and before anything
    is validated or kept. Of several processes only the first has a log.

    Attributes:
        step: updates begun.
        seconds: seconds of training done; what is `paused` for does not count.
        saved: step of the last checkpoint, -1 before the first.
    """

    def __init__(
        self,
        run: nnx.Module,
        directory: Path,
        resume: bool,
        steps: int | None,
        budget: float | None,
        log_every: float,
        clock: Callable[[], float],
    ) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._checkpoints = Checkpoints(self.directory / "checkpoints")
        self._counts_steps = steps is not None
        self.step, self.seconds, self.saved = 0, 0.0, -1
        self._restore(run, resume)
        self._marks: dict[str, float] = {}
        self._log_every = log_every
        self._pending = Pending()
        self._log = None
        if is_first():
            total, done = (steps, self.step) if steps else (budget or 0.0, self.seconds)
            unit = "step" if steps else "s"
            self._log = Log(self.directory, self.step, math.ceil(total), done, unit)
        self._logged = self.seconds
        self._clock, self._time = clock, clock()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *error: object) -> None:
        if self._log is not None:
            self._log.close()
        self._checkpoints.close()

    def _restore(self, run: nnx.Module, resume: bool) -> None:
        latest = self._checkpoints.latest
        if latest is None:
            return
        if not resume:
            raise ValueError(
                f"A new run needs a folder without checkpoints, but {self.directory} "
                f"holds one at step {latest}. Resume it or choose another folder."
            )
        state = nnx.state(run)
        like = {"run": nnx.to_pure_dict(state), "seconds": 0.0}
        step, restored = self._checkpoints.restore(like)
        nnx.replace_by_pure_dict(state, restored["run"])
        nnx.update(run, state)
        self.step = self.saved = step
        self.seconds = float(restored["seconds"])

    @property
    def resumption(self) -> str:
        """What an error says about going on."""
        if self.saved < 0:
            return f"There is no checkpoint yet in {self.directory}."
        return (
            f"The last good checkpoint, step {self.saved}, is kept in {self.directory} "
            "and can be resumed."
        )

    def due(self, name: str, interval: float) -> bool:
        """Whether `interval` seconds of training have passed since the last time."""
        if self.seconds - self._marks.setdefault(name, self.seconds) < interval:
            return False
        self._marks[name] = self.seconds
        return True

    def add(self, rows: int, metrics: Metrics) -> None:
        """Count a step that was begun, and look at all of these if it is time.

        Raises:
            FloatingPointError: metrics of one are not finite.
        """
        self._pending.add(Step(self.step, rows, metrics))
        self.step += 1
        if self.due("log", self._log_every):
            self.settle()
        else:
            self._pending.wait()
            self._tick()

    def settle(self) -> None:
        """Wait for all steps that were begun, and log the means of what they gave.

        Raises:
            FloatingPointError: metrics of one are not finite; those before are logged.
        """
        if not self._pending:
            return
        good, bad = self._pending.take()
        self._tick()
        if good:
            self._log_steps(good)
        if bad is not None:
            name = next(n for n, v in bad.metrics.items() if not math.isfinite(v))
            raise FloatingPointError(
                f"Training needs a finite loss and gradient, but {name} is "
                f"{bad.metrics[name]} at step {bad.number} (batch {bad.number}). "
                f"{self.resumption} Check that batch for bad data, or lower the "
                "learning rate."
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Settle, and do what is no training: the seconds of it are not counted."""
        self.settle()
        yield
        self._time = self._clock()

    def _tick(self) -> None:
        now = self._clock()
        self.seconds += now - self._time
        self._time = now

    def _log_steps(self, steps: Sequence[Step]) -> None:
        elapsed, self._logged = self.seconds - self._logged, self.seconds
        if self._log is None:
            return
        rate = sum(step.rows for step in steps) / max(elapsed, 1e-9)
        entries = means(steps) | {"samples_per_second": rate}
        self._log.write(steps[-1].number + 1, self.seconds, entries)
        amount = len(steps) if self._counts_steps else elapsed
        note = f"loss {entries['loss']:.3g}, {rate:.0f} samples/s"
        self._log.advance(amount, note)

    def write(self, entries: dict[str, float]) -> None:
        """Append one line to the log."""
        if self._log is not None:
            self._log.write_once(self.step, self.seconds, entries)

    def save(self, run: nnx.Module) -> None:
        """Write a checkpoint of this step, unless there is one.

        Raises:
            FloatingPointError: a step since the last one was bad; nothing is written.
        """
        with self.paused():
            if self.step == self.saved:
                return
            tree = {"run": nnx.to_pure_dict(nnx.state(run)), "seconds": self.seconds}
            self._checkpoints.save(self.step, tree)
            self.saved = self.step
