"""A data set in the making survives death and damage, and ends with the same bits."""

import tempfile
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest
import xarray as xr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interruptions import Killed, dying, flip

from wdno.systems import Burgers, datasets, generate, trajectories, verify
from wdno.trajectory import open_trajectories

SYSTEM = Burgers(points=16, frames=3, duration=0.3)
RECIPE = {"samples": 5, "seed": 5, "chunk": 2}
SOLVED: dict[bytes, xr.Dataset] = {}


def remembered(system, key, count):
    """Each chunk is solved once in all: what is tested are the files."""
    name = jax.random.key_data(key).tobytes()
    if name not in SOLVED:
        SOLVED[name] = trajectories(system, key, count)
    return SOLVED[name]


def generated(path):
    with mock.patch.object(datasets, "trajectories", remembered):
        return generate(SYSTEM, path, **RECIPE)


class DataSet(RuleBasedStateMachine):
    """Runs that die or end, damage between them, and what is there beside a model."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "set.nc"
        reference = Path(self.folder.name) / "reference.nc"
        self.expected = generated(reference).read_bytes()
        reference.unlink()
        self.said_to_be_written = False

    @rule(at=st.integers(0, 60), share=st.sampled_from([0.0, 0.5, 1.0]))
    def run_and_die(self, at, share):
        try:
            with dying(at, share):
                generated(self.path)
            self.said_to_be_written = True
        except Killed:
            pass

    @rule()
    def run_to_the_end(self):
        generated(self.path)
        self.said_to_be_written = True
        assert [*self.path.parent.iterdir()] == [self.path]

    @rule(data=st.data())
    def damage_what_is_kept(self, data):
        pieces = Path(f"{self.path}.partial")
        kept = sorted(pieces.iterdir()) if pieces.is_dir() else []
        if kept and not self.path.exists():
            file = data.draw(st.sampled_from(kept))
            if file.stat().st_size:
                flip(file, lambda n: data.draw(st.integers(0, n - 1)))

    @invariant()
    def the_file_is_whole_or_absent(self):
        if not hasattr(self, "path"):
            return
        assert self.path.exists() or not self.said_to_be_written
        if self.path.exists():
            assert self.path.read_bytes() == self.expected

    def teardown(self):
        if hasattr(self, "folder"):
            generated(self.path)
            self.the_file_is_whole_or_absent()
            verify(self.path)
            self.folder.cleanup()


DataSet.TestCase.settings = settings(max_examples=8, stateful_step_count=6)
TestDataSet = DataSet.TestCase


def test_what_is_kept_is_not_solved_again(tmp_path):
    """Each death comes a little later; every chunk is solved once."""
    calls = []

    def counted(system, key, count):
        calls.append(jax.random.key_data(key).tobytes())
        return remembered(system, key, count)

    path, at = tmp_path / "set.nc", 0
    with mock.patch.object(datasets, "trajectories", counted):
        while not path.exists():
            at += 1
            before = {*map(str, tmp_path.rglob("*.json"))}
            done = len(calls)
            try:
                with dying(at):
                    generate(SYSTEM, path, **RECIPE)
            except Killed:
                pass
            kept = [name for name in before if "/." not in name]
            assert len(calls) - done <= 3 - len(kept)


def test_every_kind_of_damage_to_what_is_kept_is_mended(tmp_path):
    """Also to the recipe in a note, which is no reason to refuse the run."""
    reference = generated(tmp_path / "reference.nc").read_bytes()
    path, notes = tmp_path / "set.nc", tmp_path / "set.nc.partial"
    damage = (
        lambda text: text[:-9],
        lambda text: b"[]",
        lambda text: b"\xff" + text,
        lambda text: text.replace(b"Burgers", b"Burgerz"),
        lambda text: text.replace(b"256", b"257"),
        lambda text: b'{"recipe": null, "sha256": null}',
    )
    for number, change in enumerate(damage):
        with pytest.raises(Killed), dying(30):
            generated(path)
        note = notes / f"{number % 2:06d}.json"
        note.write_bytes(change(note.read_bytes()))
        assert generated(path).read_bytes() == reference
        path.unlink()


def test_what_earlier_versions_left_is_told(tmp_path):
    (tmp_path / "set.nc.partial").write_bytes(b"HDF")
    with pytest.raises(ValueError, match=r"set\.nc\.partial is a file.*Delete it"):
        generated(tmp_path / "set.nc")


def test_damage_of_the_complete_file_is_told_when_it_is_read(tmp_path):
    """Also where nothing is compressed: no value may differ without an error."""
    path = generated(tmp_path / "set.nc")
    whole, expected = path.read_bytes(), xr.load_dataset(path)
    draw = np.random.default_rng(0)
    told = 0
    for name in ("u", "x", "time"):
        values = expected[name].values
        bytes_ = values.astype(values.dtype.newbyteorder("<")).tobytes()
        place = whole.find(bytes_)
        if place < 0:
            continue  # compressed
        damaged = bytearray(whole)
        damaged[place + int(draw.integers(len(bytes_)))] ^= 4
        path.write_bytes(damaged)
        try:
            open_trajectories(path).load()
        except ValueError as error:
            told += "set.nc" in str(error)
    assert told == 2
