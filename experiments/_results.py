"""Where results go: one JSON file a claim, with what is needed to measure it again."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).resolve().parent / "results"


def best(call: Callable[[], object], repeats: int) -> float:
    """Least seconds of a compiled call."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return min(times)


def portable(value: object) -> str:
    """As text, and of a file outside the project its name alone."""
    path = Path(str(value))
    return path.name if path.is_absolute() else str(value)


def provenance() -> dict[str, str]:
    """Command and commit that measure now."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    script = Path(sys.argv[0]).resolve()
    return {
        "command": f"python {script.relative_to(RESULTS.parents[1])} "
        + " ".join(map(portable, sys.argv[1:])),
        "commit": commit.stdout.strip(),
    }


def record(name: str, config: Mapping[str, Any], **results: Any) -> Path:
    """Write ``results/<name>.json`` with what is needed to measure it again."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB, on Linux
    entry = {
        **provenance(),
        "machine": _machine(),
        "peak_memory_gib": round(peak / 2**20, 2),
        "config": dict(config),
        **results,
    }
    return _written(name, entry)


def amend(name: str, part: str, row: str, values: Mapping[str, Any]) -> Path:
    """Write one row of a part of ``results/<name>.json`` anew; all others stay.

    Rows come from different commands, so that each has its own and its commit.
    """
    path = RESULTS / f"{name}.json"
    stored = json.loads(path.read_text())[part] if path.exists() else {}
    rows = stored | {row: {**provenance(), "machine": _machine(), **values}}
    return _written(name, {part: rows})


def _machine() -> str:
    return f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}"


def _written(name: str, entry: Mapping[str, Any]) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(entry, indent=1, default=portable) + "\n")
    return path
