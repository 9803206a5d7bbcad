"""Data at an address or in a zip are those of the file or folder they are of."""

import shutil
import sys

import numpy as np
import pytest
import xarray as xr
from served import serving

from wdno.trajectory import open_trajectories, save

pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same data in every form."""
    folder = tmp_path_factory.mktemp("places")
    save(data(), folder / "a.nc")
    save(data(), folder / "a.zarr")
    data().to_zarr(folder / "old.zarr", zarr_format=2)
    shutil.make_archive(str(folder / "inside"), "zip", folder / "a.zarr")
    shutil.make_archive(str(folder / "around"), "zip", folder, "a.zarr")
    (folder / "cut.zip").write_bytes((folder / "around.zip").read_bytes()[:400])
    (folder / "text.txt").write_text("no data")
    shutil.make_archive(str(folder / "other"), "zip", folder, "text.txt")
    return folder


def data():
    values = np.random.default_rng(0).standard_normal((2, 9, 4))
    coords = {"time": np.arange(9.0), "x": np.arange(4.0)}
    return xr.Dataset({"u": (("sample", *coords), values)}, coords)


@pytest.mark.parametrize("name", ["inside.zip", "around.zip"])
def test_zarr_in_a_zip(name, folder):
    xr.testing.assert_identical(open_trajectories(folder / name).load(), data())


NAMES = ["a.nc", "a.zarr", "old.zarr", "inside.zip", "around.zip"]


@pytest.mark.parametrize("name", NAMES)
def test_data_at_an_address(name, folder):
    pytest.importorskip("aiohttp")
    with serving(folder) as served:
        found = open_trajectories(f"{served.url}/{name}")
        xr.testing.assert_identical(found.load(), data())


REFUSED = {
    "{url}/none.nc": (FileNotFoundError, "nothing at .*none.nc, or"),
    "{url}/text.txt": (ValueError, "begins with b'no d'"),
    "{folder}/cut.zip": (ValueError, "cut.zip holds none, or is damaged"),
    "{folder}/other.zip": (
        ValueError,
        "holds a Zarr store, but .*other.zip holds none",
    ),
    "http://127.0.0.1:9/a.nc": (FileNotFoundError, "cannot be reached"),
    "nothing://a/b.nc": (ValueError, "kind that fsspec knows.*nothing://"),
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_not_there_is_said(source, folder):
    pytest.importorskip("aiohttp")
    kind, message = REFUSED[source]
    with serving(folder) as served, pytest.raises(kind, match=message):
        open_trajectories(source.format(url=served.url, folder=folder))


@pytest.mark.parametrize(("package", "address"), [("s3fs", "s3://a/b"), ("fsspec", "")])
def test_a_package_that_is_missing_is_named(package, address, folder, monkeypatch):
    for name in ("s3fs", "fsspec"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if package == "fsspec":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"{package}"):
        open_trajectories(address or "https://a/b.nc")
