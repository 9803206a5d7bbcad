"""Damaged copies of small files of every layout that is read, and what opening gives.

As a program it opens many of them in a process of its own, which a library may crash:

    python damage.py FOLDER FIRST LAST LAYOUT …
"""

import faulthandler
import json
import resource
import shutil
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from flax import nnx
from torch_archive import saved

import wdno
from wdno import io
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig, Shape, build
from wdno.operator import tasks
from wdno.operator.card import parameters_of
from wdno.training.recipe_file import load_recipe, save_recipe
from wdno.training.recipes import RECIPES
from wdno.trajectory import open_trajectories, save

SECONDS = 20
"""A reader that takes longer hangs: the files have a few thousand bytes."""
MEMORY = 2 << 30
"""Bytes that a reader may want beyond what is in use when it begins."""


def records():
    draw = np.random.default_rng(0)
    coords = {"time": 0.5 * np.arange(5.0), "x": 0.25 + np.arange(7.0)}
    dims = ("sample", *coords)
    fields = {n: (dims, draw.normal(size=(3, 5, 7)).astype("f4")) for n in ("u", "f")}
    return xr.Dataset(fields, coords, {"title": "flow", "seed": 3})


def hdf5(path, arrays, notes=None):
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        for name, given in (notes or {}).items():
            file[name].attrs.update(given)


def pdebench(path):
    r = records()
    hdf5(
        path,
        {"tensor": r.u.values, "x-coordinate": r.x, "t-coordinate": np.arange(6.0)},
    )


def pdebench_groups(path):
    r, arrays = records(), {}
    for n in range(3):
        arrays[f"{n:04d}/data"] = r.u.values[n][..., None]
        arrays[f"{n:04d}/grid/x"], arrays[f"{n:04d}/grid/t"] = r.x, r.time
    hdf5(path, arrays)


def the_well(path):
    r = records()
    flags = {"sample_varying": True, "time_varying": True}
    notes = {
        "/": {"n_trajectories": 3, "dataset_name": "layer"},
        "dimensions": {"spatial_dims": ["x"]},
        "t0_fields/u": flags,
        "scalars/nu": dict.fromkeys(flags, False),
    }
    arrays = {"t0_fields/u": r.u, "dimensions/time": r.time, "dimensions/x": r.x}
    hdf5(path, arrays | {"scalars/nu": np.float32(0.1)}, notes)


def realpdebench(path):
    r = records()
    hdf5(path, {"measured_data/u": r.u, "measured_data/v": r.f})


def smoke(folder):
    draw, scene = np.random.default_rng(0), folder / "sim_000002"
    scene.mkdir(parents=True)
    for name, parts in {"Density": 1, "Velocity": 2, "Control": 2}.items():
        np.save(scene / f"{name}.npy", draw.uniform(size=(4, 4, parts, 3)))
    np.save(scene / "Smoke.npy", draw.uniform(size=(3, 8)))


def weights():
    draw = np.random.default_rng(0)
    return {f"model.{n}.weight": draw.normal(size=(4, 3)) for n in range(5)}


def burgers(path):
    draw = np.random.default_rng(0)
    saved(path, {n: draw.normal(size=(2, m, 120)) for n, m in (("u", 5), ("f", 4))})


