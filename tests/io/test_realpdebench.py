"""Raw files of RealPDEBench, written here as its converter reads them."""

import numpy as np
import pytest

from wdno import io

h5py = pytest.importorskip("h5py")

FRAMES, HEIGHT, WIDTH = 6, 8, 10
Y, X = np.meshgrid(np.linspace(1, 0, HEIGHT), np.linspace(0, 3, WIDTH), indexing="ij")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def fluid_file(path, seed=0, pressure=False, frames=FRAMES, **others):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for n, name in enumerate("uvp" if pressure else "uv"):
            values = draw(frames, HEIGHT, WIDTH, seed=10 * seed + n)
            file[f"measured_data/{name}"] = values
        placed = {"x": X, "y": Y, "t": np.arange(frames) / 50} | others
        for name, values in placed.items():
            file[name] = values
    return path


@pytest.fixture
def folder(tmp_path):
    """Three simulations, which are named by Reynolds number and frequency."""
    for n, name in enumerate(("900_1.5", "10000_0.5", "900_0.75")):
        fluid_file(tmp_path / "numerical" / f"{name}.h5", n, pressure=True)
    (tmp_path / "numerical" / "notes.txt").write_text("")
    return tmp_path / "numerical"


def test_one_experiment_is_one_sample(tmp_path):
    data = io.open_realpdebench(fluid_file(tmp_path / "1000.h5"))
    assert list(data.data_vars) == ["u", "v"]
    assert data.u.dims == ("sample", "time", "y", "x")
    assert not any(v.variable._in_memory for v in data.data_vars.values())
    for n, name in enumerate("uv"):
        expected = draw(FRAMES, HEIGHT, WIDTH, seed=n)
        np.testing.assert_array_equal(data[name][0], expected)
    np.testing.assert_array_equal(data.x, X[0])
    np.testing.assert_array_equal(data.y, Y[:, 0])
    np.testing.assert_array_equal(data.time, np.arange(FRAMES) / 50)
    assert data.simulation.values.tolist() == ["1000"]
    assert data.u.attrs == {"cell_methods": "time: point"}


def test_a_folder_is_in_the_order_of_its_parameters(folder):
    data = io.open_realpdebench(folder)
    assert data.simulation.values.tolist() == ["900_0.75", "900_1.5", "10000_0.5"]
    for row, seed in enumerate((2, 0, 1)):
        expected = draw(FRAMES, HEIGHT, WIDTH, seed=10 * seed + 2)
        np.testing.assert_array_equal(data.p.isel(sample=row), expected)
        strided = {"time": slice(1, None, 3), "y": slice(None, None, 2), "x": [7, 0]}
        np.testing.assert_array_equal(
            data.p.isel(sample=row, **strided), expected[1::3, ::2][:, :, [7, 0]]
        )


@pytest.mark.parametrize("place", ["vo", "measured_data/vo"])
def test_vorticity_is_read_where_there_is_any(tmp_path, place):
    vorticity = draw(FRAMES, HEIGHT, WIDTH, seed=5)
    data = io.open_realpdebench(fluid_file(tmp_path / "a.h5", **{place: vorticity}))
    np.testing.assert_array_equal(data.vo[0], vorticity)


def test_grids_that_are_no_lines_become_variables(tmp_path):
    skewed = X + 0.1 * Y
    moving = np.stack([Y + 0.01 * t for t in range(FRAMES)])
    path = fluid_file(tmp_path / "a.h5", x=skewed, y=moving)
    data = io.open_realpdebench(path)
    assert "x" not in data.coords and "y" not in data.coords
    assert data.x_position.dims == ("sample", "y", "x")
    assert data.y_position.dims == ("sample", "time", "y", "x")
    np.testing.assert_array_equal(data.x_position[0], skewed)
    np.testing.assert_array_equal(data.y_position[0], moving)
    still = fluid_file(tmp_path / "b.h5", x=np.tile(X, (FRAMES, 1, 1)), y=Y[:, 0])
    np.testing.assert_array_equal(io.open_realpdebench(still).x, X[0])
    np.testing.assert_array_equal(io.open_realpdebench(still).y, Y[:, 0])


def test_combustion_is_observed_or_has_channels(tmp_path):
    real, numerical, surrogate = (tmp_path / f"{n}.h5" for n in "rns")
    with h5py.File(real, "w") as file:
        file["trajectory"] = draw(FRAMES, HEIGHT, WIDTH)
    with h5py.File(surrogate, "w") as file:
        file["measured_data"] = draw(FRAMES, HEIGHT, WIDTH, seed=1)
    with h5py.File(numerical, "w") as file:
        file["measured_data"] = draw(FRAMES, HEIGHT, WIDTH, 15, seed=2)
        file["time"] = np.arange(FRAMES)[:, None] / 10
    observed = io.open_realpdebench(real).observed
    assert observed.dims == ("sample", "time", "y", "x")
    assert list(observed.coords) == ["simulation"]
    np.testing.assert_array_equal(observed[0], draw(FRAMES, HEIGHT, WIDTH))
    guessed = io.open_realpdebench(surrogate).observed
    np.testing.assert_array_equal(guessed[0], draw(FRAMES, HEIGHT, WIDTH, seed=1))
    parts = io.open_realpdebench(numerical)
    assert len(parts.data_vars) == 15
    np.testing.assert_array_equal(parts.time, np.arange(FRAMES) / 10)
    np.testing.assert_array_equal(
        parts.numerical_14[0], draw(FRAMES, HEIGHT, WIDTH, 15, seed=2)[..., 14]
    )


# Bad files ----------------------------------------------------------------------------


def test_absent_and_empty_folders_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        io.open_realpdebench(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"has none.*cylinder/real"):
        io.open_realpdebench(tmp_path)


def test_truncated_files_are_told_at_once(folder):
    path = folder / "10000_0.5.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"10000_0\.5\.h5 cannot be opened"):
        io.open_realpdebench(folder)


def test_files_that_differ_are_told_at_once(folder):
    fluid_file(folder / "900_1.5.h5", frames=FRAMES - 1, pressure=True)
    with pytest.raises(ValueError, match=r"900_1\.5\.h5 differs .*'arrays'.*by one"):
        io.open_realpdebench(folder)
    late = {"t": 1 + np.arange(FRAMES) / 50}
    fluid_file(folder / "900_1.5.h5", pressure=True, **late)
    with pytest.raises(ValueError, match="in 'time': 6 from 1 to 1.1 against 6 from 0"):
        io.open_realpdebench(folder)
    fluid_file(folder / "900_1.5.h5", pressure=True, y=Y + 1)
    with pytest.raises(ValueError, match="in 'y'"):
        io.open_realpdebench(folder)
    fluid_file(folder / "900_1.5.h5")
    with pytest.raises(ValueError, match="in 'arrays'"):
        io.open_realpdebench(folder)


@pytest.mark.parametrize("held", ["other", "measured_data/u", "measured_data"])
def test_other_layouts_are_refused(tmp_path, held):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[held] = np.zeros(3)
    with pytest.raises(ValueError, match=r"'u' and 'v', or .*a\.h5 has"):
        io.open_realpdebench(tmp_path / "a.h5")


def test_extents_that_disagree_are_told(tmp_path):
    path = fluid_file(tmp_path / "a.h5", t=np.arange(FRAMES + 1))
    with pytest.raises(ValueError, match="Along 'time' .*'u' has 6 where 7"):
        io.open_realpdebench(path)
