"""Files of PDEBench, written here as its generators write them."""

import sys

import numpy as np
import pytest

from wdno import io
from wdno.io import hdf5

h5py = pytest.importorskip("h5py")

SAMPLES, FRAMES, POINTS = 5, 7, 16


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def grid(points, start=-1.0):
    width = 2 / points
    return (start + width * (np.arange(points) + 0.5)).astype(np.float32)


def scalar_file(path, values=None, **attrs):
    """One of advection or Burgers: a time axis that is one longer than the data."""
    values = draw(SAMPLES, FRAMES, POINTS) if values is None else values
    with h5py.File(path, "w") as file:
        file["tensor"] = values
        file["x-coordinate"] = grid(POINTS)
        file["t-coordinate"] = np.arange(FRAMES + 1, dtype=np.float32) / 100
        file.attrs.update(attrs or {"Nu": 0.01})
    return path


def flow_file(path, points=(POINTS,), lead=(), frames=FRAMES):
    """Compressible flow in one to three dimensions."""
    names = ["density", "pressure", "Vx", "Vy", "Vz"][: 2 + len(points)]
    with h5py.File(path, "w") as file:
        for n, name in enumerate(names):
            file[name] = draw(*lead, SAMPLES, frames, *points, seed=n)
        for axis, count in zip("xyz", points, strict=False):
            file[f"{axis}-coordinate"] = grid(count)
        file["t-coordinate"] = np.arange(frames + 1, dtype=np.float32) / 10
        file.attrs.update({"eta": 0.1, "zeta": 0.2})
    return path


def group_file(path, points=(6, 4), components=2, names=("0000", "0001", "0007")):
    """Diffusion–reaction: a group a sample, compressed by chunks."""
    with h5py.File(path, "w") as file:
        for n, name in enumerate(names):
            data = draw(FRAMES, *points, components, seed=n)
            file.create_dataset(f"{name}/data", data=data, compression="lzf")
            for axis, count in zip("xy", points, strict=False):
                file[f"{name}/grid/{axis}"] = grid(count)
            file[f"{name}/grid/t"] = np.linspace(0, 5, FRAMES, dtype=np.float32)
            file[name].attrs["config"] = f"seed: {n}\n"
    return path


def in_memory(dataset):
    return [name for name, v in dataset.data_vars.items() if v.variable._in_memory]


@pytest.mark.parametrize("suffix", ["hdf5", "h5"])
def test_a_scalar_is_opened_whatever_its_suffix(tmp_path, suffix):
    path = scalar_file(tmp_path / f"1D_Burgers.{suffix}")
    data = io.open_pdebench(path)
    assert data.u.dims == ("sample", "time", "x") and data.u.dtype == np.float32
    assert not in_memory(data)
    np.testing.assert_array_equal(data.u, draw(SAMPLES, FRAMES, POINTS))
    np.testing.assert_array_equal(data.x, grid(POINTS))
    np.testing.assert_array_equal(data.time, np.float32(np.arange(FRAMES) / 100))
    assert data.u.attrs == {"cell_methods": "time: point"}
    assert data.attrs == {"Nu": 0.01, "source": path.name}


@pytest.mark.parametrize("points", [(8,), (8, 6), (4, 6, 2)])
def test_flow_has_a_variable_for_each_field(tmp_path, points):
    data = io.open_pdebench(flow_file(tmp_path / "flow.hdf5", points))
    axes = "xyz"[: len(points)]
    assert list(data.data_vars) == [
        "density",
        "pressure",
        *[f"V{axis}" for axis in axes],
    ]
    for n, field in enumerate(data.data_vars.values()):
        assert field.dims == ("sample", "time", *axes)
        expected = draw(SAMPLES, FRAMES, *points, seed=n)
        np.testing.assert_array_equal(field, expected)
    assert data.attrs["eta"] == 0.1 and data.attrs["zeta"] == 0.2


def test_an_axis_of_one_device_is_dropped_lazily(tmp_path):
    data = io.open_pdebench(flow_file(tmp_path / "own.hdf5", lead=(1,)))
    assert data.Vx.dims == ("sample", "time", "x") and not in_memory(data)
    np.testing.assert_array_equal(data.Vx, draw(1, SAMPLES, FRAMES, POINTS, seed=2)[0])
    one = flow_file(tmp_path / "two.hdf5", lead=(2,))
    with pytest.raises(ValueError, match=r"'density'.*\(2, 5, 7, 16\).*devices"):
        io.open_pdebench(one)


def test_a_single_sample_keeps_its_axis(tmp_path):
    path = scalar_file(tmp_path / "one.hdf5", draw(1, FRAMES, POINTS))
    assert io.open_pdebench(path).u.shape == (1, FRAMES, POINTS)


