"""The record of a training run: log, checkpoints, progress bar, orderly stop."""

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import jax
from flax import nnx
from tqdm import tqdm

from wdno._files import replacing
from wdno.training.checkpoints import Checkpoints, place
from wdno.training.pending import Metrics, Pending, Step, means


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


def _step_of(line: bytes) -> float:
    """Step of a line of the log; a kill can cut one, which is of no step."""
    try:
        return float(json.loads(line)["step"])
    except (LookupError, TypeError, ValueError):
        return math.inf


def _board(folder: Path, step: int) -> Any:
    """A TensorBoard writer from that step on, or None without the extra for it."""
    try:
        from tensorboardX import SummaryWriter  # pyright: ignore
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)


class Record:
    """What a run leaves on disk and on the terminal: log, checkpoints, progress bar.

    The host does not wait for a step before it begins the next, so that the device is
    never idle. What steps gave is looked at together, at intervals and before anything
    is validated or kept.

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
        self._log = self._open_log()
        self._board = _board(self.directory / "tensorboard", self.step)
        total = steps or math.ceil(budget or 0)
        unit = "step" if steps else "s"
        done = self.step if steps else self.seconds
        self._bar = tqdm(
            total=total, initial=done, unit=unit, unit_scale=True, disable=None
        )
        self._logged = self.seconds
        self._clock, self._time = clock, clock()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._log.close()
        if self._board is not None:
            self._board.close()
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
        placed = jax.tree.map(place, restored["run"], like["run"])
        nnx.replace_by_pure_dict(state, placed)
        nnx.update(run, state)
        self.step = self.saved = step
        self.seconds = float(restored["seconds"])

    def _open_log(self) -> TextIO:
        """Open the log at the restored step: later lines belong to a lost future."""
        path = self.directory / "log.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= self.step]
        self._noted = {(_step_of(line), n) for line in kept for n in json.loads(line)}
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
        return path.open("a")

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
        rate = sum(step.rows for step in steps) / max(elapsed, 1e-9)
        entries = means(steps) | {"samples_per_second": rate}
        self._write(steps[-1].number + 1, entries)
        self._bar.set_postfix_str(
            f"loss {entries['loss']:.3g}, {rate:.0f} samples/s", refresh=False
        )
        self._bar.update(len(steps) if self._counts_steps else elapsed)

    def write(self, entries: dict[str, float]) -> None:
        """Append one line to the log, and to TensorBoard where it is installed.

        A run that died after its last line, and is resumed, writes that line only once.
        """
        if not {(self.step, name) for name in entries} <= self._noted:
            self._write(self.step, entries)

    def _write(self, step: int, entries: dict[str, float]) -> None:
        line = {"step": step, "seconds": round(self.seconds, 3), **entries}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
        if self._board is not None:
            for name, value in entries.items():
                self._board.add_scalar(name, value, step)

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
