"""Results are written as files can hold them, or refused before work begins."""

import json

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr

from wdno.trajectory import check_output, open_trajectories, save

ATTRIBUTES = {
    "true": (True, "true"),
    "numpy_true": (np.True_, "true"),
    "none": (None, "null"),
    "object": ({"a": [1, None]}, '{"a": [1, null]}'),
    "nested": ([[1, 2], [3]], "[[1, 2], [3]]"),
    "mixed": ([1, "a"], '[1, "a"]'),
    "empty": ([], "[]"),
    "bytes": (b"m s-1", "m s-1"),
    "date": (np.datetime64("2020-01-02"), "2020-01-02"),
    "complex": (1 + 2j, '"(1+2j)"'),
    "set": ({"b", "a"}, '["a", "b"]'),
    "big": (2**70, str(2**70)),
    "text": ("m s-1", "m s-1"),
    "words": (["a", "b"], ["a", "b"]),
    "number": (2.5, 2.5),
    "whole": (3, 3),
    "numbers": ([1.0, 2.0], [1.0, 2.0]),
}


@pytest.fixture
def dataset():
    coords = {"time": np.arange(3.0), "x": np.arange(4.0)}
    values = np.arange(24.0).reshape(2, 3, 4)
    return xr.Dataset({"u": (("sample", *coords), values)}, coords)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_attributes_that_no_file_holds_are_text(dataset, suffix, tmp_path):
    if suffix == "zarr":
        pytest.importorskip("zarr")
    given = {name: value for name, (value, _) in ATTRIBUTES.items()}
    dataset.u.attrs, dataset.attrs = given, {**given, 3: "number as name"}
    dataset.x.attrs = given
    save(dataset, tmp_path / f"a.{suffix}")
    found = open_trajectories(tmp_path / f"a.{suffix}")
    xr.testing.assert_equal(found.load(), dataset)
    for holder in (found, found.u, found.x):
        for name, (_, expected) in ATTRIBUTES.items():
            assert np.array_equal(holder.attrs[name], expected), name
    assert found.attrs["3"] == "number as name"
    assert json.loads(found.attrs["object"]) == {"a": [1, None]}


def test_attributes_that_say_how_a_file_was_encoded_change_no_value(dataset, tmp_path):
    marks = {"scale_factor": 0.1, "add_offset": 3.0, "_FillValue": 5.0}
    dataset.u.attrs = {**marks, "units": "K"}
    dates = np.datetime64("2020-01-01", "ns") + np.arange(3)
    dataset = dataset.assign_coords(time=("time", dates, {"units": "s"}))
    save(dataset, tmp_path / "a.nc")
    found = xr.load_dataset(tmp_path / "a.nc")
    np.testing.assert_array_equal(found.u, dataset.u)
    np.testing.assert_array_equal(found.time, dataset.time)
    assert found.u.attrs == {"units": "K"}


@pytest.mark.parametrize(
    "labels",
    [["a", "b"], [None, 2], [(1, 2), "b"], [b"a", b"b"]],
    ids=["text", "none", "tuple", "bytes"],
)
def test_labels_of_any_kind_are_written(dataset, labels, tmp_path):
    column = np.empty(2, object)
    column[:] = labels
    save(dataset.assign_coords(scene=("sample", column)), tmp_path / "a.nc")
    found = xr.load_dataset(tmp_path / "a.nc")
    np.testing.assert_array_equal(found.u, dataset.u)
    assert found.scene.dtype.kind in "OU" and len(set(found.scene.values)) == 2


def test_instants_of_other_calendars_and_stacked_samples_are_written(dataset, tmp_path):
    days = [cftime.DatetimeNoLeap(2001, 2, day) for day in (27, 28, 28)]
    save(dataset.assign_coords(day=("time", days)), tmp_path / "a.nc")
    assert xr.load_dataset(tmp_path / "a.nc").day.values.tolist() == days
    stacked = dataset.expand_dims(run=[5]).stack(both=("run", "sample"))
    save(stacked, tmp_path / "b.nc")
    assert xr.load_dataset(tmp_path / "b.nc").run.values.tolist() == [5, 5]


def test_a_store_replaces_a_store(dataset, tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    save(dataset, path)
    save(2 * dataset, path)
    xr.testing.assert_equal(open_trajectories(path).load(), 2 * dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_numbers_have_checksums_in_pieces_that_are_quickly_read(tmp_path):
    dims = ("sample", "time", "x")
    sets = {
        "small": np.ones((2, 3, 4)),
        "long": np.ones((1, 3000, 64), np.float32),
        "many": np.ones((9000, 3, 4), np.int8),
        "empty": np.ones((2, 0, 4)),
        "dates": np.full((2, 3, 4), np.datetime64("2020-01-01", "ns")),
    }
    expected = {"small": [2, 3, 4], "long": [1, 1024, 64], "many": [9000, 3, 4]}
    for name, values in sets.items():
        labels = {"label": ("sample", ["a"] * len(values)), "number": 3.0}
        save(xr.Dataset({"u": (dims, values)}, labels), tmp_path / name)
        with netCDF4.Dataset(tmp_path / name) as file:
            assert file["u"].filters()["fletcher32"] or name == "empty"
            assert file["u"].chunking() == expected.get(name, file["u"].chunking())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent/a.nc", "Create the folder"),
        ("absent/a.zarr", "Create the folder"),
        ("folder", "is a folder"),
        ("folder.zarr", "is a folder"),
        ("file/a.nc", "Create the folder"),
        ("locked/a.nc", "does not"),
    ],
)
def test_outputs_are_refused_before_work_begins(name, said, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    for folder in ("folder", "folder.zarr", "locked"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("os.access", lambda path, _: path.name != "locked")
    with pytest.raises(OSError, match=said):
        check_output(tmp_path / name)
    assert check_output(tmp_path / "folder" / "a.nc").name == "a.nc"


def test_what_is_no_dataset_or_path_is_refused_in_a_sentence(
    dataset, tmp_path, unchecked
):
    with pytest.raises(ValueError, match=r"to_dataset\(name="):
        save(dataset.u, tmp_path / "a.nc")
    for call in (lambda: save(dataset, 5), lambda: open_trajectories(None)):
        with pytest.raises(ValueError, match="have a path, text"):
            call()