def test_a_time_axis_as_long_as_the_data_serves_as_well(tmp_path):
    path = scalar_file(tmp_path / "a.hdf5", draw(SAMPLES, FRAMES + 1, POINTS))
    assert io.open_pdebench(path).sizes["time"] == FRAMES + 1


def test_darcy_flow_is_steady(tmp_path):
    path = tmp_path / "darcy.hdf5"
    with h5py.File(path, "w") as file:
        file["tensor"], file["nu"] = draw(3, 1, 8, 6), draw(3, 8, 6, seed=1)
        file["x-coordinate"], file["y-coordinate"] = grid(8), grid(6)
        file.attrs["beta"] = 0.1
    data = io.open_pdebench(path)
    assert data.u.dims == ("sample", "time", "x", "y") and data.time.values == [0.0]
    assert data.nu.dims == ("sample", "x", "y") and not in_memory(data)
    np.testing.assert_array_equal(data.nu, draw(3, 8, 6, seed=1))
    assert "cell_methods" not in data.nu.attrs


def test_groups_become_samples(tmp_path):
    path = group_file(tmp_path / "2D_diff-react.h5")
    data = io.open_pdebench(path)
    assert data.u.dims == ("sample", "time", "x", "y") and not in_memory(data)
    assert list(data.data_vars) == ["u", "v"]
    for n in range(3):
        expected = draw(FRAMES, 6, 4, 2, seed=n)
        np.testing.assert_array_equal(data.u.isel(sample=n), expected[..., 0])
        np.testing.assert_array_equal(data.v.isel(sample=n), expected[..., 1])
    np.testing.assert_array_equal(data.group, ["0000", "0001", "0007"])
    np.testing.assert_array_equal(data.y, grid(4))
    assert data.time.values[-1] == 5 and data.attrs["config"] == "seed: 0\n"


def test_groups_of_one_dimension_and_other_names(tmp_path):
    path = group_file(tmp_path / "1D_diff-sorp.hdf5", (12,), 1)
    data = io.open_pdebench(path, components=["concentration"])
    assert data.concentration.dims == ("sample", "time", "x")
    np.testing.assert_array_equal(
        data.concentration[2], draw(FRAMES, 12, 1, seed=2)[..., 0]
    )


def test_groups_are_in_the_order_of_their_numbers(tmp_path):
    path = group_file(tmp_path / "many.h5", names=("10000", "9999"))
    assert io.open_pdebench(path).group.values.tolist() == ["9999", "10000"]


STRIDES = {"sample": slice(1, 3), "time": slice(None, None, 5)}
STRIDES |= {"x": slice(None, None, 4)}


@pytest.mark.parametrize("make", [scalar_file, group_file])
def test_a_selection_reads_no_more_than_itself(tmp_path, make, monkeypatch):
    path = make(tmp_path / "some.hdf5")
    data = io.open_pdebench(path)
    thin = data.u.isel(STRIDES)
    read = []
    values = hdf5._values

    def counted(stored, key):
        part = values(stored, key)
        if stored.ndim > 2:  # no coordinate
            read.append(part.size)
        return part

    monkeypatch.setattr(hdf5, "_values", counted)
    assert thin.values.size == sum(read) < data.u.size / 10
    np.testing.assert_array_equal(thin, data.u.values[1:3, ::5, ::4])


@pytest.mark.parametrize("make", [scalar_file, group_file, flow_file])
@pytest.mark.parametrize(
    "key",
    [
        {"x": slice(None, None, -2)},
        {"x": [5, 0, 5, 3], "time": [6, 2]},
        {"sample": [2, 0], "x": [1, 4], "time": 3},
        {"sample": -1, "time": slice(5, 1, -3)},
        {"sample": slice(2, 2)},
    ],
    ids=str,
)
def test_every_kind_of_selection_is_that_of_the_values(tmp_path, make, key):
    data = io.open_pdebench(make(tmp_path / "some.hdf5"))
    for name, field in data.data_vars.items():
        expected = data[name].load().isel(key)
        fresh = io.open_pdebench(tmp_path / "some.hdf5")[name]
        assert not fresh.variable._in_memory
        np.testing.assert_array_equal(fresh.isel(key).values, expected.values)
        assert field.dtype == fresh.dtype


# Bad files ----------------------------------------------------------------------------


def edited(path, edit):
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def test_absent_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none at .*absent\.hdf5.*Check"):
        io.open_pdebench(tmp_path / "absent.hdf5")


@pytest.mark.parametrize("length", [0, 3, 200, 2000])
@pytest.mark.parametrize("make", [scalar_file, group_file])
def test_truncated_files_are_told(tmp_path, make, length):
    path = make(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"a\.hdf5 cannot be opened.*copy it again"):
        io.open_pdebench(path)


