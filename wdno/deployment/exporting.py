"""Models as portable programs that need neither networks nor layouts to run."""

import dataclasses
import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jaxtyping import Array, Float
from safetensors.numpy import save as dump_weights

from wdno._arguments import check_sampler
from wdno._files import check_output
from wdno._json import entries_of
from wdno._typing import Fields
from wdno.deployment import artefact
from wdno.deployment.tracing import Run, narrow, traced_by_row
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, ddim
from wdno.inference.rollout import window_step
from wdno.inference.rollout_inputs import rows_over_time
from wdno.operator.card import card_of, check_saveable, parameters_of
from wdno.operator.card_file import with_notes
from wdno.operator.model import WDNO, check_model
from wdno.planning.planner import Planner

__all__ = ["export"]

PLATFORMS = ("cpu", "cuda", "tpu")
_NOTHING: Mapping[str, Any] = {}


def export(
    model: WDNO | Planner,
    path: str | Path,
    *,
    sampler: Sampler | None = None,
    steps: int = 1,
    beside: Mapping[str, tuple[int, ...]] = _NOTHING,
    platforms: tuple[str, ...] = PLATFORMS,
    notes: Mapping[str, Any] = _NOTHING,
) -> None:
    """Write a model as one file that runs without flax, anywhere that XLA does.

    The program is one window of any number of rows, on the grid of the model
    (StableHLO by `jax.export`); `wdno.load_exported` chains windows to a record of any
    length, with the numbers of `wdno.rollout`. A planner is exported with its objective
    and guidance, and its own sampler and steps.

    Args:
        model: of the simulation or the refinement task, or a planner without polish.
        path: of the file, such as "burgers.stablehlo".
        sampler: of a model; deterministic DDIM by default.
        steps: denoiser calls per window, of a model.
        beside: extents, by name, of what the objective of a planner reads and its
            model is not given, without the batch, such as ``{"uT": (120,)}``.
        platforms: that it is to run on: "cpu", "cuda", "rocm", "tpu".
        notes: of its card, such as those of the folder that the model was loaded from.

    Raises:
        ValueError: it is neither, calls Python while it runs, has a polish, or a
            network that no card can name.
        OSError: the folder of `path` is missing or cannot be written to.
        ModuleNotFoundError: flatbuffers is not installed.

    Example:
        >>> wdno.export(wdno.load("burgers-simulation"), "burgers.stablehlo")
        >>> reach = wdno.objectives.reach(("u",), ("f",), energy_weight=2e-5)
        >>> planner = wdno.Planner(wdno.load("burgers-control"), reach, strength=0.1)
        >>> wdno.export(planner, "planner.stablehlo")
    """
    path = check_output(path)
    artefact.need_flatbuffers()
    if isinstance(model, Planner):
        verb, operator, run, levels = _planning(model)
    else:
        check_model(model)
        sampler = ddim() if sampler is None else sampler
        check_sampler(sampler)
        sigmas = model.levels(steps)
        verb, operator, levels = "rollout", model, sigmas
        run = _simulating(sampler, sigmas)
    check_saveable(operator)
    found = {name: np.asarray(p) for name, p in parameters_of(operator).items()}
    weights = narrow(found)
    inputs = _inputs(operator, beside)
    traced = traced_by_row(operator, run, inputs, platforms)
    data = dump_weights(weights)
    card = card_of(operator, hashlib.sha256(data).hexdigest())
    sealed = with_notes(entries_of(card), notes)
    described = {
        "verb": verb,
        "card_sha256": sealed["card_sha256"],
        "weights": list(weights),
        "levels": np.asarray(levels).tolist(),
        **_described(operator, inputs, traced),
    }
    parts = artefact.Artefact(sealed, described, data, bytes(traced.serialize()))
    artefact.write(parts, path)


def _simulating(sampler: Sampler, sigmas: Float[Array, " levels"]) -> Run:
    """One window of a rollout: what the model generates."""

    def run(model: WDNO, known: Fields, number: Array, keys: RowKeys) -> Fields:
        how = {"sampler": sampler, "sigmas": sigmas, "keys": keys}
        window = window_step(model, known, number, **how)[1]
        return {name: window[name] for name in (*model.state, *model.auxiliary)}

    return run


def _planning(planner: Planner) -> tuple[str, WDNO, Run, Float[Array, " levels"]]:
    """Plans of a planner whose model is an argument."""
    if planner.polish is not None:
        raise ValueError(
            "A planner is exported without a polish, which goes back and forth between "
            f"a solver and the host, but this one has {planner.polish!r:.80}. Leave it "
            "out, and polish where the solver is."
        )

    def run(model: WDNO, known: Fields, number: Array, keys: RowKeys) -> Fields:
        return dataclasses.replace(planner, model=model).drawn(known, keys)

    return "plan", planner.model, run, planner.model.levels(planner.steps)


def _inputs(
    model: WDNO, beside: Mapping[str, tuple[int, ...]]
) -> dict[str, dict[str, Any]]:
    """What a window is given, by name."""
    extents = dict(zip(model.targets.dims, model.targets.grid, strict=True))
    own = jnp.result_type(*jax.tree.leaves(model.denoiser))
    dtype = jnp.promote_types(own, jnp.float32).name
    given = {
        q.name: {
            "dims": list(q.dims),
            "shape": [
                extents[dim] // r for dim, r in zip(q.dims, q.strides, strict=True)
            ],
            "role": q.role.value,
            "dtype": dtype,
        }
        for q in model.given.fields
    }
    others = {
        name: {"dims": None, "shape": list(shape), "role": "objective", "dtype": dtype}
        for name, shape in beside.items()
    }
    return others | given


def _described(
    model: WDNO, inputs: Mapping[str, Any], traced: jax_export.Exported
) -> dict[str, Any]:
    """What whoever runs the program has to know."""
    return {
        "format": artefact.FORMAT,
        "inputs": inputs,
        "outputs": _outputs(model, traced),
        "window": model.window,
        "initial": model.initial,
        "over_time": rows_over_time(model),
        "past": list(model.past),
        "start": list(model.domain.start),
        "spacing": list(model.domain.spacing),
        "platforms": list(traced.platforms),
        "versions": {name: _version(name) for name in ("wdno", "jax", "jaxlib")},
    }


def _outputs(model: WDNO, traced: jax_export.Exported) -> dict[str, dict[str, Any]]:
    """What a window makes, by name."""
    made = jax.tree.unflatten(traced.out_tree, traced.out_avals)
    dims = {q.name: list(q.dims) for q in model.targets.fields}
    return {
        name: {
            "dims": dims.get(name, []),
            "shape": list(values.shape[1:]),
            "dtype": values.dtype.name,
        }
        for name, values in made.items()
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
