"""The file of an exported model: a zip that any program can open.

It has the card and the weights of the model, which are a model folder, and beside them
the program with a description of it:

- ``card.json``, ``model.safetensors``: as `wdno.save` writes them;
- ``program.stablehlo``: as `jax.export` serialises it; its arguments are the weights,
  in the order that the description has, and then what is given;
- ``program.json``: the description.

The weights are arguments and no constants of the program: a constant is written once
for each platform and program, and folded and hashed by the compiler.
"""

import hashlib
import importlib.util
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wdno._files import located, replacing

__all__ = ["FORMAT", "Artefact", "need_flatbuffers", "read", "write"]

FORMAT = 1
"""Version of the description."""
_CARD, _WEIGHTS = "card.json", "model.safetensors"
_PROGRAM, _DESCRIPTION = "program.stablehlo", "program.json"


class Artefact(NamedTuple):
    """The parts of the file."""

    card: Mapping[str, Any]
    """Of the model, with its checksum."""
    description: Mapping[str, Any]
    """Of the program: what goes in, what comes out, how windows are chained."""
    weights: bytes
    """As safetensors."""
    program: bytes
    """As `jax.export` serialises it."""


def need_flatbuffers() -> None:
    """Refuse to write or read programs without the package that does it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise ModuleNotFoundError(
            "Programs are written and read by flatbuffers, which is not installed. "
            "Install it: pip install 'wdno[export]'."
        )


def write(artefact: Artefact, path: Path) -> None:
    """Write the file; an interrupted write leaves the old one, or none."""
    checksum = hashlib.sha256(artefact.program).hexdigest()
    described = {**artefact.description, "program_sha256": checksum}
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        archive.writestr(_DESCRIPTION, json.dumps(described, indent=1) + "\n")
        archive.writestr(_CARD, json.dumps(artefact.card, indent=1) + "\n")
        archive.writestr(_PROGRAM, artefact.program)
        archive.writestr(_WEIGHTS, artefact.weights)


def read(path: str | Path) -> Artefact:
    """Read the file, its checksums verified.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no exported model, damaged, or of a later version.
    """
    path = located(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"An exported model is a file, but there is none at {path}. Check the path."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            description, card = (
                json.loads(archive.read(name)) for name in (_DESCRIPTION, _CARD)
            )
            weights, program = archive.read(_WEIGHTS), archive.read(_PROGRAM)
        version = description["format"]
        sums = description["program_sha256"], card["weights_sha256"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise ValueError(
            f"An exported model is a zip as wdno.export writes it, but {path} is not "
            f"one, or is damaged ({error}). Export it again, or copy it again."
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"Exported models of format {FORMAT} are known, but {path} has format "
            f"{version}. Use the version of wdno that wrote it, or export it again."
        )
    if sums != tuple(hashlib.sha256(data).hexdigest() for data in (program, weights)):
        raise ValueError(
            "The program and the weights of an exported model have the checksums that "
            f"stand beside them, but in {path} they differ. Copy it again."
        )
    return Artefact(card, description, weights, program)
