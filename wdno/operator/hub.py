"""Models on the Hugging Face Hub: their addresses, and the store on this machine."""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["HubAddress", "is_hub_address", "snapshot"]

MODEL = ("card.json", "model.safetensors")
FILES = ("card.json", "*.safetensors")
"""A model and its adapters; nothing else of a repository is fetched."""

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w.-]+(?:/[\w.-]+)*))?/?")


class HubAddress(NamedTuple):
    """``hf://owner/name`` or ``hf://owner/name@revision``.

    Attributes:
        repository: owner and name.
        revision: branch, tag or commit; None for the default branch.
    """

    repository: str
    revision: str | None

    @classmethod
    def parse(cls, address: str) -> "HubAddress":
        """The parts of an address.

        Raises:
            ValueError: it is not of this form.
        """
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(
                "A model on the Hub is hf://owner/name, with @revision behind it to "
                f"pin a branch, a tag or a commit, but got {address!r}."
            )
        return cls(match[1], match[2])


def is_hub_address(name: object) -> bool:
    """Whether a model is named by an address of the Hub."""
    return str(name).startswith("hf://")


def snapshot(address: str) -> Path:
    """The folder of a model of the Hub, from the local store if it is there.

    The network is asked for nothing that the store of ``huggingface_hub`` has, so that
    a model that was loaded once is loaded offline, and stays the same. What has changed
    since on a branch is had by naming its new commit.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        ValueError: the address is malformed.
        FileNotFoundError: neither the store nor the Hub has the model.
    """
    repository, revision = HubAddress.parse(address)
    try:
        # Optional: the extra "hub".
        import huggingface_hub as hub  # pyright: ignore
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Models of the Hub are fetched by huggingface_hub, which is not installed. "
            "Install it: pip install 'wdno[hub]'."
        ) from error
    wanted = {"revision": revision, "allow_patterns": [*FILES]}
    with contextlib.suppress(FileNotFoundError):
        stored = hub.snapshot_download(repository, local_files_only=True, **wanted)
        # A download that was interrupted may have left a part.
        if all((Path(stored) / name).is_file() for name in MODEL):
            return Path(stored)
    try:
        folder = Path(hub.snapshot_download(repository, **wanted))
    except OSError as error:  # those of the Hub are, and those of the network
        raise FileNotFoundError(
            f"A model is fetched from the Hub once, but {address} is not in the local "
            f"store, and was not had from the Hub ({error}). Check its name and "
            "revision, connect to the network, or sign in by `hf auth login`."
        ) from error
    if not (folder / "card.json").is_file():
        raise FileNotFoundError(
            f"A model of wdno has a card.json, but {address} has none. Name another "
            "repository or revision."
        )
    return folder
