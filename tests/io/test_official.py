"""Files of others: archives of ``torch.save``, official data, official checkpoints."""

import pickle
import zipfile
from collections import OrderedDict

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from torch_archive import (
    ORDERED,
    Call,
    Named,
    Storage,
    archive,
    encoded,
    saved,
    stored,
    tensor,
)

from wdno import io
from wdno.io import torch_files
from wdno.trajectory.lazy import lazy


def generator(seed=0):
    return np.random.default_rng(seed)


SYSTEM = Named("os", "system")
PARAMETER = Named("torch._utils", "_rebuild_parameter")
SIX = Storage("FloatStorage", "s0", 6)
NUMBERS = np.arange(6, dtype=np.float32)


def made(path, value):
    """What is read of a file of `value` whose one storage counts from 0 to 5."""
    return torch_files.read(archive(path / "made.pt", value, s0=NUMBERS))


def mapped(array):
    """Whether the numbers of an array lie in a file."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


WHOLE = [np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
REAL = [np.float32, np.float64, np.float16]
BRAIN = ml_dtypes.bfloat16
each_type = pytest.mark.parametrize("dtype", [*WHOLE, *REAL, BRAIN])


@each_type
def test_tensors_of_every_type_are_read(tmp_path, dtype):
    array = generator().integers(0, 100, (2, 3, 4)).astype(dtype)
    path = saved(tmp_path / "a.pt", {"a.weight": array})
    (name, back), *others = torch_files.read(path).items()
    assert name == "a.weight" and not others and back.dtype == dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "shape",
    [
        (),
        *((1,), (0,), (0, 3), (2, 0)),
    ],
)
def test_scalars_and_empty_tensors_keep_their_shape(tmp_path, shape):
    array = np.full(shape, 2.5)
    back = torch_files.read(saved(tmp_path / "a.pt", {"a": array}))["a"]
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)


def test_tensors_anywhere_in_a_file_are_memory_maps_that_cannot_be_written(tmp_path):
    arrays = {f"{n}": generator(n).normal(size=2 * n + 1) for n in range(9)}
    arrays |= {"odd": np.ones(3, np.int8), "half": np.ones(5, np.float16)}
    back = torch_files.read(saved(tmp_path / "a.pt", arrays))
    assert any(a.ctypes.data % a.itemsize for a in back.values())  # not aligned
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        np.testing.assert_array_equal(jnp.asarray(back[name]), array)
        assert mapped(back[name])
        with pytest.raises(ValueError, match="read-only"):
            back[name][0] = 0


def test_compressed_storages_are_read(tmp_path):
    value = tensor(SIX, (2, 3), (3, 1))
    path = archive(tmp_path / "a.pt", value, zipfile.ZIP_DEFLATED, s0=NUMBERS)
    np.testing.assert_array_equal(torch_files.read(path), NUMBERS.reshape(2, 3))


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((3, 2), (1, 3), 0, [[0, 3], [1, 4], [2, 5]]),
        ((2, 2), (3, 1), 1, [[1, 2], [4, 5]]),
        ((2, 3), (0, 2), 1, [[1, 3, 5], [1, 3, 5]]),
        ((2,), (3,), 2, [2, 5]),
        ((), (), 4, 4),
        ((0, 2), (2, 1), 6, np.ones((0, 2))),
    ],
)
def test_tensors_are_views_of_their_storage(tmp_path, shape, strides, offset, expected):
    found = made(tmp_path, tensor(SIX, shape, strides, offset))
    assert found.shape == shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((7,), (1,), 0),
        ((2,), (1,), 5),
        ((2, 2), (4, 2), 0),
        ((), (), 6),
        ((2,), (-1,), 0),
        ((2, 2), (-1, 1), 0),
        ((2,), (1,), -1),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(tmp_path, shape, strides, offset):
    with pytest.raises(ValueError, match="lies within its storage, .* leaves 6 numb"):
        made(tmp_path, tensor(SIX, shape, strides, offset))


def test_containers_and_plain_values_are_read(tmp_path):
    plain = {"none": None, "flags": [True, False], "step": 3, "loss": -0.5, "é": "ü"}
    nested = {"deep": {"list": [(1, 2.5), {}]}, 7: 2**40}
    assert made(tmp_path, plain | nested) == plain | nested
    assert made(tmp_path, Call(Named("torch", "Size"), ((3, 2),))) == (3, 2)
    pairs = made(tmp_path, Call(ORDERED, ([("b", 1), ("a", 2)],)))
    assert isinstance(pairs, OrderedDict) and list(pairs.items()) == [
        ("b", 1),
        ("a", 2),
    ]


def test_parameters_are_their_tensors(tmp_path):
    inner = tensor(SIX, (6,), (1,))
    found = made(tmp_path, Call(PARAMETER, (inner, True, Call(ORDERED, ()))))
    np.testing.assert_array_equal(found, NUMBERS)


def test_tensors_may_share_a_storage_and_lie_anywhere(tmp_path):
    other = generator().normal(size=4).astype(ml_dtypes.bfloat16)
    value = {
        "whole": tensor(SIX, (2, 3), (3, 1)),
        "nested": [{"part": tensor(SIX, (2,), (1,), 4)}],
        "other": tensor(Storage("BFloat16Storage", "long/name", 4), (4,), (1,)),
    }
    storages = {"s0": NUMBERS, "long/name": other}
    found = torch_files.read(archive(tmp_path / "a.pt", value, **storages))
    np.testing.assert_array_equal(found["whole"], NUMBERS.reshape(2, 3))
    np.testing.assert_array_equal(found["nested"][0]["part"], [4, 5])
    np.testing.assert_array_equal(found["other"], other)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("numpy._core.multiarray", "scalar"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__call__"),
    ],
)
def test_foreign_classes_are_refused_by_name(tmp_path, module, name):
    foreign = Call(Named(module, name), ("0",))
    with pytest.raises(ValueError, match=rf"holds a {module}\.{name}, which could run"):
        made(tmp_path, {"good": tensor(SIX, (6,), (1,)), "bad": [foreign]})


@pytest.mark.parametrize("where", ["value", "argument", "storage"])
def test_commands_in_a_file_do_not_run(tmp_path, where):
    command = Call(SYSTEM, (f"touch {tmp_path / 'ran'}",))
    value = {
        "value": command,
        "argument": tensor(SIX, (6,), (1,), command),
        "storage": tensor(Storage("FloatStorage", command, 6), (6,), (1,)),
    }[where]
    with pytest.raises(ValueError, match=r"holds a os\.system"):
        made(tmp_path, value)
    assert not (tmp_path / "ran").exists()
    assert pickle.loads(b"\x80\2" + encoded(command) + b".") == 0  # it would have
    assert (tmp_path / "ran").exists()


def test_absent_and_foreign_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is none at .*absent\.pt"):
        torch_files.read(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        torch_files.read(tmp_path)
    (tmp_path / "text").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=NUMBERS)
    for name in ("text", "other.npz"):
        with pytest.raises(ValueError, match=f"zip archive with data.pkl, .*{name} is"):
            torch_files.read(tmp_path / name)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_truncated_files_are_told(tmp_path, share):
    path = saved(tmp_path / "a.pt", {"a": np.ones(500), "b": np.ones(500)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"a\.pt is not .*Is it complete"):
        torch_files.read(path)


@pytest.mark.parametrize("count", [5, 7, 0])
def test_storages_of_another_size_are_told(tmp_path, count):
    storage = Storage("FloatStorage", "s0", count)
    with pytest.raises(ValueError, match=f"{count} float32 has .* has 24. The file is"):
        made(tmp_path, tensor(storage, (1,), (1,)))


@pytest.mark.parametrize("damage", ["storage", "cut", "empty", "checksum", "nonsense"])
def test_damaged_archives_are_told(tmp_path, damage):
    value = tensor(SIX, (6,), (1,))
    program = b"\x80\2" + encoded(value) + b"."
    program = {"cut": program[:30], "empty": b"", "nonsense": b"\x80\2NQ."}.get(
        damage, program
    )
    storages = {} if damage == "storage" else {"s0": NUMBERS}
    path = archive(tmp_path / "made.pt", program, **storages)
    if damage == "checksum":
        path.write_bytes(path.read_bytes().replace(b"_rebuild", b"_rebuilt", 1))
    with pytest.raises(ValueError, match=r"made\.pt"):
        torch_files.read(path)


@each_type
def test_pytorch_reads_the_files_made_here(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    digits = generator().integers(0, 9, (2, 3)).astype(dtype)
    arrays = {"flat": digits, "empty": digits[:0]}
    found = torch.load(saved(tmp_path / "a.pt", arrays), weights_only=True)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert str(found[name].dtype) == f"torch.{np.dtype(dtype)}"
        np.testing.assert_array_equal(found[name].double().numpy(), array.astype(float))


def test_what_pytorch_writes_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    layer, base = torch.nn.Linear(3, 4), torch.arange(12.0).reshape(3, 4)
    value = {
        "model": layer.state_dict(),
        "parameter": layer.weight,
        "turned": base.t()[1:],
        "row": base[1],
        "half": torch.linspace(0, 1, 5, dtype=torch.bfloat16),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.zeros(0, 2),
        "rest": [None, 3, 0.5, base.shape, (True, "text")],
    }
    torch.save(value, tmp_path / "a.pt")
    found = torch_files.read(tmp_path / "a.pt")
    assert found.pop("rest") == value.pop("rest")
    found |= found.pop("model")
    value |= value.pop("model")
    assert found.keys() == value.keys()
    for name, expected in value.items():
        assert found[name].shape == tuple(expected.shape)
        assert f"torch.{found[name].dtype}" == str(expected.dtype)
        expected = expected.detach().double().numpy()
        np.testing.assert_array_equal(found[name].astype(float), expected)
    torch.save(layer, tmp_path / "b.pt")
    with pytest.raises(ValueError, match="holds a torch.nn.modules.linear.Linear"):
        torch_files.read(tmp_path / "b.pt")


# Samples that are read when needed ----------------------------------------------------

VALUES = generator().normal(size=(6, 3, 4))


@pytest.fixture
def counted():
    """A variable read sample by sample, and the list of those read so far."""
    calls = []

    def load(n):
        calls.append(n)
        return VALUES[n]

    return xr.Dataset({"u": lazy(load, 6, ("time", "x"))}).u, calls


def test_opening_reads_the_first_sample_only(counted):
    u, calls = counted
    assert u.dims == ("sample", "time", "x") and u.shape == (6, 3, 4)
    assert u.dtype == VALUES.dtype and u.isel(sample=slice(2, 5)).shape == (3, 3, 4)
    assert calls == [0]


@pytest.mark.parametrize(
    "which",
    [
        *(2, -1, np.int64(3)),
        *(slice(1, 4), slice(None), slice(1, None, 2), slice(0, 0), slice(9, 12)),
        *(slice(4, None, -1), [], [2, 3, 2], np.arange(6) < 2),
        pytest.param(slice(4, 0, -3), id="backwards"),
        [0, 4],
    ],
    ids=str,
)
def test_selected_samples_are_read_and_no_others(counted, which):
    u, calls = counted
    calls.clear()
    np.testing.assert_array_equal(
        u.isel(sample=which), xr.DataArray(VALUES, dims=u.dims).isel(sample=which)
    )
    assert sorted(set(calls)) == sorted(set(np.atleast_1d(np.arange(6)[which])))
    assert len(calls) == len(set(calls))


@pytest.mark.parametrize(
    "which",
    [
        {"time": 1},
        {"x": [3, 0]},
        {"sample": 1, "x": [3, 0, 0], "time": 0},
        {"sample": [5, 0], "time": slice(None, None, -2), "x": [1, 3]},
        {"sample": slice(1, 3), "time": [2, 0], "x": -1},
        {"sample": slice(0, 0), "time": [2, 0], "x": 1},
        {d: xr.DataArray([2, 0], dims="point") for d in ("sample", "x")},
    ],
    ids=lambda which: ",".join(which),
)
def test_selections_along_all_axes_agree_with_numpy(counted, which):
    expected = xr.DataArray(VALUES, dims=counted[0].dims).isel(which)
    xr.testing.assert_equal(counted[0].isel(which).drop_attrs(), expected)


# Burgers ------------------------------------------------------------------------------


@pytest.fixture
def flows():
    """States and forces as the official generator saves them."""
    u = generator(1).normal(size=(3, 9, 120)).astype(np.float32)
    f = generator(2).normal(size=(3, 8, 120)).astype(np.float32)
    return {"u": u, "f": f}


def test_burgers_flows_are_opened_on_their_grid(flows, tmp_path):
    data = io.open_burgers(saved(tmp_path / "train", flows))
    assert set(data) == {"u", "f"}
    assert not any(data[n].variable._in_memory for n in data)
    assert data.u.dims == data.f.dims == ("sample", "time", "x")
    np.testing.assert_array_equal(data.time, np.arange(9))
    np.testing.assert_allclose(data.x[[0, 1, -1]] * 1921, [1, 17, 1905], rtol=1e-12)
    np.testing.assert_array_equal(data.u, flows["u"])
    np.testing.assert_array_equal(data.f[:, :-1], flows["f"])
    assert data.f.shape == data.u.shape and not data.f[:, -1].any()
    np.testing.assert_array_equal(data.f.isel(sample=2, time=5), flows["f"][2, 5])


def test_loaded_flows_can_be_changed_without_changing_the_file(flows, tmp_path):
    path = saved(tmp_path / "train", flows)
    data = io.open_burgers(path).load()
    data.u[1, 0, 0] = 5.0
    assert data.u[1, 0, 0] == 5.0
    np.testing.assert_array_equal(io.open_burgers(path).u, flows["u"])


def test_one_loaded_flow_can_be_changed(flows, tmp_path):
    data = io.open_burgers(saved(tmp_path / "train", flows)).isel(sample=1).load()
    data.u[0, 0] = 5.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": np.ones((3, 9, 120))}, r"one row fewer .*\(3, 9, 120\)"),
        ({"f": np.ones((2, 8, 120))}, r"one row fewer .*\(2, 8, 120\)"),
        ({"f": np.ones((3, 8, 60))}, r"one row fewer .*\(3, 8, 60\)"),
        ({"u": np.ones((9, 120))}, r"array 'u' with 3 axes"),
    ],
)
def test_burgers_files_of_other_shapes_are_refused(flows, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        io.open_burgers(saved(tmp_path / "train", flows | change))


@pytest.mark.parametrize("name", ["u", "f"])
def test_burgers_files_without_an_array_are_refused(flows, tmp_path, name):
    del flows[name]
    with pytest.raises(ValueError, match=f"an array '{name}' .* holds .'[uf]'."):
        io.open_burgers(saved(tmp_path / "train", flows))
    with pytest.raises(ValueError, match="holds list"):
        io.open_burgers(archive(tmp_path / "list", [1]))


@pytest.mark.parametrize("points", [121, 2000])
def test_burgers_grids_that_are_no_part_of_the_finest_are_refused(tmp_path, points):
    flows = {"u": np.ones((1, 3, points)), "f": np.ones((1, 2, points))}
    with pytest.raises(ValueError, match=str(points)):
        io.open_burgers(saved(tmp_path / "train", flows))


def test_burgers_files_without_samples_are_refused_or_opened_empty(tmp_path):
    flows = {"u": np.ones((0, 3, 120)), "f": np.ones((0, 2, 120))}
    path = saved(tmp_path / "train", flows)
    try:
        assert io.open_burgers(path).sizes["sample"] == 0
    except ValueError as error:
        assert "train" in str(error)


@pytest.mark.shared
def test_positions_of_official_flows_are_those_of_the_finest_grid(shared, tmp_path):
    with np.load(shared / "data/burgers/official_solver_n2.npz") as official:
        u, f, start = (official[name] for name in ("u", "f", "u0_full"))
    data = io.open_burgers(saved(tmp_path / "train", {"u": u, "f": f}))
    inner = np.rint(1921 * data.x.values).astype(int) - 1
    np.testing.assert_array_equal(data.u.isel(time=0), start[:, inner])
    assert data.time[-1] == 8


def test_cached_coefficients_are_opened_by_level(tmp_path):
    fine = generator(0).normal(size=(3, 2, 4, 6, 10)).astype(np.float32)
    coarse = generator(1).normal(size=(3, 2, 4, 3, 5)).astype(np.float32)
    levels = [stored("s0", fine), stored("s1", coarse)]
    path = archive(tmp_path / "coef", {"coef": levels}, s0=fine, s1=coarse)
    for level, z in enumerate((fine, coarse)):
        data = io.open_burgers_coefficients(path, level)
        assert data.z.dims == ("sample", "field", "subband", "time", "x")
        assert not data.z.variable._in_memory
        np.testing.assert_array_equal(data.z, z)
        details = data.z.sel(field="f", subband="da")  # high in time, low in space
        np.testing.assert_array_equal(details, z[:, 1, 1])
    for level in (2, -1):
        with pytest.raises(ValueError, match=f"has 2 levels and level {level} was"):
            io.open_burgers_coefficients(path, level)
    with pytest.raises(ValueError, match="has 0 levels"):
        io.open_burgers_coefficients(saved(tmp_path / "other", {"u": fine}))


# Smoke --------------------------------------------------------------------------------

FRAMES, HEIGHT, WIDTH = 5, 8, 6
FILES = {"Density": 1, "Velocity": 2, "Control": 2}


def make_scene(folder, seed):
    """Files of one scene: fields on (y, x, component, frame), counts of smoke."""
    folder.mkdir(parents=True)
    draw = generator(seed)
    arrays = {
        name: draw.normal(size=(HEIGHT, WIDTH, parts, FRAMES)).astype(np.float32)
        for name, parts in FILES.items()
    }
    arrays["Smoke"] = draw.uniform(size=(FRAMES, 8)).astype(np.float32)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return arrays


@pytest.fixture
def scenes(tmp_path):
    """A folder of two scenes, and their arrays."""
    folder = tmp_path / "train"
    arrays = [make_scene(folder / f"sim_{n:06d}", n) for n in (3, 12)]
    (folder / "notes").mkdir()
    (folder / "sim_1").mkdir()
    return folder, arrays


def test_smoke_is_opened_on_its_grid(scenes):
    data = io.open_smoke(scenes[0])
    assert dict(data.density.sizes) == {"sample": 2, "time": 5, "y": 8, "x": 6}
    np.testing.assert_array_equal(data.scene, [3, 12])
    np.testing.assert_array_equal(data.time, 8 * np.arange(5))
    np.testing.assert_array_equal(data.y, 0.5 + 16 * np.arange(8))
    np.testing.assert_array_equal(data.x, 0.5 + 16 * np.arange(6))
    assert not any(data[name].variable._in_memory for name in data)


@pytest.mark.parametrize(
    ("name", "file", "part"),
    [
        ("density", "Density", 0),
        *(("vx", "Velocity", 0), ("vy", "Velocity", 1)),
        *(("cx", "Control", 0), ("cy", "Control", 1)),
    ],
)
def test_smoke_has_each_component_at_its_place(scenes, name, file, part):
    found = io.open_smoke(scenes[0])[name]
    for n, arrays in enumerate(scenes[1]):
        for t in range(FRAMES):
            frame = found.isel(sample=n, time=t).transpose("y", "x")
            np.testing.assert_array_equal(frame, arrays[file][:, :, part, t])


def test_smoke_counts_become_the_share_of_the_target(scenes):
    data = io.open_smoke(scenes[0])
    for n, arrays in enumerate(scenes[1]):
        counts = arrays["Smoke"]
        np.testing.assert_array_equal(data.buckets.isel(sample=n), counts)
        share = counts[:, 1].astype(float) / counts.astype(float).sum(1)
        np.testing.assert_allclose(data.smoke.isel(sample=n), share, rtol=1e-6)


def test_folders_without_scenes_are_told(scenes, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no .*absent"):
        io.open_smoke(tmp_path / "absent")
    with pytest.raises(ValueError, match="there is none in .*right level"):
        io.open_smoke(tmp_path)  # one level too high
    with pytest.raises(ValueError, match="there is none in"):
        io.open_smoke(scenes[0] / "notes")


def test_incomplete_scenes_are_told_when_they_are_read(scenes):
    last = scenes[0] / "sim_000012"
    (last / "Control.npy").unlink()
    data = io.open_smoke(scenes[0])
    data.cx.isel(sample=0).load()
    with pytest.raises(FileNotFoundError, match=r"sim_000012/Control\.npy is missing"):
        data.cx.isel(sample=1).load()
    (scenes[0] / "sim_000003" / "Smoke.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"sim_000003/Smoke\.npy is missing"):
        io.open_smoke(scenes[0])


@pytest.mark.parametrize("length", [0, 5, 100, 1000])
def test_truncated_scenes_are_told(scenes, length):
    path = scenes[0] / "sim_000012" / "Velocity.npy"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"sim_000012/Velocity\.npy cannot be read"):
        io.open_smoke(scenes[0]).vy.load()


def test_scenes_of_other_axes_are_refused(scenes):
    path = scenes[0] / "sim_000003" / "Density.npy"
    np.save(path, np.load(path)[:, :, 0])
    with pytest.raises(ValueError, match=r"Density has 4 axes, but .*\(8, 6, 5\)"):
        io.open_smoke(scenes[0])


@pytest.mark.parametrize("which", [1, slice(None)], ids=["alone", "all"])
def test_scenes_of_another_shape_are_refused(scenes, which):
    path = scenes[0] / "sim_000012" / "Density.npy"
    np.save(path, np.load(path)[:4])
    data = io.open_smoke(scenes[0])
    with pytest.raises(ValueError, match=r"like the first, but number \d has"):
        assert data.density.isel(sample=which).values.shape


@pytest.fixture
def official_scene(shared, tmp_path):
    """A scene of the official generator as a folder of scenes."""
    (tmp_path / "sim_000001").mkdir()
    with np.load(shared / "data/smoke/wdno_smoke_sim1_f16.npz") as official:
        for name in (*FILES, "Smoke"):
            np.save(tmp_path / "sim_000001" / f"{name}.npy", official[name])
    return io.open_smoke(tmp_path)


@pytest.mark.shared
def test_an_official_scene_sends_its_smoke_to_the_target(official_scene):
    share = official_scene.smoke.isel(sample=0)
    assert share.shape == (33,) and share[0] == 0
    assert float(share[-1]) == pytest.approx(0.9, abs=5e-4)
    assert official_scene.time[-1] == 256 and official_scene.y[-1] == 126.5


@pytest.mark.shared
def test_smoke_of_an_official_scene_moves_with_its_velocity(official_scene):
    """Density changes by -(vx, vy) · (∂x, ∂y): with axes exchanged it would not."""
    scene = official_scene.isel(sample=0).astype(np.float64)
    change = scene.density.differentiate("time")
    along_x, along_y = (scene.density.differentiate(dim) for dim in ("x", "y"))
    right = -(scene.vx * along_x + scene.vy * along_y)
    wrong = -(scene.vy * along_x + scene.vx * along_y)
    moving = {"time": slice(1, 9)}
    assert xr.corr(change[moving], right[moving]) > 0.8
    assert xr.corr(change[moving], wrong[moving]) < 0.6


# Checkpoints --------------------------------------------------------------------------

WEIGHT, BUFFER = tensor(SIX, (2, 3), (3, 1)), tensor(SIX, (6,), (1,))


def checkpoint(folder, value):
    return archive(folder / "model-1.pt", value, s0=NUMBERS)


@pytest.mark.parametrize("prefix", ["", "model.", "module.model.", "ema_model.model."])
def test_tensors_of_a_network_lose_their_prefix(tmp_path, prefix):
    path = checkpoint(tmp_path, {f"{prefix}mid.weight": WEIGHT, "step": 4})
    (name, found), *others = io.read_state_dict(path).items()
    assert name == "mid.weight" and not others
    np.testing.assert_array_equal(found, NUMBERS.reshape(2, 3))


def test_checkpoints_hold_weights_and_their_average_without_buffers(tmp_path):
    trained = {"model.mid.weight": WEIGHT, "model.model.x": BUFFER}
    trained |= {"betas": BUFFER, "teacher.model.mid.weight": BUFFER}
    average = {"initted": BUFFER, "online_model.model.mid.weight": BUFFER}
    average |= {"ema_model.model.mid.weight": WEIGHT, "ema_model.betas": BUFFER}
    path = checkpoint(tmp_path, {"step": 9, "model": trained, "ema": average})
    assert io.read_state_dict(path).keys() == {"mid.weight", "model.x"}
    found = io.read_state_dict(path, "ema")
    assert found.keys() == {"mid.weight"} and found["mid.weight"].shape == (2, 3)


def test_parts_that_a_checkpoint_lacks_are_told(tmp_path):
    path = checkpoint(tmp_path, {"step": 9, "model": {"model.mid.weight": WEIGHT}})
    with pytest.raises(ValueError, match=r"no 'ema' among \['step', 'model'\]"):
        io.read_state_dict(path, "ema")


@pytest.mark.parametrize("value", [{"step": 9, "opt": {}}, [WEIGHT], {}], ids=type)
def test_checkpoints_without_tensors_are_told(tmp_path, value):
    with pytest.raises(ValueError, match=r"model-1\.pt"):
        io.read_state_dict(checkpoint(tmp_path, value))
