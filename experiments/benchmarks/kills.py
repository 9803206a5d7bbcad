"""What is left of commands that are killed a hundred times, by command.

    python experiments/benchmarks/kills.py --kind train

The commands, the moments of the kills and what is compared are those of
`tests/support/killed.py`, whose test asks for the same: nothing that was said to be
written is lost, and every round ends with the bytes of a run that was left alone.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import tyro

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
from _results import amend  # noqa: E402


@dataclass(frozen=True)
class Config:
    """Which command, how often, and when.

    Attributes:
        kind: the command, `wdno data` or `wdno train`.
        kills: processes that are killed.
        seed: of the moments, and of how many devices a process has.
    """

    kind: Literal["data", "train"] = "train"
    kills: int = 100
    seed: int = 0


def main(config: Config) -> None:
    """Kill, count and store."""
    with tempfile.TemporaryDirectory() as folder:
        found = outcome(config, Path(folder))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = {"processor_seconds": round(used.ru_utime + used.ru_stime)}
    print(found, seconds)
    row = f"{config.kind}, seed {config.seed}"
    amend("kills", "rows", row, asdict(config) | found | seconds)


def outcome(config: Config, folder: Path) -> dict[str, int]:
    """Counts of what happened, by a process that may fork before JAX has devices."""
    program = ROOT / "tests/support/killed.py"
    how = [config.kind, folder, str(config.kills), str(config.seed)]
    done = subprocess.run(
        [sys.executable, program, *how],
        env=os.environ
        | {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(tyro.cli(Config))
