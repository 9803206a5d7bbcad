"""What comes of opening damaged files, by their layout: refused, the same, or other.

    python experiments/benchmarks/damage.py

The files, the damage and the readers are those of `tests/support/damage.py`. A value
that differs without an error was changed where the format has no checksum.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "experiments"), str(ROOT / "tests/support")]
from _results import record  # noqa: E402
from damage import LAYOUTS  # noqa: E402


@dataclass(frozen=True)
class Config:
    """How many.

    Attributes:
        variants: damaged copies of each layout; the number of one is its seed.
    """

    variants: int = 200


def main(config: Config) -> None:
    """Count, print and store."""
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in LAYOUTS:
            found = outcomes(folder, name, config.variants)
            counts[name] = dict(sorted(collections.Counter(found).items()))
            print(name, counts[name], flush=True)
    record("damage", asdict(config), outcomes=counts)


def outcomes(folder: str, name: str, variants: int) -> list[str]:
    """Of each variant, in a process that a library may crash."""
    program = ROOT / "tests/support/damage.py"
    done = subprocess.run(
        [sys.executable, program, folder, "0", str(variants), name],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line.split(" ", 2)[2]) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main(tyro.cli(Config))
