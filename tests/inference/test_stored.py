"""Records written as they come are those that come as a whole, also after a break."""

import jax
import numpy as np
import pytest
import xarray as xr
from oracles import (
    BESIDE,
    NAMES,
    Gated,
    Uncertain,
    make_fields,
    make_gated_fields,
    make_operator,
    with_beside,
)

from wdno import open_trajectories, rollout, simulate
from wdno.diffusion.samplers import ddim
from wdno.operator import tasks
from wdno.trajectory import GrowingStore, save, to_dataset

pytest.importorskip("zarr")

KEY = jax.random.key(0)
FRAMES = 18
"""Four windows of four frames, and half a one."""
HOW = {"members": 3, "sampler": ddim(1.0), "steps": 2, "batch_size": 4, "key": KEY}


def make_truth(fields=None, **how):
    coords = {"time": 0.25 * np.arange(FRAMES + 1), "x": np.arange(8) / 8}
    return to_dataset(fields or make_fields(3, FRAMES), coords, *NAMES, **how)


def dated(truth):
    time = np.datetime64("2020-02-28T23:59:59", "ns")
    steps = np.arange(FRAMES + 1) * np.timedelta64(250, "ms")
    return truth.assign_coords(time=time + steps, sample=["a", "b", "c"])


def plain():
    return make_operator(Uncertain), make_truth(), HOW


def single_and_dated():
    return make_operator(Uncertain), dated(make_truth()).astype(np.float32), HOW


def gated():
    """With what comes beside the states, and what never changes."""
    fields = make_gated_fields(batch=3, frames=FRAMES)
    beside = {quantity.name: quantity.dims for quantity in BESIDE.targets}
    truth = make_truth(fields, auxiliary=beside)
    truth = truth.assign_coords(gate=(("sample", "x"), np.asarray(fields["gate"])))
    return make_operator(Gated, task=with_beside(tasks.simulation)), truth, {"key": KEY}


def forecast(model, truth, how, **more):
    return simulate(model, truth.u.isel(time=0), truth.f, **how, **more)


@pytest.mark.parametrize(
    "problem", [pytest.param(plain, marks=pytest.mark.slow), single_and_dated, gated]
)
def test_a_record_in_a_store_has_the_bits_of_one_in_memory(problem, tmp_path):
    model, truth, how = problem()
    expected = forecast(model, truth, how)
    found = forecast(model, truth, how, out=tmp_path / "a.zarr")
    xr.testing.assert_identical(found.load(), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("problem", "there"), [(single_and_dated, 3), (gated, 1), (gated, 4), (gated, 5)]
)
def test_an_interrupted_record_goes_on_to_the_same_bits(
    problem, there, tmp_path, monkeypatch
):
    model, truth, how = problem()
    written = []

    def note(self, instants, note=GrowingStore._note):
        note(self, instants)
        written.append(self.blocks)
        if len(written) == there:
            raise KeyboardInterrupt

    monkeypatch.setattr(GrowingStore, "_note", note)
    path = tmp_path / "a.zarr"
    with pytest.raises(KeyboardInterrupt):
        forecast(model, truth, how, out=path)
    assert not path.exists()
    with pytest.raises(ValueError, match=r"begun with.*differs in \['key'\]"):
        forecast(model, truth, how | {"key": jax.random.key(1)}, out=path)
    found = forecast(model, truth, how, out=path)
    assert written == [1, 2, 3, 4, 5]  # none of them twice
    xr.testing.assert_identical(found.load(), forecast(model, truth, how))


def test_controls_are_read_a_window_at_a_time(tmp_path, monkeypatch):
    model, truth, how = plain()
    save(truth, tmp_path / "truth.nc")
    read = []
    opened = open_trajectories(tmp_path / "truth.nc")
    reader = type(opened.f.variable._data.array.array.array._reader)

    def noted(self, key, read_part=reader.read):
        part = read_part(self, key)
        read.append(part.shape)
        return part

    monkeypatch.setattr(reader, "read", noted)
    found = forecast(model, opened, how, out=tmp_path / "a.zarr")
    # the first window also says what the batch is; a fingerprint reads all of little
    assert (3, 4, 8) in read and (3, 2, 8) in read
    xr.testing.assert_identical(found.load(), forecast(model, truth, how))


def test_bad_input_is_refused_before_or_where_it_is_read(tmp_path):
    model, truth, how = plain()
    with pytest.raises(ValueError, match="path ends in .zarr, but got .*a.nc"):
        forecast(model, truth, how, out=tmp_path / "a.nc")
    with pytest.raises(FileNotFoundError, match="no .*missing for a.zarr"):
        forecast(model, truth, how, out=tmp_path / "missing" / "a.zarr")
    bad = truth.assign(f=truth.f.where(truth.time < 4.0))
    with pytest.raises(ValueError, match="f has NaN or Inf in sample 0"):
        forecast(model, bad, how)
    with pytest.raises(ValueError, match="f has NaN or Inf in sample 0"):
        forecast(model, bad, how, out=tmp_path / "a.zarr")


def test_two_rollouts_in_a_row_are_one(tmp_path):
    model, fields = make_operator(Uncertain), make_fields(3, 12)
    how = {"sampler": ddim(1.0), "steps": 2, "key": KEY}
    u0, f = ({name: fields[name]} for name in ("u0", "f"))
    whole = rollout(model, u0, f, **how)["u"]
    first = rollout(model, u0, {"f": f["f"][:, :4]}, **how)["u"]
    rest = rollout(model, {"u0": first[:, -1]}, {"f": f["f"][:, 4:]}, begun=1, **how)[
        "u"
    ]
    np.testing.assert_allclose(first, whole[:, :4], rtol=1e-12)
    np.testing.assert_allclose(rest, whole[:, 4:], rtol=1e-12)
