"""Data sets on disk: the same bits whatever happened on the way."""

import json
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import netCDF4
import numpy as np
import pytest
import xarray as xr

from wdno.systems import (
    Burgers,
    LabelledSystem,
    datasets,
    generate,
    trajectories,
    verify,
)

SYSTEM = Burgers(points=16, frames=3, duration=0.3)
RECIPE = {"samples": 7, "seed": 5, "chunk": 3}


@dataclass(frozen=True)
class Basin(LabelledSystem):
    """y' = v above a bed, and the depth beside it."""

    state: ClassVar[tuple[str, ...]] = ("y",)
    control: ClassVar[tuple[str, ...]] = ("v",)
    auxiliary: ClassVar[dict[str, tuple[str, ...]]] = {"depth": ("time",)}
    attributes: ClassVar[dict[str, dict[str, str]]] = {"bed": {"units": "m"}}
    slope: float = 2.0

    @property
    def coords(self):
        return {"time": np.arange(4.0), "z": np.arange(2.0), "x": np.arange(5.0)}

    @property
    def static(self):
        bed = self.slope * np.arange(10, dtype=np.float32).reshape(2, 5)
        return {"bed": bed, "rock": (bed > 7).astype(np.float32)}

    def sample_inputs(self, key, samples):
        v = jax.random.normal(key, (samples, 3, 2, 5), jnp.float32)
        return {"y0": jnp.zeros((samples, 2, 5), jnp.float32), "v": v}

    def solve(self, inputs):
        y = inputs["y0"][:, None] + jnp.cumsum(inputs["v"], axis=1)
        return {"y": y, "depth": y.mean(axis=(2, 3))}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    return generate(SYSTEM, tmp_path_factory.mktemp("data") / "whole.nc", **RECIPE)


def interrupt_after(monkeypatch, chunks):
    """Let the solver fail when asked for one chunk more."""
    solved = iter(range(chunks))

    def failing(*arguments):
        if next(solved, None) is None:
            raise KeyboardInterrupt
        return trajectories(*arguments)

    monkeypatch.setattr(datasets, "trajectories", failing)


