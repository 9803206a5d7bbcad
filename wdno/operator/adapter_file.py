"""Adapters on disk: a small safetensors file whose header says whose it is."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as dump

from wdno._files import replacing
from wdno._json import entries_of, from_entries
from wdno.networks.adapters import AdapterConfig
from wdno.operator.adapted import OneCall, abstract_adapter
from wdno.operator.model import WDNO

FORMAT = 1
"""Version of the header's structure."""


@dataclass(frozen=True)
class Header:
    """What an adapter is besides the values of its factors.

    Attributes:
        format: version of the structure.
        config: ranks.
        sigma: level of the one call.
        teacher: fingerprint of the model that it changes.
    """

    format: int
    config: AdapterConfig
    sigma: float
    teacher: str


def write_adapter(path: Path, one_call: OneCall) -> bytes:
    """Write an adapter, in single precision; returns the bytes of the file."""
    header = Header(FORMAT, one_call.module.config, one_call.sigma, one_call.teacher)
    factors = {
        name: np.asarray(value, np.float32)
        for name, value in one_call.adapter.parameters.items()
    }
    data = dump(factors, {"adapter": json.dumps(entries_of(header))})
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return data


def read_adapter(path: Path, model: WDNO) -> OneCall:
    """The adapter in a file, for this model.

    Raises:
        ValueError: the file is damaged or no adapter, or it is one of another model.
    """
    try:
        with safe_open(path, "numpy") as file:
            entries = json.loads((file.metadata() or {})["adapter"])
            factors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = from_entries(entries, Header)
        if header.format != FORMAT:
            raise ValueError(f"format {header.format}")
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"An adapter is a safetensors file of format {FORMAT} whose header says "
            f"whose it is, but {path} is not ({error}). Copy it again, or distil anew."
        ) from error
    network = abstract_adapter(model, header.config)
    shapes = {name: like.shape for name, like in network.parameters.items()}
    same = {name: value.shape for name, value in factors.items()} == shapes
    filled = {name: jax.device_put(factors[name]) for name in shapes} if same else {}
    one_call = OneCall(
        replace(network, parameters=filled), header.sigma, header.teacher
    )
    one_call.check(model)
    if not same:
        raise ValueError(
            f"An adapter has the factors that its ranks say, but those in {path} are "
            "others. Copy it again, or distil anew."
        )
    return one_call
