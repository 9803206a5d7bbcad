"""Files of The Well, written here by its specification (docs/data_format.md)."""

import json

import numpy as np
import pytest

from wdno import io

h5py = pytest.importorskip("h5py")

SAMPLES, FRAMES, WIDTH, HEIGHT = 3, 5, 8, 6


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def add(file, name, values, sample=True, time=True, **attrs):
    file[name] = values
    flags = {"sample_varying": sample, "time_varying": time}
    file[name].attrs.update(flags | attrs)


def well_file(path, flat=False):
    """A plane flow: a scalar, a static scalar on one axis, a vector and a tensor."""
    with h5py.File(path, "w") as file:
        file.attrs["simulation_parameters"] = ["tcool"]
        file.attrs.update({"tcool": 0.03, "dataset_name": "layer", "n_spatial_dims": 2})
        file.attrs.update({"grid_type": "cartesian", "n_trajectories": SAMPLES})
        for group in ("dimensions", "boundary_conditions", "scalars"):
            file.create_group(group)
        file["dimensions"].attrs["spatial_dims"] = ["x", "y"]
        file["dimensions/time"] = np.arange(FRAMES, dtype=np.float32)
        file["dimensions/time"].attrs["sample_varying"] = False
        add(file, "dimensions/x", np.linspace(0, 1, WIDTH, dtype="f4"), False, False)
        add(file, "dimensions/y", np.linspace(0, 3, HEIGHT, dtype="f4"), False, False)
        grid = (SAMPLES, FRAMES, WIDTH, HEIGHT)
        both = {"dim_varying": [True, True]}
        add(file, "t0_fields/density", draw(*grid), **both)
        once = {"dim_varying": [True, False]}
        add(file, "t0_fields/floor", draw(WIDTH, seed=1), False, False, **once)
        add(file, "t1_fields/velocity", draw(*grid, 2, seed=2), **both)
        stress = draw(*grid, 2, 2, seed=3)
        stress = stress.reshape(*grid, 4) if flat else stress
        kind = {"symmetric": False, "antisymmetric": False}
        add(file, "t2_fields/D", stress, **both, **kind)
        add(file, "scalars/tcool", np.array([0.03], "f4"), False, False)
        add(file, "scalars/inflow", draw(FRAMES, seed=4), False)
        for group in ("t0_fields", "t1_fields", "t2_fields", "scalars"):
            file[group].attrs["field_names"] = list(file[group])
        border = file["boundary_conditions"].create_group("x_wall")
        border.attrs["associated_dims"] = ["x"]
        border.attrs["bc_type"] = "wall"
        border.attrs.update({"sample_varying": False, "time_varying": False})
        border["mask"] = np.arange(WIDTH) % (WIDTH - 1) == 0
    return path


def edited(path, edit):
    with h5py.File(path, "a") as file:
        edit(file)
    return path


@pytest.fixture
def data(tmp_path):
    return io.open_the_well(well_file(tmp_path / "layer.hdf5"))


def test_fields_are_opened_lazily_with_the_axes_that_they_have(data):
    assert not any(v.variable._in_memory for v in data.data_vars.values())
    assert data.density.dims == ("sample", "time", "x", "y")
    assert data.floor.dims == ("x",)
    assert data.density.attrs == {"cell_methods": "time: point"}
    assert data.floor.attrs == {}
    grid = (SAMPLES, FRAMES, WIDTH, HEIGHT)
    np.testing.assert_array_equal(data.density, draw(*grid))
    np.testing.assert_array_equal(data.floor, draw(WIDTH, seed=1))
    np.testing.assert_array_equal(data.y, np.linspace(0, 3, HEIGHT, dtype="f4"))
    assert data.attrs["tcool"] == 0.03
    assert data.attrs["simulation_parameters"] == ["tcool"]