def test_file_holds_the_trajectories(complete):
    key = jax.random.key(5, impl="threefry2x32")
    with xr.open_dataset(complete) as data:
        assert dict(data.sizes) == {"sample": 7, "time": 4, "x": 16}
        for start in (0, 3, 6):
            chunk = trajectories(
                SYSTEM, jax.random.fold_in(key, start // 3), min(3, 7 - start)
            )
            saved = data.isel(sample=slice(start, start + 3)).drop_attrs(deep=False)
            xr.testing.assert_identical(saved.load(), chunk)


def test_file_says_how_it_was_made(complete):
    with xr.open_dataset(complete) as data:
        recipe = json.loads(data.attrs["recipe"])
        assert data.attrs["Conventions"].startswith("CF-")
        assert data.u.attrs["units"] == "1"
    assert recipe["system"] == "Burgers"
    assert recipe["parameters"]["points"] == 16
    assert {name: recipe[name] for name in RECIPE} == RECIPE


@pytest.fixture(scope="module")
def basin(tmp_path_factory):
    return generate(Basin(), tmp_path_factory.mktemp("data") / "basin.nc", **RECIPE)


def test_what_is_static_comes_back_as_a_coordinate(basin):
    with xr.open_dataset(basin) as data:
        assert set(data.data_vars) == {"y", "v", "depth"}
        assert set(data.coords) == {"time", "z", "x", "bed", "rock"}
        for name, values in Basin().static.items():
            assert data[name].dims == ("z", "x") and data[name].dtype == np.float32
            np.testing.assert_array_equal(data[name], values)
        assert data.bed.attrs == {"units": "m"}
        assert set(data[["y"]].coords) == set(data.coords)


def test_what_accompanies_the_states_is_written_with_them(basin):
    key = jax.random.key(5, impl="threefry2x32")
    with xr.open_dataset(basin) as data:
        last = trajectories(Basin(), jax.random.fold_in(key, 2), 1)
        saved = data.isel(sample=slice(6, None)).drop_attrs(deep=False)
        xr.testing.assert_identical(saved.load(), last)
        assert data.depth.dims == ("sample", "time")
        assert data.depth[:, 0].isnull().all() and data.depth[:, 1:].notnull().all()


def test_each_sample_is_a_compressed_chunk(basin):
    with netCDF4.Dataset(basin) as file:
        for name in ("y", "v", "depth"):
            shape = file[name].shape
            assert shape[0] == 7 and file[name].chunking() == [1, *shape[1:]]
            assert (
                file[name].filters()["zlib"] and file[name].filters()["complevel"] == 1
            )
        for name in ("time", "z", "x", "bed", "rock"):
            assert not file[name].filters()["zlib"]
        for variable in file.variables.values():
            assert variable.filters()["fletcher32"]


def test_a_static_field_is_part_of_the_checksum_and_of_the_recipe(basin, tmp_path):
    path = tmp_path / "changed.nc"
    path.write_bytes(basin.read_bytes())
    assert verify(path) == verify(basin)
    with pytest.raises(
        ValueError, match=r'(?s)"slope": 2.0.*"slope": 3.0.*another path'
    ):
        generate(Basin(slope=3.0), path, **RECIPE)
    with netCDF4.Dataset(path, "a") as file:
        file["bed"][0, 1] = 0.5
    with pytest.raises(ValueError, match="must have the checksum sha256"):
        verify(path)


def test_nothing_else_is_left(complete):
    assert [path.name for path in complete.parent.iterdir()] == ["whole.nc"]


@pytest.mark.parametrize("workers", [2, 5])
def test_chunks_solved_at_once_are_the_same_in_the_same_order(
    complete, tmp_path, workers
):
    path = generate(SYSTEM, tmp_path / "whole.nc", **RECIPE, workers=workers)
    assert verify(path) == verify(complete)


def test_an_error_in_a_worker_leaves_what_came_before(tmp_path, monkeypatch):
    """The second chunk fails; the first is written, and the run can go on."""
    key = jax.random.key(RECIPE["seed"], impl="threefry2x32")
    second = jax.random.key_data(jax.random.fold_in(key, 1))

    def failing(system, key, count):
        if np.array_equal(jax.random.key_data(key), second):
            raise ValueError("diverged")
        return trajectories(system, key, count)

    with monkeypatch.context() as patch:
        patch.setattr(datasets, "trajectories", failing)
        with pytest.raises(ValueError, match="diverged"):
            generate(SYSTEM, tmp_path / "whole.nc", **RECIPE, workers=2)
    kept = sorted(p.name for p in (tmp_path / "whole.nc.partial").iterdir())
    assert kept == ["000000.json", "000000.nc"]
    path = generate(SYSTEM, tmp_path / "whole.nc", **RECIPE, workers=2)
    assert verify(path) == verify(generate(SYSTEM, tmp_path / "other.nc", **RECIPE))


@pytest.mark.parametrize(
    ("system", "chunks"), [(SYSTEM, 0), (SYSTEM, 1), (SYSTEM, 2), (Basin(), 1)]
)
def test_an_interrupted_run_ends_with_the_same_bits(
    complete, basin, tmp_path, monkeypatch, system, chunks
):
    path = tmp_path / "resumed.nc"
    interrupt_after(monkeypatch, chunks)
    with pytest.raises(KeyboardInterrupt):
        generate(system, path, **RECIPE)
    assert not path.exists()
    monkeypatch.undo()
    interrupt_after(monkeypatch, 3 - chunks)  # does not solve a chunk twice
    generate(system, path, **RECIPE)
    whole = complete if system == SYSTEM else basin
    assert verify(path) == verify(whole)
    assert path.read_bytes() == whole.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["resumed.nc"]


def test_a_chunk_cut_short_is_written_again(complete, tmp_path, monkeypatch):
    path = tmp_path / "resumed.nc"
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        generate(SYSTEM, path, **RECIPE)
    piece = tmp_path / "resumed.nc.partial" / "000001.nc"
    piece.write_bytes(piece.read_bytes()[:-7])
    monkeypatch.undo()
    interrupt_after(monkeypatch, 2)  # that one, and the one that was not there
    generate(SYSTEM, path, **RECIPE)
    assert verify(path) == verify(complete)


def test_an_unfinished_file_of_another_recipe_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mixed.nc"
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        generate(SYSTEM, path, **RECIPE)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r'(?s)"seed": 5.*"seed": 6.*delete .*partial'):
        generate(SYSTEM, path, **{**RECIPE, "seed": 6})


def test_a_complete_file_is_left_alone(complete, monkeypatch):
    before = complete.stat().st_mtime_ns
    interrupt_after(monkeypatch, 0)
    assert generate(SYSTEM, complete, **RECIPE) == complete
    assert complete.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="another path, or delete"):
        generate(SYSTEM, complete, **{**RECIPE, "chunk": 2})


def test_verify_finds_a_changed_value(complete, tmp_path):
    path = tmp_path / "changed.nc"
    path.write_bytes(complete.read_bytes())
    assert verify(path) == verify(complete)
    with netCDF4.Dataset(path, "a") as file:
        file["f"][4, 1, 7] = np.nextafter(file["f"][4, 1, 7], np.float32(9))
    with pytest.raises(ValueError, match="must have the checksum sha256"):
        verify(path)


def test_verify_needs_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none at"):
        verify(tmp_path / "absent.nc")


def test_paths_are_checked_before_anything_is_solved(tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 0)
    with pytest.raises(FileNotFoundError, match="absent is none. Create it"):
        generate(SYSTEM, tmp_path / "absent" / "data.nc", **RECIPE)
    with pytest.raises(PermissionError, match="cannot be written"):
        generate(SYSTEM, tmp_path, **RECIPE)
    with pytest.raises(ValueError, match="chunk, workers and patience must be"):
        generate(SYSTEM, tmp_path / "data.nc", samples=0)


def test_a_diverging_system_writes_no_data_set(tmp_path):
    unstable = Burgers(viscosity=1e-4, points=200, frames=4, max_speed=0.01)
    with pytest.raises(ValueError, match="diverged in sample"):
        generate(unstable, tmp_path / "data.nc", samples=2)
    assert not (tmp_path / "data.nc").exists()
