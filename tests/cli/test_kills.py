"""Real processes that are killed at random moments lose nothing they said to have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = 25  # `experiments/benchmarks/kills.py` counts more


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["data", "train"])
def test_killed_commands_end_with_the_bits_of_undisturbed_ones(kind, tmp_path):
    """Half of the processes have two devices, and the same bits."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests/support/killed.py", kind, tmp_path, str(KILLS)],
        env=os.environ
        | {
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == KILLS and found["lost"] == 0
    assert found["same"] == found["rounds"]
    assert found["within_writes"] > KILLS // 20
