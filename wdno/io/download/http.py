"""Files over HTTP that an interruption does not spoil."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

__all__ = ["answer_to", "length", "resume", "total_size"]

_BLOCK = 1 << 16  # bytes; what a broken connection had of one is fetched again
_PATIENCE = (20, 60)  # seconds to connect, and for the next bytes


def resume(begun: Path, url: str) -> None:
    """Fetch what is missing of a file, as long as that brings it further than before.

    Args:
        begun: the file, which has the first bytes or does not exist.
        url: its address.

    Raises:
        ConnectionError: the server cannot be reached, has no such file or broke off.
    """
    reached = length(begun)
    while True:
        try:
            _go_on(begun, url)
            break
        except ConnectionError:
            if length(begun) <= reached:
                raise
            reached = length(begun)


def _go_on(begun: Path, url: str) -> None:
    start = length(begun)
    with answer_to(url, f"bytes={start}-" if start else None) as answer:
        if start and answer.status_code == 416:
            return  # there is no more; the checksum tells whether it is right
        if answer.status_code != 206:
            start = 0  # the server gives whole files only
        total, name = total_size(answer), begun.name.removesuffix(".partial")
        how: dict[str, Any] = {"unit": "B", "unit_scale": True, "desc": name}
        with (
            begun.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, disable=None, **how) as bar,
        ):
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and length(begun) < total:
        raise ConnectionError(
            f"A file of {total:,} bytes is fetched whole, but {url} broke off after "
            f"{length(begun):,}. Try again; it goes on from there."
        )


@contextmanager
def answer_to(url: str, part: str | None) -> Iterator[Any]:
    """The streamed response to a request for a part of a file, or for all of it.

    Args:
        url: address of the file.
        part: which bytes, such as "bytes=0-0", or None for all. There may be no such
            part (status 416), or the server gives whole files only (status 200).

    Raises:
        ConnectionError: the server cannot be reached, has no such file or breaks off.
        ModuleNotFoundError: requests is not installed.
    """
    try:
        import requests
    except ImportError as error:
        raise ModuleNotFoundError(
            "Public files are fetched by requests, which is not installed. Install it: "
            "pip install 'wdno[download]'."
        ) from error
    # Compressed on the way, a part of a file would not be a part of its bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=_PATIENCE
        ) as answer:
            if answer.status_code not in (200, 206) and not (
                part and answer.status_code == 416
            ):
                raise ConnectionError(
                    f"A public file is fetched from its address, but {url} answered "
                    f"{answer.status_code} {answer.reason}. Look for the file there; "
                    "the archive may have moved it, or be closed for a while."
                )
            yield answer
    except requests.RequestException as error:
        raise ConnectionError(
            f"A public file is fetched over the network, but {url} cannot be read "
            f"({error}). Try again; it goes on where it was interrupted."
        ) from error


def total_size(answer: Any) -> int | None:
    """Size of the whole file of which `answer` brings a part, if it tells."""
    whole = answer.headers.get("Content-Length", "")
    if answer.status_code in (206, 416):
        whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(whole) if whole.isdecimal() else None


def length(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
