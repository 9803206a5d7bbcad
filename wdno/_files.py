"""Files that are either whole or absent."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "check_output",
    "check_output_folder",
    "located",
    "replacing",
    "standing",
    "synced",
]


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

    Whatever interrupts the writing leaves the old file or folder, or none, at ``path``:
    what is new is on the disk before it gets the name. Temporaries that a killed
    process left are removed by the next one that writes this path. The suffix stays,
    since writers choose their format by it.

    No folder can replace another in one step: of these the old one waits as
    ``.NAME.before`` for an instant, where `standing` finds it should the process be
    killed then.

    Raises:
        FileNotFoundError: if the folder of ``path`` does not exist.

    Example:
        >>> with replacing("result.json") as temporary:
        ...     temporary.write_text("{}")
    """
    path = located(path)
    if not path.parent.is_dir():
        raise _no_folder(path)
    temporary, before = _temporary(path, os.getpid()), _before(path)
    _clean(path)
    try:
        yield temporary
        synced(temporary)
        if temporary.is_dir() and path.is_dir():
            path.replace(before)
        temporary.replace(path)
        synced(path.parent, inside=False)
    finally:
        _restore(path)
        remove(temporary)
        remove(before)


def standing(path: str | Path) -> Path:
    """Where what belongs to ``path`` stands: there, unless a kill came in between.

    That is between the two renames by which `replacing` puts a folder in the place of
    another; what is not there at all is said to be at ``path``.
    """
    path = located(path)
    return path if path.exists() or not _before(path).exists() else _before(path)


def synced(path: Path, inside: bool = True) -> None:
    """Wait until a file, or a folder with what is in it, is on the disk.

    A rename may reach it before what was written earlier does; after a power failure
    the name would then belong to an empty file.
    """
    if inside and path.is_dir():
        for entry in path.iterdir():
            synced(entry)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete a file, or a folder with what is in it, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _temporary(path: Path, process: int) -> Path:
    return path.with_name(f".{path.stem}.{platform.node()}.{process}{path.suffix}")


def _before(path: Path) -> Path:
    return path.with_name(f".{path.name}.before")


def _clean(path: Path) -> None:
    """Put back, or remove, what killed processes of this machine left."""
    _restore(path)
    remove(_before(path))
    start = re.escape(f".{path.stem}.{platform.node()}.")
    pattern = re.compile(rf"{start}(\d+){re.escape(path.suffix)}")
    for entry in path.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and (int(match[1]) == os.getpid() or not _alive(int(match[1]))):
            remove(entry)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _restore(path: Path) -> None:
    if not path.exists() and _before(path).exists():
        _before(path).replace(path)
