"""Every layout is told by its content and described."""

import sys

import numpy as np
import pytest
import xarray as xr

from wdno import cli, io
from wdno.io import torch_files
from wdno.io.formats import LAYOUTS
from wdno.trajectory import open_trajectories, save


def trajectories():
    fields = {"u": (("sample", "time", "x"), np.ones((2, 3, 4), "f4"))}
    return xr.Dataset(fields, {"time": [0.0, 1, 2], "x": np.arange(4.0)})


def plane(**attrs):
    fields = {
        name: (("sample", "time", "y", "x"), np.ones((2, 3, 4, 5), "f4"))
        for name in ("u", "v")
    }
    coords = {"time": [0.0, 1, 2], "y": np.arange(4.0), "x": np.arange(5.0)}
    return xr.Dataset(fields, coords, attrs)


def weather():
    dims = ("sample", "time", "latitude", "longitude")
    dates = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(6, "h")
    coords = {
        "time": 6.0 * np.arange(3),
        "valid_time": (("sample", "time"), dates[None]),
        "latitude": [-45.0, 45],
        "longitude": [0.0, 90, 180, 270],
    }
    return xr.Dataset({"t": (dims, np.ones((1, 3, 2, 4), "f4"))}, coords)


def smoke(folder):
    draws = np.random.default_rng(0)
    scene = folder / "sim_000002"
    scene.mkdir(parents=True)
    for name, parts in {"Density": 1, "Velocity": 2, "Control": 2}.items():
        np.save(scene / f"{name}.npy", draws.uniform(size=(4, 4, parts, 3)))
    np.save(scene / "Smoke.npy", draws.uniform(size=(3, 8)))


def simulations(folder):
    io.save_realpdebench(plane(), folder)


def coefficients(path):
    """A list is more than `wdno.io.torch_files.write` takes: see tests/test_io.py."""
    from test_io import Storage, archive, tensor

    z = np.ones((2, 2, 4, 3, 5), np.float32)
    steps = tuple(step // 4 for step in z.strides)
    part = tensor(Storage("FloatStorage", "s0", z.size), z.shape, steps)
    archive(path, {"coef": [part]}, s0=z)


BURGERS = {"u": np.ones((2, 5, 120), "f4"), "f": np.ones((2, 4, 120), "f4")}
NEEDS = {"pdebench": "h5py", "the-well": "h5py", "realpdebench": "h5py"}
MADE = {
    "trajectories": lambda p: save(trajectories(), p),
    "official-burgers": lambda p: torch_files.write(BURGERS, p),
    "official-coefficients": coefficients,
    "official-smoke": smoke,
    "official-checkpoint": lambda p: torch_files.write(
        {f"model.{n}.weight": np.ones((2, 3), "f4") for n in range(10)}, p
    ),
    "pdebench": lambda p: io.save_pdebench(trajectories(), p),
    "the-well": lambda p: io.save_the_well(plane(dataset_name="flow"), p),
    "realpdebench": simulations,
    "weatherbench": lambda p: io.save_weatherbench(weather(), p),
}


@pytest.fixture(params=MADE)
def made(request, tmp_path):
    """Name of a layout, and a file of it under a suffix that says nothing."""
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    MADE[request.param](tmp_path / "file")
    return request.param, tmp_path / "file"


def test_every_layout_is_made_here():
    assert MADE.keys() == LAYOUTS.keys()


def test_layouts_are_told_by_their_content(made):
    assert io.layout_of(made[1]) == made[0]


def test_layouts_are_described(made, capsys):
    name, path = made
    cli.main(["info", str(path)])
    title, *content = capsys.readouterr().out.splitlines()
    assert title.startswith(LAYOUTS[name].title) and title.endswith("opens it.")
    if name == "official-checkpoint":
        assert content[0] == "10 tensors of 60 numbers"
        assert content[1] == "0.weight (2, 3)" and content[-1] == "… and 2 more"
    else:
        assert "sample: " in "\n".join(content)
        assert isinstance(io.open_any(path), xr.Dataset)


def test_pdebench_groups_are_told_too(tmp_path):
    pytest.importorskip("h5py")
    io.save_pdebench(trajectories(), tmp_path / "a.h5", groups=True)
    assert io.layout_of(tmp_path / "a.h5") == "pdebench"


def test_one_simulation_is_told_too(tmp_path):
    pytest.importorskip("h5py")
    simulations(tmp_path)
    assert io.layout_of(tmp_path / "0001.h5") == "realpdebench"


def test_copies_as_trajectories_are_of_this_package(made, tmp_path):
    """What was opened from any layout can be kept as NetCDF, and is told as that."""
    name, path = made
    if name in ("official-checkpoint", "official-coefficients"):
        return
    data = io.open_any(path)
    save(data, tmp_path / "copy.nc")
    assert io.layout_of(tmp_path / "copy.nc") == "trajectories"
    xr.testing.assert_equal(open_trajectories(tmp_path / "copy.nc"), data)


def test_netcdf_with_names_of_another_layout_is_netcdf(tmp_path):
    pytest.importorskip("h5py")
    save(trajectories().rename(u="trajectory"), tmp_path / "a.h5")
    assert io.layout_of(tmp_path / "a.h5") == "trajectories"


def test_zarr_folders_are_told(tmp_path):
    pytest.importorskip("zarr")
    trajectories().to_zarr(tmp_path / "a")
    assert io.layout_of(tmp_path / "a") == "trajectories"
    io.save_weatherbench(weather(), tmp_path / "w.zarr")
    assert io.layout_of(tmp_path / "w.zarr") == "weatherbench"


def test_classic_netcdf_is_told(tmp_path):
    trajectories().to_netcdf(tmp_path / "a", engine="scipy")
    assert io.layout_of(tmp_path / "a") == "trajectories"


def test_without_h5py_netcdf_is_told_and_others_are_advised(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    save(trajectories(), tmp_path / "a")
    io.save_pdebench(trajectories(), tmp_path / "b")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert io.layout_of(tmp_path / "a") == "trajectories"
    with pytest.raises(ValueError, match=r"pip install 'wdno\[hdf5\]'"):
        io.layout_of(tmp_path / "b")


def test_what_is_of_no_layout_is_told(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="none at .*absent"):
        io.layout_of(tmp_path / "absent")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="begins with b'hell'"):
        io.layout_of(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ValueError, match="begins with b''"):
        io.layout_of(tmp_path / "empty")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"holds \['notes.txt'\]"):
        io.layout_of(tmp_path / "folder")
    trajectories().isel(sample=0).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ValueError, match="dimensions {'time': 3, 'x': 4}"):
        io.layout_of(tmp_path / "other.nc")
    with pytest.raises(SystemExit):
        cli.main(["info", str(tmp_path / "text")])
    assert "Known layouts are trajectories, " in capsys.readouterr().err


def test_truncated_files_are_told(tmp_path):
    pytest.importorskip("h5py")
    for name in ("pdebench", "trajectories", "official-burgers"):
        path = tmp_path / name
        MADE[name](path)
        path.write_bytes(path.read_bytes()[:1500])
        with pytest.raises(ValueError, match=name):
            io.describe(path)
