"""Where results go: one JSON file a claim, with what is needed to measure it again."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def record(name: str, config: Mapping[str, Any], **results: Any) -> Path:
    """Write ``results/<name>.json`` with command, commit, machine and configuration."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    script = Path(sys.argv[0]).resolve()
    entry = {
        "command": f"python {script.relative_to(RESULTS.parents[1])} "
        + " ".join(sys.argv[1:]),
        "commit": commit.stdout.strip(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}",
        "config": dict(config),
        **results,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(entry, indent=1, default=str) + "\n")
    return path
