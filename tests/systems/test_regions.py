"""Data sets as Zarr stores: by threads, in parts, on a cluster whose workers die."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from wdno.systems import Burgers, generate, regions, tasks, verify
from wdno.systems.base import trajectories
from wdno.systems.cluster import Watch
from wdno.trajectory import open_trajectories

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SYSTEM = Burgers(points=16, frames=3, duration=0.3)
RECIPE = {"samples": 5, "seed": 5, "chunk": 2}
SOLVED: dict[tuple[bytes, int], object] = {}


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    """Each chunk is solved once in all: what is tested are the files."""

    def solved(system, key, count):
        name = jax.random.key_data(key).tobytes(), count
        if name not in SOLVED:
            SOLVED[name] = trajectories(system, key, count)
        return SOLVED[name]

    monkeypatch.setattr(tasks, "trajectories", solved)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return generate(SYSTEM, tmp_path_factory.mktemp("file") / "set.nc", **RECIPE)


def content(store):
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def unsolvable(monkeypatch):
    def failing(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "trajectories", failing)


def test_a_store_has_the_values_and_the_checksum_of_the_file(file, tmp_path):
    store = generate(SYSTEM, tmp_path / "set.zarr", **RECIPE)
    assert verify(store) == verify(file)
    found, truth = open_trajectories(store), open_trajectories(file)
    for name, values in truth.variables.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].attrs == values.attrs
    assert json.loads(found.attrs["recipe"]) == json.loads(truth.attrs["recipe"])
    assert [path.name for path in tmp_path.iterdir()] == ["set.zarr"]


def test_parts_in_any_order_twice_and_by_threads_make_the_same_store(
    tmp_path, monkeypatch
):
    whole = content(generate(SYSTEM, tmp_path / "whole.zarr", **RECIPE))
    path = tmp_path / "parts.zarr"
    for chunks in (range(2, 3), range(0, 2), range(1, 3)):
        generate(SYSTEM, path, **RECIPE, chunks=chunks)
        assert not path.exists()
    unsolvable(monkeypatch)  # all are there
    generate(SYSTEM, path, **RECIPE, workers=2)
    assert content(path) == whole
    generate(SYSTEM, path, **RECIPE)  # left alone
    regions.Regions(path, "", 5, 2).keep(0, open_trajectories(path))  # by a late one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.zarr", "whole.zarr"]
    with pytest.raises(ValueError, match="another path, or delete"):
        generate(SYSTEM, path, **{**RECIPE, "seed": 6})


def test_what_has_no_marker_or_other_values_is_written_again(tmp_path, monkeypatch):
    whole = content(generate(SYSTEM, tmp_path / "whole.zarr", **RECIPE))
    path = tmp_path / "set.zarr"
    generate(SYSTEM, path, **RECIPE, chunks=range(3))
    damaged = tmp_path / "set.zarr.partial" / "u" / "c" / "0" / "0" / "0"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    (tmp_path / "set.zarr.markers" / "000002.json").unlink()
    again = []
    solve = tasks.chunk_of
    noted = lambda *chunk: again.append(chunk[2]) or solve(*chunk)  # noqa: E731
    monkeypatch.setattr(tasks, "chunk_of", noted)
    generate(SYSTEM, path, **RECIPE)
    assert again == [0, 2]
    assert content(path) == whole


def test_no_file_of_a_store_is_of_two_chunks(tmp_path, monkeypatch):
    """Nor larger than it has to be: 6 samples in files of 3, where 4 would fit."""
    row = 4 * 4 * 16  # bytes of u: the one with most instants
    monkeypatch.setattr(regions, "LARGEST", 4 * row + 1)
    recipe = {"samples": 8, "seed": 0, "chunk": 6}
    store = generate(SYSTEM, tmp_path / "set.zarr", **recipe)
    array = regions.opened(store, "r")["u"]
    assert (array.chunks[0], array.shards[0]) == (1, 3)  # each sample is read alone


def test_runs_that_exclude_each_other_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "set.zarr"
    generate(SYSTEM, path, **RECIPE, chunks=range(1))
    with pytest.raises(ValueError, match=r'(?s)"seed": 5.*"seed": 6'):
        generate(SYSTEM, path, **{**RECIPE, "seed": 6})
    waiting = regions.Regions(path, "", 5, 2)
    with waiting.running(alone=False):
        with pytest.raises(ValueError, match="another one is writing"):
            generate(SYSTEM, path, **RECIPE)
        generate(SYSTEM, path, **RECIPE, chunks=range(1, 2))
    with waiting.running(alone=True), pytest.raises(ValueError, match="another one"):
        generate(SYSTEM, path, **RECIPE, chunks=range(1, 2))
    monkeypatch.setattr(tasks, "package_version", lambda: "0")
    with pytest.raises(ValueError, match="one version of wdno"):
        generate(SYSTEM, path, **RECIPE)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a.nc", {"chunks": range(1)}, "go into a Zarr store"),
        ("a.nc", {"cluster": "tcp://nowhere:1"}, "go into a Zarr store"),
        ("a.zarr", {"chunks": range(2, 4)}, "numbered from 0 to 2, but got 2:4"),
    ],
)
def test_what_no_store_can_do_is_refused(tmp_path, name, change, message):
    with pytest.raises(ValueError, match=message):
        generate(SYSTEM, tmp_path / name, **RECIPE, **change)
    assert not (tmp_path / name).exists()


def test_workers_that_finish_nothing_are_told_once():
    """One that hangs, one that goes on, one that is idle, one that comes later."""
    watch = Watch(10.0)
    assert watch.overdue({"a": ["1", "2"], "b": ["3", "4"], "c": []}, 0.0) == []
    assert watch.overdue({"a": ["1", "2"], "b": ["4", "5"], "c": []}, 9.0) == []
    more = {"a": ["1", "2", "6"], "b": ["4", "5"], "c": [], "d": ["7"]}
    assert watch.overdue(more, 10.0) == ["a"]
    assert watch.overdue(more, 11.0) == []
    assert watch.overdue(more, 19.0) == ["b"]


@pytest.mark.slow
def test_a_cluster_whose_workers_die_and_hang_makes_the_same_bytes(
    tmp_path, monkeypatch
):
    """One of three processes after the other exits, is killed, freezes, hangs."""
    pytest.importorskip("distributed")
    monkeypatch.syspath_prepend(EXPERIMENTS / "benchmarks")
    import killed_workers

    monkeypatch.setenv("JAX_ENABLE_X64", "1")  # as here
    config = killed_workers.Config(chunks=16, disturbances=4, patience=25.0)
    found = killed_workers.survived(config, tmp_path)
    assert found["same_bytes"]
    assert min(found["disturbances"].values()) == 1
