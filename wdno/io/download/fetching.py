"""What a download would do, and the download.

A file grows under its name with ".partial" after it, where an interrupted download
goes on, and gets its own name once its checksum is right.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

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
        ModuleNotFoundError: pooch is not installed.
    """
    _pooch()
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
        ModuleNotFoundError: pooch is not installed.

    Example:
        >>> [path] = download(["1D_Advection_Sols_beta0.1.hdf5"], "data")
        >>> wdno.io.open_pdebench(path)
    """
    folder, pooch = Path(folder), _pooch()
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
            _fetch(pooch, file, folder)
    return [folder / file.name for file in chosen]


def _partial(file: PublicFile, folder: Path) -> Path:
    return folder / f"{file.name}.partial"


def _state(
    file: PublicFile, folder: Path
) -> Literal["whole", "begun", "absent", "other"]:
    path = folder / file.name
    if path.exists():
        algorithm, _, digest = file.checksum.partition(":")
        found = _pooch().file_hash(str(path), alg=algorithm) if path.is_file() else ""
        return "whole" if found.lower() == digest.lower() else "other"
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


def _fetch(pooch: Any, file: PublicFile, folder: Path) -> None:
    begun = _partial(file, folder)
    keeper = pooch.create(
        path=folder,
        base_url="",
        registry={file.name: file.checksum},
        urls={file.name: file.url},
    )
    try:
        keeper.fetch(file.name, downloader=partial(_keep, begun))
    except ValueError as error:
        raise ValueError(
            f"{file.name} has the checksum {file.checksum}, but the {length(begun):,} "
            f"bytes from {file.url} have another. They are kept at {begun}: remove "
            "this file and try again; if that does not help, the archive has changed "
            "the file."
        ) from error
    begun.unlink(missing_ok=True)


def _keep(begun: Path, url: str, output_file: str, pooch: Any) -> None:
    """A downloader of pooch that keeps what has come in the file `begun`."""
    resume(begun, url)
    # pooch deletes its file if the checksum is wrong. A second name for the same bytes
    # keeps them without a copy, where the file system has such names.
    os.remove(output_file)
    try:
        os.link(begun, output_file)
    except OSError:
        shutil.copyfile(begun, output_file)


def _pooch() -> Any:
    try:
        import pooch  # pyright: ignore
    except ImportError as error:
        raise ModuleNotFoundError(
            "Public files are fetched by pooch, which is not installed. Install it: "
            "pip install 'wdno[download]'."
        ) from error
    return pooch
