"""Which parts of a model ONNX takes through jax2onnx, and how near its numbers are.

``pip install 'wdno[onnx]'``, then ``python experiments/benchmarks/onnx_parts.py``: the
wavelet transform, the network, and a whole window with its random numbers are written,
run by ONNX Runtime on random inputs, and compared with JAX.
"""

import importlib.metadata
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import wdno
from wdno.wavelets import transform

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import record  # noqa: E402


@dataclass(frozen=True)
class Config:
    """Whose parts, and of how many rows."""

    model: str = "burgers-simulation"
    rows: int = 2


Part = tuple[Callable[..., jax.Array], Sequence[tuple[int, ...]]]
"""A function of arrays, and their shapes."""


def parts(config: Config) -> dict[str, Part]:
    """By name."""
    model, rows = wdno.load(config.model), config.rows
    layout, grid = model.targets, model.targets.grid
    channels, given = len(layout.channels), len(model.given.channels)
    shape = (rows, *layout.coefficient_grid)
    beside = given + (0 if model.residual is None else channels)  # its mean

    def wavelets(x: jax.Array) -> jax.Array:
        return transform.analysis(x, layout.wavelet, layout.mode, (1, 2))[0]

    def window(u0: jax.Array, f: jax.Array) -> jax.Array:
        key = jax.random.key(0)
        return wdno.rollout(model, {"u0": u0}, {"f": f}, key=key)["u"]

    return {
        "wavelet transform": (wavelets, [(rows, *grid)]),
        "network": (
            model.denoiser.backbone,
            [(*shape, channels), (rows,), (*shape, beside)],
        ),
        "window": (window, [(rows, grid[1]), (rows, *grid)]),
    }


def compared(part: Part) -> dict[str, Any]:
    """Operators and the largest difference, or what stops it."""
    function, shapes = part
    try:
        file = importlib.import_module("jax2onnx").to_onnx(function, inputs=[*shapes])
    except Exception as error:  # of any library between
        return {"stopped_by": f"{type(error).__name__}: {error}".splitlines()[0]}
    session = importlib.import_module("onnxruntime").InferenceSession(
        file.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    draw = np.random.default_rng(0)
    values = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
    names = [given.name for given in session.get_inputs()]
    found = session.run(None, dict(zip(names, values, strict=True)))[0]
    wanted = np.asarray(jax.jit(function)(*values))
    return {
        "operators": dict(Counter(node.op_type for node in file.graph.node)),
        "relative_difference": float(np.abs(found - wanted).max() / abs(wanted).max()),
    }


def main(config: Config) -> None:
    """Write, run, compare, store."""
    found = {name: compared(part) for name, part in parts(config).items()}
    versions = {
        name: importlib.metadata.version(name)
        for name in ("jax2onnx", "onnxruntime", "jax")
    }
    print(found, record("onnx_parts", asdict(config), versions=versions, parts=found))


if __name__ == "__main__":
    main(tyro.cli(Config))