@pytest.mark.parametrize("flat", [False, True])
def test_vectors_and_tensors_become_components(tmp_path, flat):
    data = io.open_the_well(well_file(tmp_path / "a.hdf5", flat))
    grid = (SAMPLES, FRAMES, WIDTH, HEIGHT)
    velocity, stress = draw(*grid, 2, seed=2), draw(*grid, 2, 2, seed=3)
    for i, x in enumerate("xy"):
        np.testing.assert_array_equal(data[f"velocity_{x}"], velocity[..., i])
        for j, y in enumerate("xy"):
            np.testing.assert_array_equal(data[f"D_{x}{y}"], stress[..., i, j])
    notes = {"cell_methods": "time: point", "field": "D", "component": "xy"}
    assert data.D_xy.attrs == notes


def test_scalars_and_boundaries_are_coordinates(data):
    assert data.tcool.shape == () and data.tcool == np.float32(0.03)
    assert data.inflow.dims == ("time",)
    kinds = json.loads(data.attrs["boundaries"])
    assert kinds["x_wall"]["bc_type"] == "wall"
    assert data.x_wall_mask.dims == ("x",) and data.x_wall_mask.dtype == bool
    assert np.flatnonzero(data.x_wall_mask).tolist() == [0, WIDTH - 1]


def test_selections_are_those_of_the_values(tmp_path):
    path = well_file(tmp_path / "a.hdf5")
    key = {"time": slice(4, None, -2), "x": [6, 1], "y": slice(None, None, 3)}
    for name in ("density", "velocity_y", "D_yx"):
        whole = io.open_the_well(path)[name].load()
        part = io.open_the_well(path)[name].isel(key)
        np.testing.assert_array_equal(part, whole.isel(key))


def test_positions_of_each_sample_are_kept_beside_numbers(tmp_path):
    path = well_file(tmp_path / "a.hdf5")
    times = np.arange(FRAMES)[None] * np.array([1.0, 1.0, 2.0])[:, None]

    def vary(file, times=times):
        del file["dimensions/time"]
        add(file, "dimensions/time", times)

    data = io.open_the_well(edited(path, vary))
    assert "time" not in data.coords
    np.testing.assert_array_equal(data.time_of_sample, times)
    edited(path, lambda file: vary(file, np.tile(times[:1], (SAMPLES, 1))))
    np.testing.assert_array_equal(io.open_the_well(path).time, times[0])


# Bad files ----------------------------------------------------------------------------


def test_absent_and_truncated_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.hdf5"):
        io.open_the_well(tmp_path / "absent.hdf5")
    path = well_file(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a\.hdf5 cannot be opened.*truncated"):
        io.open_the_well(path)


@pytest.mark.parametrize("lacking", ["dimensions", "n_trajectories"])
def test_other_layouts_are_refused(tmp_path, lacking):
    def spoil(file):
        owner = file.attrs if lacking == "n_trajectories" else file
        del owner[lacking]

    path = edited(well_file(tmp_path / "a.hdf5"), spoil)
    with pytest.raises(ValueError, match=r"'n_trajectories', but .*a\.hdf5 has"):
        io.open_the_well(path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: f.__delitem__("dimensions/x"), "dataset 'dimensions/x', but"),
        (
            lambda f: f["t0_fields/density"].attrs.update({"time_varying": False}),
            r"'t0_fields/density' has the axes \['sample', 'x', 'y'\].*\(3, 5, 8, 6\)",
        ),
        (lambda f: f.attrs.update({"n_trajectories": 4}), "'n_trajectories' has 4 and"),
        (
            lambda f: f.move("t1_fields/velocity", "t2_fields/velocity"),
            r"component for each of \['x', 'y'\], but 't2_fields/velocity'",
        ),
    ],
)
def test_contradictions_are_told(tmp_path, spoil, told):
    path = edited(well_file(tmp_path / "a.hdf5"), spoil)
    with pytest.raises(ValueError, match=told):
        io.open_the_well(path)


def test_positions_of_another_extent_are_told(tmp_path):
    def longer(file):
        del file["dimensions/y"]
        add(file, "dimensions/y", np.arange(HEIGHT + 1.0), False, False)

    path = edited(well_file(tmp_path / "a.hdf5"), longer)
    with pytest.raises(ValueError, match="Along 'y' .* 'density' has 6 and 'y' 7"):
        io.open_the_well(path)
