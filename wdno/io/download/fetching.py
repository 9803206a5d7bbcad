"""What a download would do, and the download.

A file grows under its name with ".partial" after it, where an interrupted download
goes on, and gets its own name once its checksum is right.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wdno.io.download.http import answer_to, length, resume, total_size
from wdno.io.download.public import PublicFile, known

__all__ = ["Planned", "download", "plan"]


@dataclass(frozen=True)
class Planned:
    """What a download would find and do about one file.

    Attributes:
        file: the file.
        path: where it goes.
        state: "whole" with the right checksum, "begun", "absent", or "other": another
            file has the name.
        bytes: size of the whole file, None if the server does not tell.
        present: bytes that are there already.
    """

    file: PublicFile
    path: Path
    state: Literal["whole", "begun", "absent", "other"]
    bytes: int | None
    present: int


def plan(files: Sequence[str | PublicFile], folder: str | Path) -> list[Planned]:
    """What `download` would find and fetch; writes nothing.

    Checksums of files that are there are computed, and the server is asked for sizes
    that are not known.

    Raises:
        ValueError: a name is unknown.
        ConnectionError: a server cannot be reached, or has no such file.
        ModuleNotFoundError: requests is not installed.
    """
    return [_planned(file, Path(folder)) for file in map(known, files)]


def download(files: Sequence[str | PublicFile], folder: str | Path) -> list[Path]:
    """Fetch public files, going on where an earlier download was interrupted.

    Files that are there with the right checksum are left alone. A broken connection is
    taken up again as long as that brings the file further than before.

    Args:
        files: names in `public_files`, or files described in the same way.
        folder: where they go; made if need be.

    Returns:
        Paths of the files, in their order.

    Raises:
        ValueError: a name is unknown, another file has the name, or a checksum is
            wrong. Nothing is removed then.
        ConnectionError: a server cannot be reached, has no such file or broke off.
        ModuleNotFoundError: requests is not installed.

    Example:
        >>> [path] = download(["1D_Advection_Sols_beta0.1.hdf5"], "data")
        >>> wdno.io.open_pdebench(path)
    """
    folder = Path(folder)
    chosen = [known(file) for file in files]
    states = [_state(file, folder) for file in chosen]
    for file, state in zip(chosen, states, strict=True):
        if state == "other":
            raise ValueError(
                f"{file.name} has the checksum {file.checksum}, but the file at "
                f"{folder / file.name} has another. Move or remove it, or choose "
                "another folder."
            )
    for file, state in zip(chosen, states, strict=True):
        if state != "whole":
            _fetch(file, folder)
    return [folder / file.name for file in chosen]


def _partial(file: PublicFile, folder: Path) -> Path:
    return folder / f"{file.name}.partial"


def _state(
    file: PublicFile, folder: Path
) -> Literal["whole", "begun", "absent", "other"]:
    path = folder / file.name
    if path.exists():
        return "whole" if path.is_file() and _right(file, path) else "other"
    return "begun" if _partial(file, folder).exists() else "absent"


def _planned(file: PublicFile, folder: Path) -> Planned:
    state, path = _state(file, folder), folder / file.name
    if state == "whole":
        size = path.stat().st_size
        return Planned(file, path, state, size, size)
    present = length(_partial(file, folder))
    size = file.bytes
    if size is None:
        with answer_to(file.url, "bytes=0-0") as answer:
            size = total_size(answer)
    return Planned(file, path, state, size, present)


def _right(file: PublicFile, path: Path) -> bool:
    """Whether the bytes at `path` have the checksum of the file."""
    algorithm, _, digest = file.checksum.partition(":")
    with path.open("rb") as content:
        found = hashlib.file_digest(content, algorithm).hexdigest()
    return found == digest.lower()


def _fetch(file: PublicFile, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    begun = _partial(file, folder)
    resume(begun, file.url)
    if not _right(file, begun):
        raise ValueError(
            f"{file.name} has the checksum {file.checksum}, but the {length(begun):,} "
            f"bytes from {file.url} have another. They are kept at {begun}: remove "
            "this file and try again; if that does not help, the archive has changed "
            "the file."
        )
    begun.rename(folder / file.name)
