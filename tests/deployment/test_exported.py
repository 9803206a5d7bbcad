"""Exported models against those in memory, in this process and in a bare one."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exportable import make_model
from linear_control import Heat
from oracles import halved, make_fields

import wdno
from wdno.diffusion.samplers import ddim
from wdno.operator import tasks

KEY = jax.random.key(3)
STOCHASTIC = ddim(1.0)


def make_planner(objective=None, **parts):
    reach = wdno.objectives.reach(("u",), ("f",), energy_weight=0.1)
    model = make_model(tasks.control)
    return wdno.Planner(model, objective or reach, strength=0.3, steps=2, **parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    simulation = {"sampler": STOCHASTIC, "steps": 2, "platforms": ("cpu",)}
    wdno.export(make_model(), folder / "simulation", **simulation, notes={"name": "a"})
    beside = {} if make_planner().model.final else {"uT": (8,)}
    planner = make_planner()
    wdno.export(planner, folder / "plan", beside=beside, platforms=("cpu",))
    return folder


@pytest.fixture(scope="module")
def simulation(folder):
    return wdno.load_exported(folder / "simulation")


def record(frames):
    fields = single(make_fields(batch=3, frames=frames))
    return {"u0": fields["u0"]}, {"f": fields["f"]}


def single(fields):
    return {name: values.astype(jnp.float32) for name, values in fields.items()}


def test_exported_windows_have_the_numbers_of_a_rollout(simulation):
    given = record(frames=6)  # a window and a half
    expected = wdno.rollout(make_model(), *given, sampler=STOCHASTIC, steps=2, key=KEY)
    found = simulation.rollout(*given, key=KEY)
    assert found.keys() == expected.keys() == {"u"}
    assert np.ptp(expected["u"]) > 0.1
    np.testing.assert_allclose(found["u"], expected["u"], rtol=1e-5, atol=2e-6)


def test_rows_and_windows_can_be_taken_one_by_one(simulation):
    """Any number of rows; keys of their own; a record that goes on."""
    initial, control = record(frames=8)
    whole = simulation.rollout(initial, control, key=KEY)["u"]
    keys = jax.random.split(jax.random.key(9), 3)
    assert not np.allclose(simulation.rollout(initial, control, key=keys)["u"], whole)
    late = {"f": control["f"][:2, 4:]}
    state = {"u0": whole[:2, 3]}
    rest = simulation.rollout(state, late, begun=1, key=KEY)["u"]
    np.testing.assert_allclose(rest, whole[:2, 4:], atol=1e-5)


def test_exported_plans_are_those_of_the_planner(folder):
    ends = single({"u0": make_fields()["u0"], "uT": make_fields(seed=2)["u0"]})
    known = {name: 0.5 * values for name, values in ends.items()}
    planner = make_planner()
    keys = jax.vmap(lambda n: jax.random.fold_in(KEY, n))(jnp.arange(3))
    expected = planner(known, keys)
    found = wdno.load_exported(folder / "plan").plan(known, key=KEY)
    assert found.keys() == expected.keys() == {"u", "f", "objective"}
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=2e-6)


def test_a_refiner_is_chained_by_its_coarse_states(tmp_path):
    model = make_model(tasks.refinement)
    wdno.export(model, tmp_path / "refiner", platforms=("cpu",))
    fields = single(make_fields(batch=2, frames=8))
    over_time = {"f": fields["f"], "u_coarse": halved(fields["u"])}
    given = {"u0": fields["u0"]}, over_time
    found = wdno.load_exported(tmp_path / "refiner").rollout(*given, key=KEY)
    expected = wdno.rollout(model, *given, key=KEY)
    np.testing.assert_allclose(found["u"], expected["u"], rtol=1e-5, atol=2e-6)


def test_a_bare_process_computes_the_same(folder, simulation, tmp_path):
    """Without flax and the modules of this package that need it."""
    initial, control = record(frames=6)
    np.savez(tmp_path / "given.npz", **initial, **control)
    code = f"""
