"""Which public files are known.

Names, addresses and MD5 checksums of the one-dimensional advection, Burgers and
compressible flow of PDEBench (Takamoto et al. 2022, arXiv 2210.07182) are those of its
own table, pdebench_data_urls.csv, which has no sizes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

__all__ = ["PublicFile", "known", "public_files"]


@dataclass(frozen=True)
class PublicFile:
    """A file that anyone may fetch.

    Attributes:
        name: file name, without a folder.
        url: address, of HTTP.
        checksum: algorithm and digest, such as "md5:b4be2fc3…".
        bytes: size, or None where nobody has published it; the server is asked then.
        licence: terms of use.
        description: what is in it.

    Raises:
        ValueError: the name has a folder, or the checksum no known algorithm.
    """

    name: str
    url: str
    checksum: str
    bytes: int | None
    licence: str
    description: str

    def __post_init__(self) -> None:
        if not self.name or self.name != Path(self.name).name:
            raise ValueError(
                f"A public file has a name without a folder, but got {self.name!r}. "
                "Give the folder to `download`."
            )
        algorithm, _, digest = self.checksum.partition(":")
        if algorithm not in hashlib.algorithms_guaranteed or not digest:
            raise ValueError(
                "A checksum is a known algorithm and a digest, but got "
                f"{self.checksum!r}. Write it as 'md5:…' or 'sha256:…'."
            )


@cache
def public_files() -> Mapping[str, PublicFile]:
    """The files that are known here, by name."""
    text = (files(__package__) / "public_files.json").read_text("utf-8")
    entries = (PublicFile(**entry) for entry in json.loads(text))
    return MappingProxyType({entry.name: entry for entry in entries})


def known(file: str | PublicFile) -> PublicFile:
    """The file of a name; one that is described already stays as it is.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(file, PublicFile):
        return file
    table = public_files()
    if file not in table:
        near = get_close_matches(file, table, n=3) or [*table][:3]
        raise ValueError(
            f"Public files are fetched by a known name, but got {file!r}. Is it one of "
            f"{', '.join(near)}? `wdno download` lists all."
        )
    return table[file]
