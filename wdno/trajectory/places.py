"""Where labelled data lie: files, Zarr folders, Zarr in a zip, and addresses of these.

Zarr is read at its address, a piece at a time; any other file is fetched as a whole.
"""

import importlib
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

__all__ = [
    "is_address",
    "is_zarr",
    "lacking",
    "need",
    "reached",
    "zarr_folders",
    "zipped_zarr",
]

_MARKS = ("zarr.json", ".zmetadata", ".zgroup")
"""Files of which a Zarr store has one."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((path / name).exists() for name in _MARKS)


def is_address(source: str | Path) -> bool:
    """Whether data are named by an address, such as ``https://…`` or ``s3://…``."""
    return isinstance(source, str) and "://" in source


def reached(address: str) -> Path | None:
    """A copy of the file at an address, or None for a Zarr store, which needs none.

    It lies in a temporary folder until the program ends.

    Raises:
        FileNotFoundError: there is nothing.
        ModuleNotFoundError: a package for addresses of this kind is not installed.
        ValueError: there is no such kind of address.
        OSError: the server cannot be reached, or refuses.
    """
    need("fsspec", address)
    fsspec = importlib.import_module("fsspec")
    core = importlib.import_module("fsspec.core")
    protocol = address.partition("://")[0]
    if protocol.rpartition("::")[2] not in fsspec.available_protocols():
        raise ValueError(
            f"Addresses are of a kind that fsspec knows, such as https:// or s3://, "
            f"but got {address}. Correct it, or fetch the file."
        )
    try:
        system, root = core.url_to_fs(address)
        if any(system.exists(f"{root.rstrip('/')}/{name}") for name in _MARKS):
            return None
        if not system.exists(root):
            raise FileNotFoundError(
                f"Data are read from an address, but there is nothing at {address}, or "
                "it cannot be reached. Check it."
            )
        return Path(fsspec.open_local(f"simplecache::{address}"))
    except ImportError as error:  # the package of a protocol, such as s3fs
        raise lacking(address, error) from error


def zipped_zarr(path: Path) -> tuple[Any, str]:
    """The Zarr store in a zip, as zarr opens it, and the folder of it in there.

    Raises:
        ValueError: it holds no store, or is damaged.
        ModuleNotFoundError: zarr is not installed.
    """
    need("zarr", path)
    found = zarr_folders(path)
    if not found:
        raise ValueError(
            f"A zip of labelled data holds a Zarr store, but {path} holds none, or is "
            "damaged. Unpack it and name a file, or copy it again."
        )
    return importlib.import_module("zarr.storage").ZipStore(path, mode="r"), found[0]


def zarr_folders(path: Path) -> list[str]:
    """The folders in a zip that are Zarr stores or parts of these, outermost first.

    A zip that is damaged has none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            places = [name.rpartition("/") for name in archive.namelist()]
    except zipfile.BadZipFile:
        return []
    return sorted((f for f, _, name in places if name in _MARKS), key=len)


def need(package: str, source: str | Path) -> None:
    """Refuse a source for which a package is not installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(
            f"{source} is read by {package}, which is not installed. Install it: "
            f"pip install {package}."
        )


def lacking(source: str | Path, error: ImportError) -> ModuleNotFoundError:
    """What is said where a library lacks a package of its own."""
    return ModuleNotFoundError(
        f"{source} needs a package that is not installed: {error}. Addresses of the "
        "web need aiohttp, buckets s3fs or gcsfs."
    )