def zarr(version):
    def write(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records().to_zarr(path, zarr_format=version)

    return write


def model(path):
    dims, mode = ("time", "x"), ("periodization",) * 2
    targets, given = (
        wdno.WaveletLayout(fields, dims, (4, 8), "bior2.4", mode)
        for fields in tasks.simulation(("u",), ("f",), dims)
    )
    shape = Shape(2, len(targets.channels), len(given.channels))
    network = build(LocalConfig((1, 1), 4, 1), shape, rngs=nnx.Rngs(0))
    denoiser = Denoiser(freeze(network), EDMPreconditioning())
    domain = wdno.Domain((1.0, 0.5), (0.25, 0.125))
    schedule = KarrasSchedule(0.002, 20.0)
    wdno.save(wdno.WDNO(targets, given, denoiser, domain, schedule), path)


def recipe(path):
    save_recipe(RECIPES["burgers-simulation"], path)


def opened(path, opener):
    with opener(path) as found:
        loaded = found.load()
    return {str(name): v.values for name, v in loaded.variables.items()}


def opened_by(name):
    def read(path):
        return opened(path, getattr(io, name))

    return read


def opened_labelled(path):
    return opened(path, open_trajectories)


def loaded(path):
    card = wdno.read_card(path)
    arrays = parameters_of(wdno.load(path))
    return {n: np.asarray(a) for n, a in arrays.items()} | {"card": json.dumps(card)}


def tensors(path):
    return {n: np.array(a) for n, a in io.read_state_dict(path).items()}


def read_recipe(path):
    return {"notes": json.dumps(load_recipe(path).notes())}


def own(path):
    save(records(), path.with_suffix(".nc"))
    path.with_suffix(".nc").rename(path)


LAYOUTS = {
    "netcdf3": (
        lambda p: records().to_netcdf(p, format="NETCDF3_CLASSIC"),
        opened_labelled,
    ),
    "netcdf3-64": (
        lambda p: records().to_netcdf(p, format="NETCDF3_64BIT"),
        opened_labelled,
    ),
    "netcdf4": (own, opened_labelled),
    "zarr2": (zarr(2), opened_labelled),
    "zarr3": (zarr(3), opened_labelled),
    "pdebench": (pdebench, opened_by("open_pdebench")),
    "pdebench-groups": (pdebench_groups, opened_by("open_pdebench")),
    "the-well": (the_well, opened_by("open_the_well")),
    "realpdebench": (realpdebench, opened_by("open_realpdebench")),
    "official-smoke": (smoke, opened_by("open_smoke")),
    "official-burgers": (burgers, opened_by("open_burgers")),
    "official-checkpoint": (lambda p: saved(p, weights()), tensors),
    "model": (model, loaded),
    "recipe": (recipe, read_recipe),
}
"""How a small file or folder of each layout is made, and what it is read by."""


def damaged(data, draw):
    """Cut, with bytes changed in the header or anywhere, or with a run of zeros."""
    data, size = bytearray(data), len(data)
    match draw.integers(5):
        case 0:
            return data[: draw.integers(size)]
        case 1:  # in the header, a few bytes
            for place in draw.integers(min(size, 1024), size=draw.integers(1, 9)):
                data[place] = draw.integers(256)
        case 2:  # anywhere, one bit
            data[draw.integers(size)] ^= 1 << draw.integers(8)
        case 3:  # a sector that was not written
            start, length = draw.integers(size), 1 << draw.integers(3, 10)
            data[start : start + length] = bytes(len(data[start : start + length]))
        case 4:  # a number of the header that is huge
            start = draw.integers(min(size, 1024))
            data[start : start + 4] = b"\xff" * len(data[start : start + 4])
    return data


def variant(whole, copy, index):
    """A copy of a file or folder in which one file is damaged."""
    draw = np.random.default_rng(index)
    shutil.rmtree(copy, ignore_errors=True)
    copy.unlink(missing_ok=True)
    if not whole.is_dir():
        copy.write_bytes(damaged(whole.read_bytes(), draw))
        return
    shutil.copytree(whole, copy)
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    file = files[draw.integers(len(files))]
    if draw.integers(12) == 0:
        file.unlink()
    else:
        file.write_bytes(damaged(file.read_bytes(), draw))


def outcome(name, copy, expected):
    """ "refused", "same", "differs", or what is wrong with the refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = LAYOUTS[name][1](copy)
    except (ValueError, OSError) as error:
        plain = type(error) in (ValueError, FileNotFoundError)
        if plain and str(copy) in str(error):
            return "refused"
        return f"says {type(error).__name__}: {error}"
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    same = found.keys() == expected.keys() and all(
        np.array_equal(found[key], expected[key]) for key in expected
    )
    return "same" if same else "differs"


def limited():
    """Let no reader have much memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def main(folder, first, last, *names):
    faulthandler.enable()
    for name in names:
        make, read = LAYOUTS[name]
        whole, copy = (Path(folder) / f"{name}.{kind}" for kind in ("whole", "damaged"))
        if not whole.exists():
            make(whole)
        expected = read(whole)
        limited()
        for index in range(int(first), int(last)):
            print(name, index, end=" ", flush=True)
            variant(whole, copy, index)
            signal.alarm(SECONDS)
            print(json.dumps(outcome(name, copy, expected)), flush=True)
            signal.alarm(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
