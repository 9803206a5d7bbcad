"""Files that are either whole or absent."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_output", "check_output_folder", "located", "replacing"]


def located(path: str | Path) -> Path:
    """The path with "~" as the home of the user, as shells write it.

    Raises:
        ValueError: if it is no path, such as a number.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(
            f"Files have a path, text or a pathlib.Path, but got {path!r:.80}. "
            "Name one."
        )
    return Path(path).expanduser()


def check_output(path: str | Path) -> Path:
    """The path of a file, once it can be written; to be asked before work begins.

    Raises:
        FileNotFoundError: if its folder does not exist.
        IsADirectoryError: if it is a folder itself.
        PermissionError: if its folder cannot be written to.
    """
    path = located(path)
    if not path.parent.is_dir():
        raise _no_folder(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"A file is written, but {path} is a folder. Name a file in it."
        )
    _check_access(path.parent)
    return path


def check_output_folder(path: str | Path) -> Path:
    """The path of a folder, once files can be written into it or it can be made.

    Raises:
        NotADirectoryError: if it, or what it would lie in, is a file.
        PermissionError: if it cannot be written to, or not be made.
    """
    path = located(path)
    nearest = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(
            f"Files are written into a folder, but {nearest} is a file. Choose another "
            "path."
        )
    _check_access(nearest)
    return path


def _no_folder(path: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"A file is written into an existing folder; there is no {path.parent} for "
        f"{path.name}. Create the folder or choose another path."
    )


def _check_access(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Files are written into folders that allow it, but {folder} does not. "
            "Choose another path, or change its permissions."
        )


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` on success.

    Whatever interrupts the writing leaves the old file or folder, or none, at ``path``.
    The suffix stays, since writers choose their format by it.

    Raises:
        FileNotFoundError: if the folder of ``path`` does not exist.

    Example:
        >>> with replacing("result.json") as temporary:
        ...     temporary.write_text("{}")
    """
    path = located(path)
    if not path.parent.is_dir():
        raise _no_folder(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    before = temporary.with_suffix(f"{path.suffix}.before")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():  # which a folder cannot replace
            path.replace(before)
        temporary.replace(path)
    finally:
        if before.exists() and not path.exists():
            before.replace(path)
        for leftover in (temporary, before):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            leftover.unlink(missing_ok=True)
