"""Files are whole or absent, whenever a process dies."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interruptions import Killed, dying

from wdno import _files
from wdno._files import replacing, standing
from wdno.trajectory import open_trajectories, save


def numbers(value):
    values = np.full((2, 3, 4), float(value))
    coords = {"time": np.arange(3.0), "x": np.arange(4.0)}
    return xr.Dataset({"u": (("sample", *coords), values)}, coords)


def write_text(path, value):
    with replacing(path) as temporary:
        temporary.write_text(f"{value} " * 100)


def read_text(path):
    words = set(standing(path).read_text().split())
    assert len(words) == 1
    return int(*words)


def write_folder(path, value):
    with replacing(path) as temporary:
        temporary.mkdir()
        for name in "abc":
            (temporary / name).write_text(str(value))


def read_folder(path):
    (value,) = {entry.read_text() for entry in standing(path).iterdir()}
    assert len([*standing(path).iterdir()]) == 3
    return int(value)


def write_trajectories(path, value):
    save(numbers(value), path)


def read_trajectories(path):
    with open_trajectories(path) as found:
        xr.testing.assert_equal(found.load(), numbers(int(found.u[0, 0, 0])))
        return int(found.u[0, 0, 0])


KINDS = {
    "text.json": (write_text, read_text),
    "folder": (write_folder, read_folder),
    "netcdf.nc": (write_trajectories, read_trajectories),
}


class Store(RuleBasedStateMachine):
    """A file that is replaced again and again, by processes that may die."""

    @initialize(name=st.sampled_from([*KINDS]))
    def begin(self, name):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / name
        self.write, self.read = KINDS[name]
        self.value, self.possible = 0, {None}

    @rule()
    def replace(self):
        self.value += 1
        self.write(self.path, self.value)
        self.possible = {self.value}
        assert [*self.path.parent.iterdir()] == [self.path]  # nothing else is left

    @rule(at=st.integers(0, 16), share=st.sampled_from([0.0, 0.5, 1.0]))
    def replace_and_die(self, at, share):
        self.value += 1
        try:
            with dying(at, share):
                self.write(self.path, self.value)
            self.possible = {self.value}
        except Killed:
            self.possible |= {self.value}

    @invariant()
    def the_file_is_whole(self):
        if not hasattr(self, "path"):
            return
        there = standing(self.path).exists()
        found = self.read(self.path) if there else None
        assert found in self.possible
        self.possible = {found}

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


Store.TestCase.settings = settings(max_examples=15, stateful_step_count=10)
TestStore = Store.TestCase


def test_a_zarr_store_survives_death_at_every_operation(tmp_path):
    """From the first directory that is made to the last leftover that is removed."""
    pytest.importorskip("zarr")
    path, at, old, done = tmp_path / "a.zarr", 0, 0, False
    write_trajectories(path, 0)
    while not done:
        try:
            with dying(at):
                write_trajectories(path, at + 1)
            done = True
        except Killed:
            pass
        found = read_trajectories(path)
        assert found == at + 1 if done else found in (old, at + 1)
        old, at = found, at + max(1, at // 6)
    assert at > 6 and [*tmp_path.iterdir()] == [path]


DYING = """
import os, signal
from wdno._files import replacing
with replacing("a.json") as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path,
):
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(_files.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    left = tmp_path / done.stdout.strip()
    assert done.returncode == -9 and left.read_text() == "half"
    living = tmp_path / re.sub(r"\d+\.json$", f"{os.getppid()}.json", left.name)
    living.write_text("in work")
    other = tmp_path / ".a.elsewhere.1.json"
    other.write_text("of another machine")
    write_text(tmp_path / "a.json", 1)
    assert {*tmp_path.iterdir()} == {tmp_path / "a.json", living, other}


def test_files_reach_the_disk_before_their_name_does(tmp_path, monkeypatch):
    """As after a power failure, which the order of these calls decides about."""
    calls, folder = [], tmp_path
    inodes = {}

    def fsync(handle):
        calls.append(("sync", inodes.get(os.fstat(handle).st_ino)))

    def move(source, target):
        calls.append(("name", Path(target).name))

    with replacing(folder / "a.json") as temporary:
        temporary.write_text("whole")
        inodes[temporary.stat().st_ino] = "a.json"
        inodes[folder.stat().st_ino] = "folder"
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", move)
    assert calls == [("sync", "a.json"), ("name", "a.json"), ("sync", "folder")]
