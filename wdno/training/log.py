"""Lines of a training run on disk, and the bar on the terminal."""

import json
import math
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wdno._files import replacing

__all__ = ["Log"]


class Log:
    """``log.jsonl``, TensorBoard where it is installed, and the progress bar.

    Args:
        folder: of the run.
        step: from which on lines are written: later ones belong to a lost future.
        total: length of the run, in its unit.
        done: of that.
        unit: "step" or "s".
    """

    def __init__(
        self, folder: Path, step: int, total: int, done: int | float, unit: str
    ) -> None:
        path = folder / "log.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        self._noted = {(_step_of(line), n) for line in kept for n in json.loads(line)}
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
        self._file = path.open("a")
        self._board = _board(folder / "tensorboard", step)
        self._bar = tqdm(
            total=total, initial=done, unit=unit, unit_scale=True, disable=None
        )

    def close(self) -> None:
        """Let go of files and terminal."""
        self._bar.close()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def advance(self, amount: int | float, note: str) -> None:
        """Move the bar."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)

    def write(self, step: int, seconds: float, entries: dict[str, float]) -> None:
        """Append a line."""
        line = {"step": step, "seconds": round(seconds, 3), **entries}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in entries.items():
                self._board.add_scalar(name, value, step)

    def write_once(self, step: int, seconds: float, entries: dict[str, float]) -> None:
        """Append a line, unless the run had died after it, and is resumed."""
        if not {(step, name) for name in entries} <= self._noted:
            self.write(step, seconds, entries)


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
