"""Every layout is told by its content and described."""

import sys

import numpy as np
import pytest
import xarray as xr
from torch_archive import archive, saved, stored

from wdno import cli, io
from wdno.io.formats import LAYOUTS
from wdno.trajectory import open_trajectories, save


def trajectories():
    fields = {"u": (("sample", "time", "x"), np.ones((2, 3, 4), "f4"))}
    return xr.Dataset(fields, {"time": [0.0, 1, 2], "x": np.arange(4.0)})


def hdf5(path, arrays):
    """A file of arrays by their path; skips the test where h5py is not installed."""
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


LINE = np.arange(4.0)
FLOW = {f"measured_data/{name}": np.ones((3, 4, 5), "f4") for name in ("u", "v")}


def pdebench(path):
    grid = {"t-coordinate": LINE, "x-coordinate": LINE}
    hdf5(path, {"tensor": np.ones((2, 3, 4), "f4"), **grid})


def pdebench_groups(path):
    grid = {"0000/grid/t": LINE[:3], "0000/grid/x": LINE}
    hdf5(path, {"0000/data": np.ones((3, 4, 1), "f4"), **grid})


def the_well(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["n_trajectories"] = 2
        file["t0_fields/u"] = np.ones((2, 3, 4), "f4")
        flags = {"sample_varying": True, "time_varying": True}
        file["t0_fields/u"].attrs.update(flags)
        file["dimensions/time"], file["dimensions/x"] = LINE[:3], LINE
        file["dimensions"].attrs["spatial_dims"] = ["x"]


def simulations(folder):
    folder.mkdir(exist_ok=True)
    for n in range(2):
        hdf5(folder / f"{n:04d}.h5", FLOW)


def weather():
    dates = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(6, "h")
    coords = {"time": dates, "latitude": [-45.0, 45], "longitude": [0.0, 90, 180, 270]}
    return xr.Dataset({"t": (tuple(coords), np.ones((3, 2, 4), "f4"))}, coords)


def smoke(folder):
    draws = np.random.default_rng(0)
    scene = folder / "sim_000002"
    scene.mkdir(parents=True)
    for name, parts in {"Density": 1, "Velocity": 2, "Control": 2}.items():
        np.save(scene / f"{name}.npy", draws.uniform(size=(4, 4, parts, 3)))
    np.save(scene / "Smoke.npy", draws.uniform(size=(3, 8)))


def coefficients(path):
    z = np.ones((2, 2, 4, 3, 5), np.float32)
    archive(path, {"coef": [stored("s0", z)]}, s0=z)


BURGERS = {"u": np.ones((2, 5, 120), "f4"), "f": np.ones((2, 4, 120), "f4")}
MADE = {
    "trajectories": lambda p: save(trajectories(), p),
    "official-burgers": lambda p: saved(p, BURGERS),
    "official-coefficients": coefficients,
    "official-smoke": smoke,
    "official-checkpoint": lambda p: saved(
        p, {f"model.{n}.weight": np.ones((2, 3), "f4") for n in range(10)}
    ),
    "pdebench": pdebench,
    "the-well": the_well,
    "realpdebench": simulations,
    "weatherbench": lambda p: weather().to_netcdf(p),
}


@pytest.fixture(params=MADE)
def made(request, tmp_path):
    """Name of a layout, and a file of it under a suffix that says nothing."""
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
    pdebench_groups(tmp_path / "a.h5")
    assert io.layout_of(tmp_path / "a.h5") == "pdebench"


def test_one_simulation_is_told_too(tmp_path):
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
    weather().to_zarr(tmp_path / "w")
    assert io.layout_of(tmp_path / "w") == "weatherbench"


def test_classic_netcdf_is_told(tmp_path):
    trajectories().to_netcdf(tmp_path / "a", engine="scipy")
    assert io.layout_of(tmp_path / "a") == "trajectories"


def test_without_h5py_netcdf_is_told_and_others_are_advised(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    save(trajectories(), tmp_path / "a")
    pdebench(tmp_path / "b")
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


def test_unread_files_of_pdebench_say_which_are_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "ns_incom.h5", "w") as file:
        for name, axes in {"velocity": 5, "particles": 5, "force": 4, "t": 2}.items():
            file[name] = np.zeros((2,) * axes)
    with pytest.raises(ValueError, match="advection, Burgers.*incompressible flow"):
        io.describe(tmp_path / "ns_incom.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(ValueError, match="none of them") as refused:
        io.describe(tmp_path / "other.h5")
    assert "pip install" not in str(refused.value)
