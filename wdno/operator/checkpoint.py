"""Models on disk: weights as safetensors, everything else as a JSON card.

A model is a folder with ``model.safetensors`` and ``card.json`` (`wdno.operator.card`),
which has the checksum of the weights and its own.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as dump_weights

from wdno._files import check_output_folder, located, replacing
from wdno._json import entries_of
from wdno.operator.card import abstract_model, card_of, check_saveable, parameters_of
from wdno.operator.card_file import parse, with_notes
from wdno.operator.model import WDNO


def save(
    model: WDNO,
    folder: str | Path,
    *,
    notes: Mapping[str, Any] | None = None,
    dtype: Any = jnp.float32,
) -> None:
    """Write a model; an interrupted write leaves no folder that `load` accepts.

    Args:
        model: the operator.
        folder: created if absent; files of an earlier model are replaced.
        notes: further entries of the card: training data, metrics, …
        dtype: precision of the stored weights; float16 and bfloat16 halve the file.

    Raises:
        ValueError: a network is none that a card can name, the parameters are
            tracers of a transform or not finite in this precision, or a note cannot
            be written or has the name of an entry that makes the model.
    """
    check_saveable(model)
    data = dump_weights(_rounded(model, dtype))
    card = card_of(model, hashlib.sha256(data).hexdigest())
    text = _text(with_notes(entries_of(card), notes or {}))
    folder = check_output_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Both are written before one gets its name: what fails earlier leaves the old.
    with (
        replacing(folder / "card.json") as described,
        replacing(folder / "model.safetensors") as weights,
    ):
        described.write_text(text)
        weights.write_bytes(data)


def load(name: str | Path) -> WDNO:
    """Read a model: a shipped name, a folder, or ``hf://owner/name``.

    Raises:
        FileNotFoundError: there is no such model; lists those that ship.
        ValueError: the card or the weights are damaged or do not fit each other.

    Example:
        >>> model = wdno.load("burgers-simulation")
    """
    folder = _locate(name)
    card = read_card(folder)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"A model has its weights beside its card, but {path} is missing. Copy the "
            "whole folder again."
        )
    data = path.read_bytes()
    expected, found = card.get("weights_sha256"), hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ValueError(
            f"Weights must have the checksum of their card, {expected}, but {path} "
            f"({len(data)} bytes) has {found}: one of the two is truncated, altered or "
            "of another save. Copy both again, or save the model anew."
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"Weights are a safetensors file, but {path} is not ({error}). Copy it "
            "again."
        ) from error
    return _filled(abstract_model(card), weights, path)


def read_card(name: str | Path) -> dict[str, Any]:
    """The card of a model as a dictionary, in the format of today.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the card is not valid JSON, of a format unknown here, or not as it
            was written.
    """
    path = _locate(name) / "card.json"
    return parse(path.read_bytes(), path)


def annotate(folder: str | Path, **notes: Any) -> None:
    """Write further notes on the card of a model, or others of the same names.

    A card of an older format becomes one of today's.

    Args:
        folder: of the model.
        notes: text, finite numbers, lists and dictionaries of these.

    Raises:
        FileNotFoundError: there is no card.
        ValueError: the card is damaged, a note has the name of an entry that makes the
            model, or cannot be written as JSON.

    Example:
        >>> wdno.annotate("runs/burgers/model", authors=["A. Author"])
    """
    path = located(folder) / "card.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"A model is a folder with its card, but there is no {path}. Give the "
            "folder of a model."
        )
    text = _text(with_notes(parse(path.read_bytes(), path), notes))
    with replacing(path) as temporary:
        temporary.write_text(text)


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    folder = resources.files("wdno") / "pretrained"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _locate(name: str | Path) -> Path:
    """The folder of a model given by name, path or hub address."""
    if str(name).startswith("hf://"):
        # Optional: the extra "hub".
        from huggingface_hub import snapshot_download  # pyright: ignore

        return Path(snapshot_download(str(name).removeprefix("hf://")))
    folder = located(name)
    if (folder / "card.json").is_file():
        return folder
    if str(name) in shipped():
        return Path(str(resources.files("wdno") / "pretrained" / str(name)))
    raise FileNotFoundError(
        f"A model is a shipped name, a folder with card.json or an hf:// address, but "
        f"got {str(name)!r}. Shipped models: {', '.join(shipped()) or 'none'}."
    )


def _text(card: Mapping[str, Any]) -> str:
    return json.dumps(card, indent=1, allow_nan=False) + "\n"


def _rounded(model: WDNO, dtype: Any) -> dict[str, np.ndarray]:
    """Parameters in the precision of the file, by their names there."""
    with np.errstate(over="ignore"):  # said below
        weights = {
            name: np.asarray(value).astype(dtype)
            for name, value in parameters_of(model).items()
        }
    wrong = [name for name, value in weights.items() if not jnp.isfinite(value).all()]
    if wrong or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            "Weights are saved as floating-point numbers that are finite, but as "
            f"{jnp.dtype(dtype).name} these are not: {wrong[:4] or 'all'}. Choose "
            "another `dtype`, or train the model again."
        )
    return weights


def _filled(model: WDNO, weights: Mapping[str, np.ndarray], path: Path) -> WDNO:
    """Put the weights in place; names and shapes must fit one to one."""
    expected = parameters_of(model)
    wrong = sorted(expected.keys() ^ weights.keys()) + sorted(
        name
        for name in expected.keys() & weights.keys()
        if np.shape(weights[name]) != np.shape(expected[name])
    )
    if wrong:
        raise ValueError(
            f"Weights must fit the networks of their card, but in {path} these are "
            f"missing, surplus or of another shape: {wrong}. Were they saved for "
            "another model?"
        )
    # Also within a transform of JAX a loaded model has arrays, and no tracers.
    with jax.ensure_compile_time_eval():
        leaves = [
            jax.device_put(weights[name].astype(like.dtype))
            for name, like in expected.items()
        ]
    return jax.tree.unflatten(jax.tree.structure(model), leaves)
