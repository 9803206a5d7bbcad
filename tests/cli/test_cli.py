"""The command line on small files: every command, and what wrong input is told."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr
from served import serving
from torch_archive import saved
from waves import waves

import wdno
from wdno import cli, io
from wdno.cli import making
from wdno.cli.fetching import amount
from wdno.cli.runs import duration
from wdno.diffusion import samplers
from wdno.diffusion.schedules import LadderSchedule
from wdno.networks import FourierConfig, MultiplierConfig
from wdno.operator import tasks
from wdno.systems import (
    Advection,
    Burgers,
    CompressibleNavierStokes,
    KuramotoSivashinsky,
    Smoke,
    Waves,
)
from wdno.training import recipes
from wdno.training.diagnosis import as_notes
from wdno.training.recipes import Recipe
from wdno.trajectory import coarsen, save
from wdno.wavelets.field import Field, Role

KEY = jax.random.key(0)
TINY = Recipe(
    ("u",), ("f",), 4, levels=1, network=FourierConfig((2, 2), 4, 1), batch_size=2
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A data file on a small grid and a model trained on it for three steps."""
    folder = tmp_path_factory.mktemp("cli")
    save(waves(6), folder / "data.nc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "tiny", TINY)
        cli.main(
            f"train tiny --data {folder / 'data.nc'} --out {folder / 'run'} "
            "--steps 3 --validation-samples 2 --log-every 0s --checkpoint-every 1h "
            "--weight-decay 0.01 --batch-size 3".split()
        )
    return folder


def trained(files, folder, recipe):
    """Train a recipe for one step into ``folder/run``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "tiny", recipe)
        cli.main(
            f"train tiny --data {files / 'data.nc'} --out {folder / 'run'} "
            "--steps 1 --validation-samples 2".split()
        )


def refused(capsys, arguments: str) -> str:
    """The message with which the command ends."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments.split())
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_duration_reads_units():
    assert [duration(t) for t in ("90m", "2h", "45s", "600")] == [
        5400,
        7200,
        45,
        600,
    ]
    with pytest.raises(ValueError, match="number with s, m or h, but got '1 day'"):
        duration("1 day")


def test_train_leaves_a_model_with_its_history(files):
    card = json.loads((files / "run" / "model" / "card.json").read_text())
    assert card["name"] == "run"
    expected = {"steps": 3, "checkpoint_every": 3600, "weight_decay": 0.01}
    assert expected.items() <= card["training"].items()
    assert np.isfinite(card["validation_error"])
    page = (files / "run" / "report.html").read_text()
    assert (files / "run" / "learning_curve.png").stat().st_size > 10_000
    for said in ("Training of run", "relative_l2", "learning_rate", "network"):
        assert said in page
    assert page.count("<img") == 3  # a forecast, its error over time, the curve
    assert card["recipe"]["batch_size"] == 3
    log = [json.loads(line) for line in (files / "run" / "log.jsonl").open()]
    assert [line["step"] for line in log] == [1, 2, 3, 3]
    assert log[-1]["validation_error"] == pytest.approx(card["validation_error"])


@pytest.mark.slow
def test_train_takes_several_files(files, tmp_path, monkeypatch):
    """As one data set, of which the card names the parts."""
    more = replace(Burgers(duration=0.8, frames=8, points=16), viscosity=0.02)
    wdno.systems.generate(more, tmp_path / "more.nc", 4)
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    cli.main(
        f"train tiny --data {tmp_path / 'more.nc'} {files / 'data.nc'} "
        f"--out {tmp_path / 'run'} --steps 1 --validation-samples 6".split()
    )
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    recipe, none = json.loads(card["data"]["recipe"])
    assert json.loads(recipe)["parameters"]["viscosity"] == 0.02 and none is None
    assert card["data"]["checksum"] == json.dumps(
        [wdno.systems.verify(tmp_path / "more.nc"), None]
    )


def test_simulate_then_evaluate(files, capsys):
    model, data = files / "run" / "model", files / "data.nc"
    out = files / "forecast.nc"
    cli.main(f"simulate {model} {data} {out} --members 2 --sampler ancestral".split())
    forecast, truth = xr.open_dataset(out), xr.open_dataset(data)
    assert dict(forecast.u.sizes) == {"sample": 6, "member": 2, "time": 9, "x": 16}
    start = forecast.u.isel(time=0, member=0)
    np.testing.assert_array_equal(start, truth.u.isel(time=0))
    capsys.readouterr()
    cli.main(f"evaluate {out} {data} --out {files / 'scores.nc'}".split())
    printed = capsys.readouterr().out
    scores = xr.open_dataset(files / "scores.nc")
    mean = forecast.u.mean("member").isel(time=slice(1, None))
    expected = float(((mean - truth.u.isel(time=slice(1, None))) ** 2).mean())
    assert float(scores.value.sel(metric="mse")) == pytest.approx(expected, rel=1e-4)
    assert "fair_crps" in printed


@pytest.mark.slow
def test_diagnose_says_and_writes_what_a_model_does(files, tmp_path, capsys):
    diagnose = f"diagnose {files / 'run' / 'model'} {files / 'data.nc'} --samples 3"
    cli.main(
        f"{diagnose} --calls 2 --members 3 --levels 4 --candidates 3 "
        f"--out {tmp_path / 'made' / 'found'}".split()
    )
    printed = capsys.readouterr().out
    for said in ("6 windows, 3 members, calls: 2", "energy_ratio", "stable transit"):
        assert said in printed
    out = tmp_path / "made" / "found"
    found, notes = xr.load_dataset(out / "diagnosis.nc"), out / "diagnosis.json"
    assert found.sizes["sigma"] == 4 and found.attrs["stable_levels"].max() == 20.0
    assert json.loads(notes.read_text())["windows"] == 6
    assert (out / "diagnosis.png").stat().st_size > 10_000
    error = f"{float(found.member_error[0]):.4g}"
    assert error in printed
    assert "one trajectory or more, but got --samples 0" in refused(
        capsys, f"{diagnose[:-1]}0"
    )
    assert "two members or more" in refused(capsys, f"{diagnose} --members 1")


def test_calibrate_writes_a_model_with_its_numbers_on_the_card(files, tmp_path, capsys):
    folder, out = files / "run" / "model", tmp_path / "calibrated"
    words = f"calibrate {folder} {files / 'data.nc'} --out {out}"
    cli.main(f"{words} --calls 3 --members 3 --samples 4 --seed 5".split())
    card, before = wdno.read_card(out), wdno.read_card(folder)
    held_out = xr.load_dataset(files / "data.nc").isel(sample=slice(-4, None))
    how = {"calls": 3, "members": 3, "key": jax.random.key(5)}
    expected = wdno.calibrate(wdno.load(folder), held_out, **how).residual
    assert card["residual"]["slope"] == list(expected.slope)
    assert card["residual"]["factor"] == list(expected.factor)
    assert card["calibration"]["calls"] == 3 and card["recipe"] == before["recipe"]
    assert "trajectory or more" in refused(capsys, f"{words} --samples 0")


@pytest.mark.slow
def test_distill_writes_an_adapter_and_the_model_with_it(files, tmp_path):
    folder, data, out = files / "run" / "model", files / "data.nc", tmp_path / "out"
    words = f"distill {folder} {data} --out {out} --steps 2 --pairs 8 --batch-size 4"
    cli.main(f"{words} --calls 2 --rank 1 --octaves 2 1".split())
    quick = wdno.load(out / "model")
    by_adapter = wdno.load(folder, adapter=out / "one-step.safetensors")
    for a, b in zip(jax.tree.leaves(quick), jax.tree.leaves(by_adapter), strict=True):
        np.testing.assert_array_equal(a, b)
    assert quick.residual.factor == by_adapter.residual.factor
    assert wdno.read_card(out / "model")["distillation"]["calls"] == 2
    cli.main(f"simulate {out / 'model'} {data} {tmp_path / 'one.nc'}".split())


@pytest.mark.slow
def test_a_ladder_and_a_diagnosis_stand_on_the_card(files, tmp_path):
    model = wdno.load(files / "run" / "model")
    held_out = xr.load_dataset(files / "data.nc")
    ladder = LadderSchedule((20.0, 0.3))
    wdno.save(replace(model, schedule=ladder), tmp_path)
    found = wdno.diagnose(model, held_out, levels=2, key=jax.random.key(0))
    wdno.annotate(tmp_path, diagnosis=as_notes(found))
    assert wdno.read_card(tmp_path)["diagnosis"] == as_notes(found)
    assert wdno.load(tmp_path).schedule == ladder
    cli.main(f"diagnose {tmp_path} {files / 'data.nc'} --calls 2".split())


def test_simulating_a_file_equals_simulating_its_samples(files):
    model, data = files / "run" / "model", files / "data.nc"
    cli.main(f"simulate {model} {data} {files / 'one.nc'} --seed 3".split())
    cli.main(f"simulate {model} {data} {files / 'two.nc'} --seed 3".split())
    one, two = (xr.open_dataset(files / f"{name}.nc") for name in ("one", "two"))
    xr.testing.assert_identical(one, two)


def test_export_writes_a_model_that_runs_without_its_folder(files, tmp_path, capsys):
    model, out = files / "run" / "model", tmp_path / "model.stablehlo"
    cli.main(f"export {model} --out {out} --platforms cpu".split())
    assert f"Wrote {out}" in capsys.readouterr().out
    exported = wdno.load_exported(out)
    assert exported.card == wdno.read_card(model)  # notes and checksums included
    data = wdno.open_trajectories(files / "data.nc")
    u0, f = data.u[:2, 0].values, data.f[:2, :-1].values
    made = exported.rollout({"u0": u0}, {"f": f}, key=KEY)["u"]
    forecast = wdno.simulate(wdno.load(model), data.u[:2, 0], data.f[:2], key=KEY)
    np.testing.assert_allclose(made, forecast.u[:, 1:], atol=1e-5)


@pytest.mark.slow
def test_refine_doubles_a_file(files, tmp_path):
    save(waves(3), tmp_path / "fine.nc")
    save(coarsen(xr.load_dataset(tmp_path / "fine.nc"), 2), tmp_path / "coarse.nc")
    trained(files, tmp_path, replace(TINY, task=tasks.refinement))
    out = tmp_path / "refined.nc"
    model, coarse = tmp_path / "run/model", tmp_path / "coarse.nc"
    cli.main(f"refine {model} {coarse} {tmp_path / 'fine.nc'} {out}".split())
    refined = xr.load_dataset(out)
    assert dict(refined.u.sizes) == {"sample": 3, "time": 9, "x": 16}
    assert np.isfinite(refined.u).all()


@pytest.mark.slow
def test_control_plans_by_a_name_or_by_a_file(files, tmp_path, capsys):
    trained(files, tmp_path, replace(TINY, task=tasks.reaching))
    model, data = tmp_path / "run/model", files / "data.nc"
    plan = f"control {model} {data} {tmp_path / 'plan.nc'} --target {data} --steps 2"
    cli.main(f"{plan} --members 2".split())
    named = xr.load_dataset(tmp_path / "plan.nc")
    assert dict(named.f.sizes) == {"sample": 6, "time": 5, "x": 16}
    cli.main(f"{plan} --lead-in 4 --frames 4 --simulator {files / 'run/model'}".split())
    late = xr.load_dataset(tmp_path / "plan.nc")
    assert dict(late.f.sizes) == {"sample": 6, "time": 9, "x": 16}
    assert not late.f[:, :4].any() and late.f[:, 4:].any()
    own = tmp_path / "own.py"
    own.write_text("def objective(fields):\n    return (fields['f']**2).mean((1, 2))\n")
    cli.main(f"{plan} --objective {own}".split())
    price = (xr.load_dataset(tmp_path / "plan.nc").f[:, :-1] ** 2).mean(("time", "x"))
    assert price.shape == (6,)
    absent = refused(capsys, f"{plan} --objective absent.py")
    assert "or a Python file" in absent and "absent.py" in absent
    own.write_text("")
    assert "defines a function objective" in refused(
        capsys, f"{plan} --objective {own}"
    )


@pytest.mark.slow
def test_controls_act_within_a_mask_of_the_file(files, tmp_path, capsys):
    trained(files, tmp_path, replace(TINY, task=tasks.control))
    data = xr.load_dataset(files / "data.nc")
    gate = (data.x < data.x.mean()).astype(np.float32)
    save(data.assign_coords(gate=gate), tmp_path / "data.nc")
    plan = (
        f"control {tmp_path / 'run/model'} {tmp_path / 'data.nc'} "
        f"{tmp_path / 'plan.nc'} --target {files / 'data.nc'} --steps 2"
    )
    cli.main(f"{plan} --within gate".split())
    f = xr.load_dataset(tmp_path / "plan.nc").f.isel(time=slice(-1))
    assert not f.where(gate == 0, drop=True).any()
    assert f.where(gate == 1, drop=True).all()
    assert "'ring' is none of" in refused(capsys, f"{plan} --within ring")


@pytest.mark.slow
def test_control_steers_to_a_share(files, tmp_path, monkeypatch):
    """Given as a number; the objective is what is missing from all of the smoke."""
    data = xr.load_dataset(files / "data.nc")
    grown = (data.time - data.time[0]).expand_dims(sample=6) / data.time[-1]
    own = {"cell_methods": "time: point"}
    smoke = grown.where(data.time > 0).astype(np.float32).assign_attrs(own)
    save(data.assign(smoke=smoke), tmp_path / "data.nc")
    wish = Field("smokeT", (), Role.FINAL, of="smoke")
    beside = tasks.Task((Field("smoke", ("time",)),), (wish,))
    trained(tmp_path, tmp_path, replace(TINY, task=tasks.control, beside=beside))
    goals, control = [], wdno.control

    def watched(*args, target, **how):
        goals.append(target)
        return control(*args, target=target, **how)

    monkeypatch.setattr(wdno, "control", watched)
    cli.main(
        f"control {tmp_path / 'run/model'} {files / 'data.nc'} {tmp_path / 'plan.nc'} "
        "--target 0.75 --objective leakage --strength 0 --steps 2".split()
    )
    assert list(goals[0]) == ["smoke"] and goals[0].smoke == 0.75
    plan = xr.load_dataset(tmp_path / "plan.nc")
    assert plan.smoke.dims == ("sample", "time")
    np.testing.assert_allclose(plan.objective, 1 - plan.smoke[:, -1], atol=1e-6)


def test_info_shows_models_and_files(files, capsys, unchecked):
    cli.main(["info", str(files / "run" / "model")])
    assert json.loads(capsys.readouterr().out)["network"]["kind"] == "FourierConfig"
    cli.main(["info", str(files / "data.nc")])
    assert "sample: 6" in capsys.readouterr().out
    model = str(files / "run" / "model")
    cli.main(["info", model, "--cost", "simulation", "--frames", "8"])
    assert " MiB of a device, " in capsys.readouterr().out
    assert "samples is 0" in refused(
        capsys, f"info {model} --cost simulation --samples 0"
    )


@pytest.mark.slow
def test_data_is_generated_once(tmp_path, capsys):
    out = tmp_path / "burgers.nc"
    small = "--parameters points 16 frames 2 duration 0.2 --chunk 2"
    ask = f"data burgers --samples 3 --out {out} --seed 5 {small}"
    cli.main(ask.split())
    first = out.read_bytes()
    cli.main(ask.split())
    assert out.read_bytes() == first
    dataset = xr.open_dataset(out)
    assert dict(dataset.u.sizes) == {"sample": 3, "time": 3, "x": 16}
    assert json.loads(dataset.attrs["recipe"])["seed"] == 5


@pytest.mark.parametrize("name", making.SYSTEMS)
def test_data_of_every_system_can_be_asked_for(name, tmp_path, monkeypatch):
    asked = []

    def generate(system, out, samples, *, seed, chunk, workers):
        asked.append((system, out.name, samples, seed, chunk))

    monkeypatch.setattr(making.systems, "generate", generate)
    monkeypatch.setattr(making.systems, "verify", lambda out: "nothing")
    cli.main(f"data {name} --samples 3 --out {tmp_path / 'd.nc'} --seed 5".split())
    systems = {
        "advection": Advection(),
        "advection-steep": Advection(
            waves=Waves(largest=16, share_folded=0.3, share_cut=0.3)
        ),
        "burgers": Burgers(),
        "burgers-bursts": Burgers(force_spans=(0.02, 0.2)),
        "kuramoto-sivashinsky": KuramotoSivashinsky(),
        "navier-stokes": CompressibleNavierStokes(),
        "navier-stokes-shock": CompressibleNavierStokes(points=128, refinement=8),
        "smoke": Smoke(),
        "smoke-small": Smoke(points=32, refinement=4, frames=16, substeps=16),
    }
    assert asked == [(systems[name], "d.nc", 3, 5, 512)]


def test_data_of_other_parameters(tmp_path, capsys):
    out = tmp_path / "burgers.nc"
    small = "--parameters viscosity 0.02 points 16 frames 2 duration 0.2"
    cli.main(f"data burgers --samples 2 --out {out} {small}".split())
    system = Burgers(viscosity=0.02, points=16, frames=2, duration=0.2)
    expected = wdno.systems.generate(system, tmp_path / "expected.nc", 2)
    assert wdno.systems.verify(out) == wdno.systems.verify(expected)
    recipe = json.loads(xr.open_dataset(out).attrs["recipe"])
    assert recipe["parameters"]["viscosity"] == 0.02
    assert isinstance(recipe["parameters"]["points"], int)

    out = tmp_path / "none.nc"
    for wrong in (
        "density 2",
        "points 2.5",
        "points inf",
        "viscosity nan",
        "force_spans 0.1",
    ):
        message = refused(
            capsys, f"data burgers --samples 2 --out {out} --parameters {wrong}"
        )
        assert wrong.replace(" ", " = ") in message and "viscosity (float)" in message
    assert not out.exists()


def test_small_smoke_is_solved_on_the_grid_and_with_the_steps_of_the_other():
    small, whole = making.SYSTEMS["smoke-small"](), making.SYSTEMS["smoke"]()
    assert (small.points, small.frames) == (32, 16)
    assert small.points * small.refinement == whole.points * whole.refinement
    assert small.frames * small.substeps == whole.frames * whole.substeps
    assert small.duration == whole.duration


def test_data_in_parts_make_a_store(tmp_path, capsys):
    out = tmp_path / "burgers.zarr"
    small = "--parameters points 16 frames 2 duration 0.2 --chunk 2"
    ask = f"data burgers --samples 3 --out {out} {small}"
    cli.main(f"{ask} --chunks 1:2".split())
    assert "Solved chunks 1:2" in capsys.readouterr().out and not out.exists()
    cli.main(ask.split())
    assert wdno.systems.verify(out) in capsys.readouterr().out
    assert "i < j" in refused(capsys, f"{ask} --chunks 2:1")
    assert "into a Zarr store" in refused(
        capsys, f"data burgers --samples 3 --out {tmp_path / 'a.nc'} --chunks 0:1"
    )


def test_data_of_an_unknown_system_are_refused(capsys, tmp_path):
    message = refused(capsys, f"data fog --samples 3 --out {tmp_path / 'd.nc'}")
    assert "smoke-small" in message and not list(tmp_path.iterdir())


def test_wrong_input_is_told_what_to_do(files, tmp_path, capsys):
    model, data = files / "run" / "model", files / "data.nc"
    save(xr.open_dataset(data)[["u"]], tmp_path / "no_force.nc")
    no_force = refused(
        capsys, f"simulate {model} {tmp_path / 'no_force.nc'} {tmp_path / 'o.nc'}"
    )
    assert "f" in no_force and "u" in no_force
    unknown = refused(capsys, f"simulate nothing {data} {tmp_path / 'o.nc'}")
    assert "burgers-simulation" in unknown
    absent = refused(capsys, f"simulate {model} absent.nc {tmp_path / 'o.nc'}")
    assert "absent.nc" in absent
    folder = refused(capsys, f"simulate {model} {data} {tmp_path / 'no' / 'o.nc'}")
    assert "Create the folder" in folder
    recipe = refused(capsys, f"train nothing --data {data} --out {tmp_path / 'r'}")
    assert "burgers-simulation" in recipe
    again = refused(
        capsys,
        f"train burgers-simulation --data {data} --out {tmp_path / 'r'} --steps 1 "
        "--validation-samples 6",
    )
    assert "held back" in again


# Help and outputs ---------------------------------------------------------------------


def test_help_needs_no_array_library_and_says_what_commands_say(capsys):
    code = (
        "import sys; from wdno import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as stopped: print(stopped.code, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    for name, summary in cli.SUMMARIES.items():
        assert f"{name} " in done.stdout and summary in done.stdout
        assert cli.command(name).__doc__.splitlines()[0] == summary
    assert list(cli.SUMMARIES) == list(cli.COMMANDS)
    assert "simulate" in refused(capsys, "simulat a b c")


@pytest.mark.parametrize(
    "command",
    [
        "simulate m d.nc {absent}/o.nc",
        "simulate m d.nc {folder}",
        "simulate m d.nc {absent}/o.zarr",
        "refine m c.nc d.nc {absent}/o.nc",
        "control m d.nc {folder}",
        "export m --out {absent}/m.stablehlo",
        "evaluate a.nc b.nc --out {folder}",
        "diagnose m d.nc --out {file}",
        "calibrate m d.nc --out {file}",
        "distill m d.nc --out {file} --steps 1",
        "diagnose m d.nc --out {file}/in",
        "excerpt store.zarr {absent}/o.nc",
        "data burgers --samples 2 --out {folder}",
        "data burgers --samples 2 --out {absent}/d.zarr",
        "train burgers-simulation --data d.nc --out {file} --steps 1",
        "import-official c.pt --kind burgers --out {file}",
        "download a.hdf5 --out {file}",
        "demo burgers --out {file}",
    ],
)
def test_outputs_are_refused_before_anything_is_read(command, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    places = {name: tmp_path / name for name in ("absent", "folder", "file")}
    message = refused(capsys, command.format(**places))
    assert str(tmp_path) in message and "d.nc" not in message


def test_stores_go_in_and_out_and_home_is_expanded(files, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.setenv("HOME", str(tmp_path))
    data = xr.load_dataset(files / "data.nc")
    data.u.attrs |= {"checked": True, "source": None, "grid": {"points": 16}}
    data.to_zarr(tmp_path / "data.zarr")
    model = files / "run" / "model"
    cli.main(f"simulate {model} ~/data.zarr ~/out.zarr".split())
    cli.main(f"simulate {model} ~/data.zarr ~/out.nc".split())
    cli.main(f"simulate {model} {files / 'data.nc'} {tmp_path / 'same.nc'}".split())
    store = xr.load_dataset(tmp_path / "out.zarr", engine="zarr")
    file = xr.load_dataset(tmp_path / "out.nc")
    xr.testing.assert_equal(store, file)
    xr.testing.assert_equal(file, xr.load_dataset(tmp_path / "same.nc"))
    expected = {"checked": "true", "source": "null", "grid": '{"points": 16}'}
    assert expected.items() <= file.u.attrs.items()
    cli.main(f"evaluate ~/out.zarr ~/data.zarr --out={'~/scores.nc'}".split())
    assert (tmp_path / "scores.nc").is_file()


def test_data_come_from_an_address_or_a_zip(files, tmp_path, capsys):
    for package in ("zarr", "fsspec", "aiohttp"):
        pytest.importorskip(package)
    model, data = files / "run" / "model", files / "data.nc"
    save(xr.load_dataset(data), tmp_path / "data.zarr")
    shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data.zarr")
    cli.main(f"simulate {model} {data} {tmp_path / 'here.nc'}".split())
    with serving(tmp_path) as served:
        for name in ("data.zarr", "data.zip", "here.nc"):
            there = f"{served.url}/{name}"
            cli.main(f"simulate {model} {there} {tmp_path / 'there.zarr'}".split())
            cli.main(f"evaluate {tmp_path / 'there.zarr'} {there}".split())
            found = xr.load_dataset(tmp_path / "there.zarr", engine="zarr")
            xr.testing.assert_equal(found, xr.load_dataset(tmp_path / "here.nc"))
        message = refused(
            capsys, f"simulate {model} {served.url}/a {tmp_path / 'o.nc'}"
        )
        assert "nothing at http" in message


def test_an_update_has_a_window_or_more(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    train = f"train tiny --data {files / 'data.nc'} --out {tmp_path / 'r'} --steps 1"
    assert "one window or more" in refused(capsys, f"{train} --batch-size 0")


def test_processes_and_devices_that_cannot_be_are_refused(files, tmp_path, capsys):
    train = f"train --data {files / 'data.nc'} --out {tmp_path / 'r'} --steps 1"
    for wrong in ("--coordinator here:1 --process 0", "--processes 2 --process 1"):
        assert "Give all three" in refused(capsys, f"{train} {wrong}")
    many = jax.device_count() + 1
    assert "Ask for others" in refused(capsys, f"{train} --devices {many}")
    assert not (tmp_path / "r").exists()


def test_one_trajectory_without_a_sample_is_simulated_and_scored(
    files, tmp_path, capsys
):
    one = xr.load_dataset(files / "data.nc").isel(sample=1)
    save(one, tmp_path / "one.nc")
    model = files / "run" / "model"
    cli.main(f"simulate {model} {tmp_path / 'one.nc'} {tmp_path / 'o.nc'}".split())
    capsys.readouterr()
    cli.main(f"evaluate {tmp_path / 'o.nc'} {tmp_path / 'one.nc'}".split())
    assert "[nan, nan]" in capsys.readouterr().out


# Public data --------------------------------------------------------------------------


def test_public_files_are_listed_without_any_name(capsys):
    cli.main(["download"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(io.download.public_files())
    assert "shock tubes, η = ζ = 1e-8, outgoing" in lines[24]


def test_public_files_are_planned_then_fetched(tmp_path, capsys, monkeypatch):
    pytest.importorskip("requests")
    content = bytes(range(250)) * 10
    (tmp_path / "a.hdf5").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with serving(tmp_path) as served:
        public = io.download.PublicFile(
            "a.hdf5", f"{served.url}/a.hdf5", f"sha256:{digest}", None, "CC0", ""
        )
        table = {"a.hdf5": public}
        monkeypatch.setattr("wdno.io.download.public.public_files", lambda: table)
        command = f"download a.hdf5 --out {tmp_path / 'data'}"
        cli.main(f"{command} --dry-run".split())
        assert "a.hdf5: 2.5 kB to fetch; terms of use CC0" in (
            planned := capsys.readouterr().out
        )
        assert "\n2.5 kB to fetch in all" in planned
        assert not (tmp_path / "data").exists()
        cli.main(command.split())
        assert (tmp_path / "data" / "a.hdf5").read_bytes() == content
        assert "its checksum is right" in capsys.readouterr().out
        cli.main(f"{command} --dry-run".split())
        assert "a.hdf5: is there, 2.5 kB;" in (planned := capsys.readouterr().out)
        assert "\n0 B to fetch in all" in planned
        (tmp_path / "data" / "a.hdf5").write_bytes(b"mine")
        assert "Move or remove it" in refused(capsys, command)
        cli.main(f"{command} --dry-run".split())
        assert "another file has the name" in capsys.readouterr().out
        (tmp_path / "a.hdf5").unlink()
        (tmp_path / "data" / "a.hdf5").unlink()
        assert "answered 404 Not Found" in refused(capsys, command)
    assert "known name, but got 'b.hdf5'" in refused(capsys, "download b.hdf5")


@pytest.mark.slow
def test_a_system_without_controls_is_learned_and_simulated(tmp_path, monkeypatch):
    """With a speed of each trajectory, for any number of frames."""
    system = Advection(points=16, frames=8, duration=0.08)
    truth = system.trajectories(jax.random.key(0), 6)
    save(truth, tmp_path / "data.nc")
    ring = MultiplierConfig(instants=2, frequencies=4, modes=3, width=4, depth=1)
    recipe = replace(
        recipes.RECIPES["advection-simulation"],
        window=4,
        network=ring,
        residual=None,
        batch_size=2,
    )
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    cli.main(
        f"train tiny --data {tmp_path / 'data.nc'} --out {tmp_path / 'run'} "
        "--steps 1 --validation-samples 2".split()
    )
    command = f"simulate {tmp_path / 'run/model'} {tmp_path / 'data.nc'}"
    for more, frames in (("", 8), (" --frames 11", 11)):
        cli.main(f"{command} {tmp_path / 'out.nc'}{more}".split())
        found = xr.load_dataset(tmp_path / "out.nc")
        assert dict(found.sizes) == {"sample": 6, "time": frames + 1, "x": 16}
        np.testing.assert_array_equal(found.advection_speed, truth.advection_speed)
        np.testing.assert_array_equal(found.u[:, 0], truth.u[:, 0])
    save(truth.drop_vars("advection_speed"), tmp_path / "data.nc")
    with pytest.raises(SystemExit):
        cli.main(f"{command} {tmp_path / 'out.nc'}".split())


def test_excerpts_are_weighed_then_copied(tmp_path, capsys):
    coords = {
        "time": np.datetime64("2020-01-01", "ns")
        + np.arange(8) * np.timedelta64(6, "h"),
        "level": [500, 850],
        "latitude": [-45.0, 0, 45],
        "longitude": [0.0, 90, 180, 270],
    }
    values = np.arange(8 * 2 * 3 * 4, dtype=np.float32).reshape(8, 2, 3, 4)
    weather = xr.Dataset({name: (tuple(coords), values) for name in "tz"}, coords)
    weather.to_zarr(tmp_path / "store.zarr")
    command = (
        f"excerpt {tmp_path / 'store.zarr'} {tmp_path / 'copy.nc'} --variables t "
        "--levels 500 --region 0 45 -90 90 --times 2020-01-01T12 2020-01-02 --every 2"
    )
    cli.main(f"{command} --dry-run".split())
    planned = capsys.readouterr().out
    for extent in ("'time': 3", "'latitude': 2", "'longitude': 3"):
        assert extent in planned
    assert not (tmp_path / "copy.nc").exists()
    cli.main(command.split())
    copy = xr.load_dataset(tmp_path / "copy.nc")
    assert list(copy) == ["t_500"]
    expected = values[2::2, 0, 1:][..., [3, 0, 1]]
    np.testing.assert_array_equal(copy.t_500, expected)
    unknown = refused(capsys, command.replace("--variables t", "--variables fog"))
    assert "fog" in unknown


def test_amounts_have_three_digits():
    sizes = (0, 999, 1000, 8_233_000_000, 999_600_000, 5 * 10**15)
    written = ["0 B", "999 B", "1 kB", "8.23 GB", "1 GB", "5e+03 TB"]
    assert [amount(size) for size in sizes] == written


# Official checkpoints -----------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty():
    """Compile without optimisation, which takes a U-Net half a minute."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def imported(shared, hasty, tmp_path_factory):
    """A folder with an official checkpoint of width 8 and the model made of it."""
    folder = tmp_path_factory.mktemp("official")
    with np.load(shared / "golden" / "unet2d.npz") as golden:
        tensors = {n[6:]: golden[n] for n in golden.files if n.startswith("param/")}
    stored = {f"model.{name}": tensor for name, tensor in tensors.items()}
    stored["betas"] = np.linspace(0, 1, 1000)
    saved(folder / "model-1.pt", stored)
    halves = {name: tensor[: -(-len(tensor) // 2)] for name, tensor in tensors.items()}
    halves["extra.bias"] = halves.pop("final_conv.bias")
    saved(folder / "other.pt", halves)
    command = f"import-official {folder / 'model-1.pt'} --kind burgers --width 8"
    cli.main(f"{command} --out {folder / 'model'}".split())
    return folder


@pytest.mark.slow
@pytest.mark.shared
def test_imported_models_simulate_official_data(imported, tmp_path):
    smooth = np.sin(np.pi * np.arange(1, 121) / 121).astype(np.float32)
    u = np.tile(smooth, (2, 81, 1)) * np.array([1, -0.5], np.float32)[:, None, None]
    path = saved(tmp_path / "test", {"u": u, "f": 0.1 * u[:, 1:]})
    truth = io.open_burgers(path)
    forecast = wdno.simulate(
        wdno.load(imported / "model"),
        truth.u.isel(time=0),
        truth.f,
        sampler=samplers.ddim(1.0),
        steps=2,
        key=jax.random.key(0),
    )
    assert dict(forecast.u.sizes) == {"sample": 2, "time": 81, "x": 120}
    np.testing.assert_array_equal(forecast.u.isel(time=0), truth.u.isel(time=0))
    np.testing.assert_array_equal(forecast.f, truth.f)
    assert np.isfinite(forecast.u).all() and forecast.u[:, 1:].std() > 0.01


@pytest.mark.shared
def test_imported_models_tell_their_origin(imported, capsys):
    cli.main(["info", str(imported / "model")])
    card = json.loads(capsys.readouterr().out)
    assert card["name"] == "model" and card["parameters"] == 677113
    assert card["origin"] == {
        "file": "model-1.pt",
        "weights": "model",
        "kind": "burgers",
        "task": "simulation",
    }


@pytest.mark.shared
def test_checkpoints_that_do_not_fit_are_refused(imported, tmp_path, capsys):
    command = f"import-official {imported}/%s --kind burgers --out {tmp_path / 'm'} "
    other = refused(capsys, command % "other.pt" + "--width 8")
    assert "1 are missing ['head.bias'], 1 surplus ['extra.bias']" in other
    assert "downs.0.0.block1.norm.bias (4,) instead of (8,)" in other
    average = refused(capsys, command % "other.pt" + "--width 8 --weights ema")
    assert "no 'ema' among" in average and "Take the part 'model'" in average
    absent = refused(capsys, command % "absent.pt")
    assert "there is none at" in absent and "absent.pt" in absent
    assert not (tmp_path / "m").exists()
