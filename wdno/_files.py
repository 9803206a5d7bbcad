"""Files that are either whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` on success.

    Whatever interrupts the writing leaves the old file, or none, at ``path``. The
    suffix stays, since writers choose their format by it.

    Raises:
        FileNotFoundError: if the folder of ``path`` does not exist.

    Example:
        >>> with replacing("result.json") as temporary:
        ...     temporary.write_text("{}")
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"A file is written into an existing folder; there is no {path.parent} for "
            f"{path.name}. Create the folder or choose another path."
        )
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
