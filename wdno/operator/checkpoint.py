"""Models on disk: weights as safetensors, everything else as a JSON card.

A model is a folder with ``model.safetensors`` and ``card.json``. The card holds all
that is needed to run the weights and to check them: layouts with their scales, wavelet,
network, preconditioning, noise range, domain, the checksum of the weights, and whatever
its maker recorded (data, training, metrics with confidence intervals).
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load as load_weights
from safetensors.numpy import save as dump_weights

from wdno import networks
from wdno._files import replacing
from wdno._json import from_json, registered, to_json
from wdno.diffusion.denoiser import Denoiser, Network, freeze
from wdno.operator.card_format_1 import upgraded
from wdno.operator.domain import Domain
from wdno.operator.model import WDNO, with_backbone

FORMAT = 2
"""Version of the card's structure."""

_PREFIX = "denoiser.backbone."
"""Where the parameters of the network lie in the model, as files name them."""


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
        dtype: precision of the stored weights; float16 halves the file.

    Raises:
        ValueError: the backbone is none that a card can name.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network = model.denoiser.backbone
    weights = {
        _PREFIX + name: np.asarray(value).astype(dtype)
        for name, value in network.parameters.items()
    }
    data = dump_weights(weights)
    with replacing(folder / "model.safetensors") as temporary:
        temporary.write_bytes(data)
    card = {
        "format": FORMAT,
        "targets": to_json(model.targets),
        "given": to_json(model.given),
        "network": to_json(_network_config(network)),
        "preconditioning": to_json(model.denoiser.preconditioning),
        "bound": None if model.denoiser.bound == math.inf else model.denoiser.bound,
        "domain": model.domain._asdict(),
        "schedule": to_json(model.schedule),
        "residual": to_json(model.residual),
        "parameters": sum(value.size for value in weights.values()),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        **(notes or {}),
    }
    with replacing(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")


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
        weights = load_weights(data)
    except SafetensorError as error:
        raise ValueError(
            f"Weights are a safetensors file, but {path} is not ({error}). Copy it "
            "again."
        ) from error
    model = _rebuild(card)
    network = _filled(model.denoiser.backbone, weights, path)
    return with_backbone(model, network)


def read_card(name: str | Path) -> dict[str, Any]:
    """The card of a model as a dictionary.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the card is not valid JSON, or of a format unknown here.
    """
    path = _locate(name) / "card.json"
    try:
        card = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"A model card is a JSON file, but {path} is not ({error}). Copy it again."
        ) from error
    found = card.get("format") if isinstance(card, dict) else None
    if found not in (1, FORMAT):
        raise ValueError(
            f"Model cards up to format {FORMAT} are known, but {path} has format "
            f"{found}. Use the version of wdno that wrote it."
        )
    return upgraded(card) if found == 1 else card


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
    folder = Path(name)
    if (folder / "card.json").is_file():
        return folder
    if str(name) in shipped():
        return Path(str(resources.files("wdno") / "pretrained" / str(name)))
    raise FileNotFoundError(
        f"A model is a shipped name, a folder with card.json or an hf:// address, but "
        f"got {str(name)!r}. Shipped models: {', '.join(shipped()) or 'none'}."
    )


def _network_config(network: Network) -> Any:
    """What rebuilds the backbone."""
    config = getattr(network, "config", None)
    try:
        registered(type(config).__name__)
    except KeyError as error:
        raise ValueError(
            "A card names its backbone by the `config` it keeps, of a class that is "
            f"registered, but {network} has {config!r}. Decorate the backbone with "
            "`wdno.networks.register`."
        ) from error
    return config


def _rebuild(card: Mapping[str, Any]) -> WDNO:
    """The model of a card, its parameters not there yet but for their shapes."""
    try:
        targets, given = (from_json(card[side]) for side in ("targets", "given"))
        residual = from_json(card["residual"])
        features = 0 if residual is None else residual.channels(targets, given)
        config = from_json(card["network"])
        shape = networks.Shape(
            len(targets.dims),
            len(targets.channels),
            len(given.channels) + features,
        )
        # Abstract: nothing is drawn, and so nothing compiled, that weights replace.
        network = nnx.eval_shape(
            lambda: networks.build(config, shape, rngs=nnx.Rngs(0))
        )
        preconditioning = from_json(card["preconditioning"])
        domain = Domain(**{n: tuple(v) for n, v in card["domain"].items()})
        schedule = from_json(card["schedule"])
        bound = math.inf if card["bound"] is None else card["bound"]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            "A model card describes layouts, network, preconditioning, domain and "
            f"noise range, but an entry is missing or wrong: {error}. Copy it again."
        ) from error
    whole = Denoiser(freeze(network), preconditioning, bound)
    return WDNO(targets, given, whole, domain, schedule, residual)


def _filled(network: Network, weights: Mapping[str, np.ndarray], path: Path) -> Network:
    """Put the weights in place; names and shapes must fit one to one."""
    expected = network.parameters
    names = {_PREFIX + name: name for name in expected}
    wrong = sorted(names.keys() ^ weights.keys()) + sorted(
        name
        for name in names.keys() & weights.keys()
        if np.shape(weights[name]) != np.shape(expected[names[name]])
    )
    if wrong:
        raise ValueError(
            f"Weights must fit the network of their card, but in {path} these are "
            f"missing, surplus or of another shape: {wrong}. Were they saved for "
            "another model?"
        )
    # Also within a transform of JAX a loaded model has arrays, and no tracers.
    with jax.ensure_compile_time_eval():
        filled = {
            own: jax.device_put(weights[name].astype(expected[own].dtype))
            for name, own in names.items()
        }
    return dataclasses.replace(network, parameters=filled)
