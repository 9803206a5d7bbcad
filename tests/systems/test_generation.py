"""Data sets on disk: the same bits whatever happened on the way."""

import json

import jax
import netCDF4
import numpy as np
import pytest
import xarray as xr

from wdno.systems import Burgers, generate, generation, trajectories, verify

SYSTEM = Burgers(points=16, frames=3, duration=0.3)
RECIPE = {"samples": 7, "seed": 5, "chunk": 3}


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

    monkeypatch.setattr(generation, "trajectories", failing)


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


def test_nothing_else_is_left(complete):
    assert [path.name for path in complete.parent.iterdir()] == ["whole.nc"]


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_an_interrupted_run_ends_with_the_same_bits(
    complete, tmp_path, monkeypatch, chunks
):
    path = tmp_path / "resumed.nc"
    interrupt_after(monkeypatch, chunks)
    with pytest.raises(KeyboardInterrupt):
        generate(SYSTEM, path, **RECIPE)
    assert not path.exists()
    monkeypatch.undo()
    interrupt_after(monkeypatch, 3 - chunks)  # does not solve a chunk twice
    generate(SYSTEM, path, **RECIPE)
    assert verify(path) == verify(complete)
    assert path.read_bytes() == complete.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["resumed.nc"]


def test_a_chunk_cut_short_is_written_again(complete, tmp_path, monkeypatch):
    path = tmp_path / "resumed.nc"
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        generate(SYSTEM, path, **RECIPE)
    with netCDF4.Dataset(f"{path}.partial", "a") as file:
        file["u"][6:] = 123.0
    monkeypatch.undo()
    generate(SYSTEM, path, **RECIPE)
    assert verify(path) == verify(complete)


def test_an_unfinished_file_of_another_recipe_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mixed.nc"
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        generate(SYSTEM, path, **RECIPE)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r'(?s)"seed": 5.*"seed": 6.*delete the file'):
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
    with pytest.raises(ValueError, match="samples and chunk must be positive"):
        generate(SYSTEM, tmp_path / "data.nc", samples=0)


def test_a_diverging_system_writes_no_data_set(tmp_path):
    unstable = Burgers(viscosity=1e-4, points=200, frames=4, max_speed=0.01)
    with pytest.raises(ValueError, match="diverged in sample"):
        generate(unstable, tmp_path / "data.nc", samples=2)
    assert not (tmp_path / "data.nc").exists()
