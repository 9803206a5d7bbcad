"""Data files of the official WDNO code.

Burgers: ``torch.save({"u": (N, M + 1, points), "f": (N, M, points)})``. Smoke: a folder
``sim_000000`` for each scene with four NumPy files. Both become datasets on
(sample, time, *space) without reading the values.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from wdno._files import located
from wdno.io.torch_files import read
from wdno.trajectory.lazy import lazy

__all__ = [
    "open_burgers",
    "open_burgers_coefficients",
    "open_smoke",
]

DURATION = 8.0
"""Of a Burgers record."""
FINEST_POINTS = 1920
"""Interior points of the grid that Burgers records were solved on."""
STEPS_PER_FRAME = 8.0
"""Time steps between two frames of smoke."""
_SCENE = re.compile(r"sim_\d{6}")
_SUBBANDS = ("aa", "da", "ad", "dd")
_SMOKE_FILES = {
    "Density": ("density",),
    "Velocity": ("vx", "vy"),
    "Control": ("cx", "cy"),
}
"""Names of the components of each file, which has the axes y, x, component, time."""


def open_burgers(path: str | Path) -> xr.Dataset:
    """Trajectories "u" and forces "f" on (sample, time, x), lazily.

    A force acts from its instant to the next; the closing instant, which the file does
    not have, gets zero. Position j is ``(1 + r j) / 1921``, every r-th of 1,920 inner
    points, and the record lasts 8 units of time.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no such arrays, or is damaged (`wdno.io.torch_files.read`).
    """
    content = read(path)
    u, f = (_array(content, name, 3, path) for name in ("u", "f"))
    samples, instants, points = u.shape
    if f.shape != (samples, instants - 1, points):
        raise ValueError(
            "Forces have one row fewer than states, but in "
            f"{path} u has the shape {u.shape} and f {f.shape}. Is it of this layout?"
        )

    if not samples or FINEST_POINTS % points:
        raise ValueError(
            f"Records lie on points whose number divides {FINEST_POINTS}, but {path} "
            f"has {samples} samples on {points} points. Is it of this layout?"
        )

    def force(sample: int) -> np.ndarray:
        return np.pad(f[sample], ((0, 1), (0, 0)))

    coords = {
        "time": np.linspace(0.0, DURATION, instants),
        "x": (1 + FINEST_POINTS // points * np.arange(points)) / (FINEST_POINTS + 1),
    }
    variables = {
        "u": lazy(lambda n: u[n], samples, ("time", "x")),
        "f": lazy(force, samples, ("time", "x")),
    }
    return xr.Dataset(variables, coords, {"source": str(Path(path).name)})


def open_burgers_coefficients(path: str | Path, level: int = 0) -> xr.Dataset:
    """Cached wavelet coefficients on (sample, field, subband, time, x), lazily.

    Args:
        path: file such as ``coef_bior2.4_periodization_super``.
        level: 0 for the grid of the data, n for the one coarser by 2^n.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no coefficients, or none of this level.
    """
    content = read(path)
    levels = content.get("coef") if isinstance(content, dict) else None
    if not isinstance(levels, list) or not 0 <= level < len(levels):
        count = len(levels) if isinstance(levels, list) else 0
        raise ValueError(
            f"A cache lists coefficients by level, but {path} has {count} levels and "
            f"level {level} was asked for. Is it of this layout?"
        )
    z = levels[level]
    dims = ("field", "subband", "time", "x")
    coords = {"field": ["u", "f"], "subband": list(_SUBBANDS)}
    return xr.Dataset({"z": lazy(lambda n: z[n], len(z), dims)}, coords)


def open_smoke(folder: str | Path) -> xr.Dataset:
    """Scenes of smoke on (sample, time, y, x), lazily: a scene is read when needed.

    Density, velocity (vx, vy) and imposed velocity (cx, cy) at 33 frames; "buckets"
    (sample, time, bucket) holds the smoke that went through each of seven exits, and
    what is left; "smoke" is the share through the second one, the target. Of vy the
    first frame repeats vx: so the files were written.

    Raises:
        FileNotFoundError: there is no such folder, or a scene lacks a file.
        ValueError: it has no scenes, or they are of another shape.
    """
    folder = located(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Scenes lie in a folder of folders sim_000000 …, but there is no {folder}."
            " Check the path."
        )
    scenes = sorted(p for p in folder.iterdir() if _SCENE.fullmatch(p.name))
    if not scenes:
        raise ValueError(
            "Scenes are folders named sim_000000, sim_000001 …, but there is none in "
            f"{folder}. Is it the right level, such as data/2d/train?"
        )
    variables: dict[str, xr.Variable] = {}
    for file, names in _SMOKE_FILES.items():
        for part, name in enumerate(names):

            def load(n: int, file: str = file, part: int = part) -> np.ndarray:
                return _scene(scenes[n], file, 4)[:, :, part].transpose(2, 0, 1)

            variables[name] = lazy(load, len(scenes), ("time", "y", "x"))
    variables["buckets"] = lazy(
        lambda n: _scene(scenes[n], "Smoke", 2), len(scenes), ("time", "bucket")
    )

    def share(n: int) -> np.ndarray:
        counts = _scene(scenes[n], "Smoke", 2)
        return (counts[:, 1] / counts.sum(axis=1)).astype(np.float32)

    variables["smoke"] = lazy(share, len(scenes), ("time",))
    _, frames, *points = variables["density"].shape
    spacing = 128 / points[0]
    coords = {"time": STEPS_PER_FRAME * np.arange(frames)} | {
        dim: 0.5 + spacing * np.arange(n) for dim, n in zip("yx", points, strict=True)
    }
    coords["scene"] = ("sample", [int(scene.name[4:]) for scene in scenes])
    return xr.Dataset(variables, coords)


def _array(content: Any, name: str, axes: int, path: str | Path) -> np.ndarray:
    found = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(found, np.ndarray) or found.ndim != axes:
        held = list(content) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(
            f"This layout has an array {name!r} with {axes} axes, but {path} holds "
            f"{held}. Is it of this layout?"
        )
    return found


def _scene(scene: Path, name: str, axes: int) -> np.ndarray:
    path = scene / f"{name}.npy"
    if not path.is_file():
        raise FileNotFoundError(
            f"A scene has {', '.join([*_SMOKE_FILES, 'Smoke'])}, but {path} is "
            "missing. Copy the scene again."
        )
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # the header is read as a Python expression
        raise ValueError(
            f"A scene consists of NumPy files, but {path} cannot be read ({error}). "
            "Copy it again."
        ) from error
    if array.ndim != axes:
        raise ValueError(
            f"{name} has {axes} axes, but {path} has the shape {array.shape}. Is it of "
            "this layout?"
        )
    return array