def test_damaged_values_are_told_when_they_are_read(tmp_path):
    path = tmp_path / "a.hdf5"
    scalar_file(path)
    edited(path, lambda file: file.__delitem__("tensor"))
    values = draw(SAMPLES, FRAMES, POINTS)

    def compressed(file):
        file.create_dataset("tensor", data=values, compression="gzip", fletcher32=True)

    edited(path, compressed)
    with h5py.File(path) as file:
        start = file["tensor"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[start + 40 : start + 60] = bytes(20)
    path.write_bytes(raw)
    data = io.open_pdebench(path)
    with pytest.raises(ValueError, match=r"tensor of .*a\.hdf5 cannot be read.*Copy"):
        data.u.load()


def test_files_that_vanish_are_told_when_they_are_read(tmp_path):
    path = scalar_file(tmp_path / "a.hdf5")
    data = io.open_pdebench(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.hdf5"):
        data.u.load()


def test_values_that_are_not_finite_are_opened(tmp_path):
    values = draw(SAMPLES, FRAMES, POINTS)
    values[1, 2, 3] = np.nan
    data = io.open_pdebench(scalar_file(tmp_path / "a.hdf5", values))
    assert int(data.u.isnull().sum()) == 1  # checked where they are used


@pytest.mark.parametrize(
    ("make", "edit", "told"),
    [
        (scalar_file, "x-coordinate", r"\['t-coordinate', 'tensor'\]"),
        (scalar_file, "t-coordinate", r"dataset 't-coordinate', but .*'tensor'"),
        (flow_file, "Vx", "dataset 'Vx', but .*'density'"),
        (flow_file, "pressure", "dataset 'pressure'"),
        (group_file, "0000/grid/t", "dataset '0000/grid/t'"),
    ],
)
def test_missing_arrays_are_told(tmp_path, make, edit, told):
    path = edited(make(tmp_path / "a.hdf5"), lambda file: file.__delitem__(edit))
    with pytest.raises(ValueError, match=told):
        io.open_pdebench(path)


def test_a_missing_array_of_a_later_group_is_told_when_it_is_read(tmp_path):
    path = group_file(tmp_path / "a.h5")
    edited(path, lambda file: file.__delitem__("0007/data"))
    data = io.open_pdebench(path)
    data.u.isel(sample=1).load()
    with pytest.raises(ValueError, match="dataset '0007/data'"):
        data.u.load()


def test_groups_on_another_grid_are_told_when_they_are_read(tmp_path):
    path = group_file(tmp_path / "a.h5")

    def shift(file):
        file["0001/grid/y"][...] += 1

    data = io.open_pdebench(edited(path, shift))
    with pytest.raises(ValueError, match="'0001' has another 'y' than '0000'"):
        data.v.load()


def test_extents_that_disagree_are_told(tmp_path):
    short = scalar_file(tmp_path / "a.hdf5", draw(SAMPLES, FRAMES - 2, POINTS))
    with pytest.raises(ValueError, match=r"'u' has .*'time': 5.*'time': 8"):
        io.open_pdebench(short)
    wide = scalar_file(tmp_path / "b.hdf5", draw(SAMPLES, FRAMES, POINTS + 1))
    with pytest.raises(ValueError, match=r"'x': 17} where .*'x': 16} were"):
        io.open_pdebench(wide)
    few = flow_file(tmp_path / "c.hdf5")

    def fewer(file):
        del file["pressure"]
        file["pressure"] = draw(SAMPLES - 1, FRAMES, POINTS)

    with pytest.raises(ValueError, match="'pressure' has .*'sample': 4"):
        io.open_pdebench(edited(few, fewer))
    groups = group_file(tmp_path / "d.h5")

    def shorter(file):
        del file["0000/grid/x"]
        file["0000/grid/x"] = grid(5)

    with pytest.raises(ValueError, match=r"'0000' has the shape \(7, 6, 4, 2\)"):
        io.open_pdebench(edited(groups, shorter))


def test_components_need_names(tmp_path):
    path = group_file(tmp_path / "a.h5", components=4)
    with pytest.raises(ValueError, match="has 4 and the names are .*`components`"):
        io.open_pdebench(path)
    assert len(io.open_pdebench(path, "abcd")) == 4


def test_other_layouts_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["measured_data/u"] = draw(2, 3, 4)
    with pytest.raises(ValueError, match=r"but .*a\.h5 has \['measured_data'\]"):
        io.open_pdebench(path)
    (tmp_path / "b.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="cannot be opened"):
        io.open_pdebench(tmp_path / "b.h5")


def test_without_h5py_its_installation_is_advised(tmp_path, monkeypatch):
    path = scalar_file(tmp_path / "a.hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'wdno\[hdf5\]'"):
        io.open_pdebench(path)