import sys
sys.modules["flax"] = None  # an import would fail
import jax, numpy as np, wdno
jax.config.update("jax_enable_x64", True)
given = np.load({str(tmp_path / "given.npz")!r})
model = wdno.load_exported({str(folder / "simulation")!r})
initial, control = {{"u0": given["u0"]}}, {{"f": given["f"]}}
made = model.rollout(initial, control, key=jax.random.key(3))
np.save({str(tmp_path / "made.npy")!r}, made["u"])
"""
    command = [sys.executable, "-c", code]
    place = {"PYTHONPATH": str(Path(wdno.__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, env=os.environ | place, check=True, timeout=600)
    expected = simulation.rollout(initial, control, key=KEY)["u"]
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), expected)


def test_the_file_has_the_card_and_what_goes_in(folder, simulation):
    with zipfile.ZipFile(folder / "simulation") as archive:
        archive.extractall(folder / "unpacked")
    assert wdno.read_card(folder / "unpacked") == simulation.card
    assert simulation.card["name"] == "a"
    about = simulation.description
    assert about["card_sha256"] == simulation.card["card_sha256"]
    assert about["inputs"]["f"]["shape"] == [4, 8]
    assert about["outputs"]["u"]["dims"] == ["time", "x"]
    same = wdno.load(folder / "unpacked")  # a model folder, to the last bit
    for a, b in zip(*map(jax.tree.leaves, (same, make_model())), strict=True):
        np.testing.assert_array_equal(a, b)


def calling_python(fields):
    cost = lambda u: np.asarray(u).sum((1, 2))  # noqa: E731
    like = jax.ShapeDtypeStruct(fields["u"].shape[:1], fields["u"].dtype)
    return jax.pure_callback(cost, like, fields["u"], vmap_method="expand_dims")


def test_what_cannot_be_exported_is_refused(tmp_path):
    planner = replace(make_planner(calling_python), strength=None)
    with pytest.raises(ValueError, match="no Python, but this one calls it"):
        wdno.export(planner, tmp_path / "a")
    polished = replace(make_planner(), polish=wdno.Polish(Heat(), 1))
    with pytest.raises(ValueError, match="without a polish"):
        wdno.export(polished, tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="existing folder"):
        wdno.export(make_model(), tmp_path / "missing" / "a")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"initial": {}}, r"\['u0'\] are missing"),
        ({"control": {}}, r"\['f'\] are missing"),
        ({"windows": 0}, "at least one window"),
        ({"initial": {"u0": np.zeros((3, 9))}}, r"shape \(3, 8\).*\(3, 9\) was given"),
        ({"initial": {"u0": np.zeros((2, 8))}}, "was given"),
    ],
)
def test_wrong_input_is_told(simulation, change, message):
    initial, control = record(frames=4)
    call = {"initial": initial, "control": control, "key": KEY} | change
    with pytest.raises(ValueError, match=message):
        simulation.rollout(**call)


def test_wrong_files_are_told(folder, tmp_path, simulation):
    with pytest.raises(ValueError, match="this one is to rollout, but was asked"):
        simulation.plan({}, key=KEY)
    with pytest.raises(ValueError, match="effort"):
        wdno.load_exported(folder / "simulation", effort=2)
    with pytest.raises(FileNotFoundError, match="none at"):
        wdno.load_exported(tmp_path / "missing")
    data = (folder / "simulation").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not one, or is damaged"):
        wdno.load_exported(tmp_path / "cut")
    for name, change in (
        ("program.json", lambda d: json.dumps(json.loads(d) | {"format": 9}).encode()),
        ("program.stablehlo", lambda d: d[:-1] + b"?"),
    ):
        with (
            zipfile.ZipFile(folder / "simulation") as old,
            zipfile.ZipFile(tmp_path / "other", "w") as new,
        ):
            for entry in old.namelist():
                data = old.read(entry)
                new.writestr(entry, change(data) if entry == name else data)
        with pytest.raises(ValueError, match=r"format 9|checksums"):
            wdno.load_exported(tmp_path / "other")
