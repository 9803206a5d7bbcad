"""What a run has logged, stage by stage."""

import json
from pathlib import Path
from typing import Any

from wdno._files import located

__all__ = ["history"]

STAGES = {"mean": "mean", "denoiser": "residual", ".": "whole fields"}
"""What a stage learns, by its folder, in their order."""


def history(run: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of the log of each stage of a run, by what the stage learns.

    Args:
        run: folder of the run, which may not have ended.

    Returns:
        Under "mean" and "residual", or "whole fields" of a model without a mean, one
        mapping a line: ``step``, ``seconds`` of training in this stage, and numbers
        such as ``loss``, ``gradient_norm`` or ``validation_error``. Nothing where all
        is fitted at once.

    Raises:
        FileNotFoundError: there is no such folder.

    Example:
        >>> figure = wdno.plotting.learning_curve(history("runs/heat"))
    """
    folder = located(run)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"A run has a folder, but there is none at {folder}. Give the one that "
            "`train` wrote to."
        )
    logs = {name: folder / place / "log.jsonl" for place, name in STAGES.items()}
    found = {name: _lines(log) for name, log in logs.items() if log.is_file()}
    return {name: lines for name, lines in found.items() if lines}


def _lines(log: Path) -> list[dict[str, Any]]:
    """Whole lines: a kill can cut the last."""
    lines = log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]
