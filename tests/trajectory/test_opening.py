"""Files are opened whole, in the values that they say, or refused by name."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from wdno import io, open_era5
from wdno.trajectory import join_trajectories, open_trajectories, save

FORMATS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def make_records(samples=3, start=0.0):
    values = start + np.arange(samples * 5 * 7, dtype=np.float32).reshape(samples, 5, 7)
    coords = {"time": np.arange(5.0), "x": np.arange(7.0)}
    dims = ("sample", *coords)
    return xr.Dataset({name: (dims, values) for name in ("u", "f")}, coords)


def packed(path, dataset, offset):
    """Written as two bytes a number, with a scale and an offset of its own."""
    how = {"dtype": "int16", "scale_factor": 0.01, "add_offset": offset}
    name = next(iter(dataset.data_vars))
    dataset.to_netcdf(path, encoding={name: {**how, "_FillValue": -32768}})


def weather(day, kelvin):
    time = np.datetime64(day, "ns") + np.arange(4) * np.timedelta64(6, "h")
    place = {"latitude": [0.0, 1, 2], "longitude": [0.0, 1, 2, 3]}
    values = np.full((4, 3, 4), kelvin)
    return xr.Dataset({"t2m": (("time", *place), values)}, {"time": time, **place})


def written(dataset, folder):
    """What a file holds, written by this package and by the user."""
    save(dataset, folder / "saved.nc")
    dataset.to_netcdf(folder / "own.nc")
    return [xr.load_dataset(folder / name) for name in ("saved.nc", "own.nc")]


def test_records_of_several_scales_are_written_as_they_are_in_memory(tmp_path):
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path, day, kelvin in zip(
        paths, ("2020-01-01", "2020-01-02"), (260.0, 900.0), strict=True
    ):
        packed(path, weather(day, kelvin), kelvin)
    for found in written(open_era5(paths), tmp_path):
        np.testing.assert_allclose(
            found.t2m.mean(("latitude", "longitude"))[::4], [260, 900]
        )


def test_joined_and_changed_trajectories_are_written_as_they_are_in_memory(tmp_path):
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path, start in zip(paths, (0.0, 1000.0), strict=True):
        numbers = xr.DataArray(start + np.arange(3.0), dims="sample")
        packed(path, make_records(start=start).u.to_dataset(), start)
        with_numbers = xr.load_dataset(path).assign(number=numbers)
        how = {"dtype": "int16", "add_offset": start}
        with_numbers.to_netcdf(path, encoding={"number": how})
    joined = join_trajectories(paths)
    changed = open_trajectories(paths[0]) + 1000
    for dataset in (joined, changed):
        for found in written(dataset, tmp_path):
            xr.testing.assert_allclose(found, dataset.load())
    own = xr.concat([xr.open_dataset(path) for path in paths], "sample")
    save(own, tmp_path / "saved.nc")  # by the user, who kept the encoding of the first
    xr.testing.assert_allclose(xr.load_dataset(tmp_path / "saved.nc"), own.load())


@pytest.mark.parametrize("unlimited", [None, "sample"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_classic_file_has_the_length_that_its_header_says(kind, unlimited, tmp_path):
    """Coordinates first or last; of what is cut off the library makes up zeros."""
    path, records = tmp_path / "a.nc", make_records().assign_attrs(title="flow")
    for order in (["time", "x", "u", "f"], ["f", "u", "x", "time"]):
        with netCDF4.Dataset(path, "w", format=kind) as file:
            for dim, size in records.sizes.items():
                file.createDimension(dim, None if dim == unlimited else size)
            file.title = "flow"
            for name in order:
                variable = records[name]
                new = file.createVariable(name, variable.dtype, variable.dims)
                new.long_name = name
                new[:] = variable.values
        xr.testing.assert_equal(open_trajectories(path).load(), records)
        whole = path.read_bytes()
        for size in (len(whole) - 1, len(whole) * 4 // 5, 400, 100, 9, 4):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=r"a\.nc"):
                open_trajectories(path)


@pytest.mark.parametrize("opener", [open_era5, io.open_weatherbench, io.open_any])
def test_every_reader_refuses_a_classic_file_that_is_cut(opener, tmp_path):
    path = tmp_path / "a.nc"
    weather("2020-01-01", 280.0).to_netcdf(path, format="NETCDF3_CLASSIC")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"has the length .*Copy it again"):
        opener(path)


def layouts(folder):
    """A small file of each layout that lies in HDF5, with its reader."""
    h5py = pytest.importorskip("h5py")
    make_records().to_netcdf(folder / "nc")
    values, x = make_records().u.values, np.arange(7.0)
    with h5py.File(folder / "whole", "w") as file:
        file["tensor"], file["x-coordinate"] = values, x
        file["t-coordinate"] = np.arange(6.0)
    with h5py.File(folder / "groups", "w") as file:
        for n, record in enumerate(values):
            file[f"{n:04d}/data"] = record[..., None]
            file[f"{n:04d}/grid/x"], file[f"{n:04d}/grid/t"] = x, np.arange(5.0)
    with h5py.File(folder / "fluid", "w") as file:
        for name in "uv":
            file[f"measured_data/{name}"] = values
    return {
        "nc": open_trajectories,
        "whole": io.open_pdebench,
        "groups": io.open_pdebench,
        "fluid": io.open_realpdebench,
    }


@pytest.mark.parametrize("name", ["nc", "whole", "groups", "fluid"])
def test_damaged_files_are_refused_by_their_name(name, tmp_path):
    """Fifty bytes of the first two thousand changed, twenty times."""
    draw, opener = np.random.default_rng(0), layouts(tmp_path)[name]
    whole = (tmp_path / name).read_bytes()
    for _ in range(20):
        damaged = bytearray(whole)
        for place in draw.integers(0, 2000, 50):
            damaged[place] = draw.integers(256)
        (tmp_path / "damaged").write_bytes(damaged)
        for reader in (opener, io.open_any):
            with pytest.raises(ValueError, match=str(tmp_path / "damaged")):
                reader(tmp_path / "damaged").load()


def test_damage_may_show_when_values_are_read(tmp_path):
    path, records = tmp_path / "a.nc", make_records()
    records.to_netcdf(path, encoding={"u": {"zlib": True}})
    content = path.read_bytes()
    start = content.index(b"\x78", len(content) // 2)  # of compressed values
    path.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
    opened = open_trajectories(path)
    with pytest.raises(ValueError, match=r"a\.nc cannot be read"):
        opened.load()


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(make_records(), "~/a.nc")
    assert (tmp_path / "a.nc").is_file()
    for opener in (open_trajectories, io.open_any):
        xr.testing.assert_equal(opener("~/a.nc").load(), make_records())
