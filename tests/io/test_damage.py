"""Damaged files are refused in a sentence with their name, or have the same values.

What a format has no checksum of may be other values; then nobody can tell.
"""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from damage import LAYOUTS

for name in ("h5py", "zarr"):
    pytest.importorskip(name)
SUPPORT = Path(__file__).resolve().parents[1] / "support"
CHECKED = {"model", "official-checkpoint"}
"""Layouts with checksums of everything that is read."""
SLOW = 200


def outcomes(folder, first, last, *names):
    """What came of each variant, by layout; a reader that crashes ends it."""
    done = subprocess.run(
        [sys.executable, SUPPORT / "damage.py", folder, str(first), str(last), *names],
        env=os.environ
        | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(SUPPORT.parents[1])},
        capture_output=True,
        text=True,
    )
    found = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        name, index, *outcome = line.split(" ", 2)
        found[name].append(json.loads(outcome[0]) if outcome else "crashes")
    assert done.returncode == 0, (line, done.stderr[-2000:])
    return found


def check(found, count):
    for name, each in found.items():
        assert len(each) == count
        allowed = {"refused", "same", *(() if name in CHECKED else ("differs",))}
        wrong = {outcome for outcome in each if outcome not in allowed}
        assert not wrong, (name, wrong)
        if name in CHECKED:
            assert each.count("refused") > count // 2
    # much damage hits padding, or values that no checksum covers
    assert (
        sum(each.count("refused") for each in found.values()) > len(found) * count / 5
    )


def test_damaged_files_of_every_layout(tmp_path):
    found = outcomes(tmp_path, 0, 10, *LAYOUTS)
    assert found.keys() == {*LAYOUTS}
    check(found, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_many_damaged_files(name, tmp_path):
    check(outcomes(tmp_path, 0, SLOW, name), SLOW)
