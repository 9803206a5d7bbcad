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

import jax.numpy as jnp
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as dump_weights

from wdno._files import check_output_folder, located, replacing
from wdno._json import entries_of
from wdno.operator.adapted import OneCall
from wdno.operator.adapter_file import read_adapter, write_adapter
from wdno.operator.card import abstract_model, card_of, check_saveable
from wdno.operator.card_file import parse, with_notes
from wdno.operator.hub import is_hub_address, snapshot
from wdno.operator.model import WDNO
from wdno.operator.weights import filled, rounded


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
    data = dump_weights(rounded(model, dtype))
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


def load(name: str | Path, *, adapter: str | Path | None = None) -> WDNO:
    """Read a model: a shipped name, a folder, or ``hf://owner/name@revision``.

    Args:
        name: of the model. What comes from the Hub is kept and not asked for again.
        adapter: one that is named on its card, such as "one-step", or the file of one:
            the model then has the kernels, noise levels and scales that this makes.

    Raises:
        FileNotFoundError: there is no such model or adapter; lists those that are.
        ValueError: the card or the weights are damaged or do not fit each other, or the
            adapter is damaged or of another model.

    Example:
        >>> model = wdno.load("burgers-simulation")
        >>> model = wdno.load("burgers-simulation", adapter="one-step")
    """
    model = _load(name)
    if adapter is None:
        return model
    return read_adapter(_adapter_path(name, adapter), model).of(model)


def attach(
    folder: str | Path,
    name: str,
    one_call: OneCall,
    *,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Store an adapter beside its model, and name it on the card.

    Args:
        folder: of the model.
        name: of the adapter, such as "one-step".
        one_call: the adapter.
        notes: what else the card says of it: training, metrics.

    Returns:
        The file.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the adapter is of another model, or a note cannot be written.
    """
    place = locate(folder)
    one_call.check(_load(place))
    path = place / f"{name}.safetensors"
    data = write_adapter(path, one_call)
    entry = dict(notes or {}) | {"sha256": hashlib.sha256(data).hexdigest()}
    named = read_card(place).get("adapters", {}) | {name: entry}
    annotate(place, adapters=named)
    return path


def _adapter_path(name: str | Path, adapter: str | Path) -> Path:
    """The file of an adapter, which the card names or which is given, its bytes intact.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is another one than the card says.
    """
    named = read_card(name).get("adapters", {})
    if adapter not in named:
        path = located(adapter)
        if not path.is_file():
            raise FileNotFoundError(
                f"An adapter is one that the card of {name} names, "
                f"{', '.join(named) or 'none'}, or a file, but got {str(adapter)!r}. "
                "Choose one of these, or make it by wdno.distill."
            )
        return path
    path = locate(name) / f"{adapter}.safetensors"
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if found != named[adapter]["sha256"]:
        raise ValueError(
            f"An adapter has the checksum that the card of its model says, but {path} "
            f"has {found}: it is missing, altered or of another save. Copy the whole "
            "folder again."
        )
    return path


def _load(name: str | Path) -> WDNO:
    """The model of that name."""
    folder = locate(name)
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
    return filled(abstract_model(card), weights, path)


def read_card(name: str | Path) -> dict[str, Any]:
    """The card of a model as a dictionary, in the format of today.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the card is not valid JSON, of a format unknown here, or not as it
            was written.
    """
    path = locate(name) / "card.json"
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


def locate(name: str | Path) -> Path:
    """The folder of a model: of a shipped name, itself, or of an address of the Hub.

    Raises:
        FileNotFoundError: there is no such model; lists those that ship.
    """
    if is_hub_address(name):
        return snapshot(str(name))
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
