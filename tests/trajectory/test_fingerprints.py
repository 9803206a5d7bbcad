"""Data are known again by a part of them, spread over the whole."""

import numpy as np
import pytest
import xarray as xr

from wdno.trajectory import fingerprint, open_trajectories, save


@pytest.fixture(scope="module")
def data():
    values = np.random.default_rng(0).standard_normal((40, 9, 6)).astype("float32")
    coords = {"time": np.arange(9.0), "x": np.arange(6.0)}
    heat = xr.Variable(("sample", "time", "x"), values, {"units": "K", "levels": [1]})
    depth = ("sample", np.arange(40.0))
    return xr.Dataset({"heat": heat, "depth": depth}, coords, {"source": "solver"})


SAME = {
    "turned axes": lambda data: data.transpose("x", "time", "sample"),
    "another byte order": lambda data: data.assign(heat=data.heat.astype(">f4")),
    "a copy": lambda data: data.copy(deep=True),
}
OTHER = {
    "one trajectory": lambda d: d.assign(heat=d.heat.where(d.sample != 17, 0)),
    "one instant": lambda d: d.assign(heat=d.heat.where(d.time != 5, 0)),
    "one number a sample": lambda d: d.assign(depth=d.depth.where(d.depth != 3, 0)),
    "a coordinate": lambda d: d.assign_coords(x=2 * d.x),
    "a unit": lambda d: d.assign(heat=d.heat.assign_attrs(units="degC")),
    "an attribute": lambda d: d.assign_attrs(source="camera"),
    "fewer": lambda d: d.isel(sample=slice(39)),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_data_have_one_fingerprint(change, data):
    turned = change(data.assign_coords(sample=np.arange(40)))
    assert fingerprint(turned) == fingerprint(data.assign_coords(sample=np.arange(40)))


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_other_data_have_another(change, data):
    data = data.assign_coords(sample=np.arange(40))
    assert fingerprint(change(data)) != fingerprint(data)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_file_has_that_of_its_values(suffix, data, tmp_path):
    if suffix == "zarr":
        pytest.importorskip("zarr")
    save(data, tmp_path / f"a.{suffix}")
    assert fingerprint(open_trajectories(tmp_path / f"a.{suffix}")) == fingerprint(data)


def test_of_much_data_little_is_read():
    """Were all of it, memory would not do."""
    many = np.lib.stride_tricks.as_strided(
        np.arange(7.0), (10_000, 5_000, 4_000), (0, 0, 0)
    )
    fingerprint(xr.Dataset({"u": (("sample", "time", "x"), many)}))  # 1.6 TB in all
