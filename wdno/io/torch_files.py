"""Files of ``torch.save`` without PyTorch, and without running what they contain.

Such a file is a zip archive: a pickle of the structure and, beside it, the raw numbers
of every tensor. The pickle may name a few known constructors only; anything else is
refused. Tensors are read as memory maps, so that opening costs nothing.
"""

import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from wdno._files import located

_STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}

_DAMAGE = (
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,  # of zipfile, for a kind of compression that is none
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What unpickling and unpacking raise where the file is not what it was."""


def read(path: str | Path) -> Any:
    """What ``torch.save`` wrote, tensors as read-only NumPy arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such archive, is truncated, or contains more than numbers,
            text, containers and plain tensors.
    """
    path = located(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Tensors are read from an existing file, but there is none at {path}. "
            "Check the path."
        )
    try:
        archive = zipfile.ZipFile(path)
        (name,) = (n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"])
    except (*_DAMAGE, ValueError) as error:
        raise ValueError(
            f"A file of torch.save is a zip archive with data.pkl, but {path} is not "
            f"({error}). Is it complete? Files from before PyTorch 1.6 need one "
            "torch.save(torch.load(file), file) by a newer version."
        ) from error
    with archive:
        try:
            return _Unpickler(archive, path, name.split("/")[0]).load()
        except _DAMAGE as error:
            raise ValueError(
                f"A file of torch.save holds a pickle and its storages, but {path} "
                f"cannot be read ({error!r}). The file is damaged: copy it again."
            ) from error


def check_whole(path: str | Path) -> None:
    """Read all of a file of ``torch.save`` and compare its checksums.

    Raises:
        ValueError: a part has another checksum than is noted of it.
    """
    path = located(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (*_DAMAGE, ValueError) as error:
        damaged = repr(error)
    if damaged is not None:
        raise ValueError(
            f"The parts of a file of torch.save have their checksums, but {path} is "
            f"damaged ({damaged}). Copy it again."
        )


class _Unpickler(pickle.Unpickler):
    """Builds containers and arrays, and refuses every other object."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._path, self._root = archive, path, root

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuilt,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise ValueError(
                "Tensors and plain containers are read without PyTorch, but "
                f"{self._path} also holds a {module}.{name}, which could run code. If "
                "you trust its origin, load it with PyTorch and save a dictionary of "
                "tensors."
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The numbers of a storage: ("storage", type, name, device, count)."""
        _, dtype, name, _, count = pid
        entry = self._archive.getinfo(f"{self._root}/data/{name}")
        dtype = np.dtype(dtype)
        if entry.file_size != count * dtype.itemsize:
            raise ValueError(
                f"A storage of {count} {dtype} has {count * dtype.itemsize} bytes, but "
                f"{entry.filename} in {self._path} has {entry.file_size}. The file is "
                "damaged: copy it again."
            )
        if not count:
            return np.empty(0, dtype)
        if entry.compress_type != zipfile.ZIP_STORED:
            return np.frombuffer(self._archive.read(entry), dtype)
        with self._path.open("rb") as file:
            file.seek(entry.header_offset + 26)
            lengths = struct.unpack("<HH", file.read(4))
        start = entry.header_offset + 30 + sum(lengths)
        if start + entry.file_size > self._path.stat().st_size:
            raise EOFError(f"{entry.filename} ends beyond the file")
        return np.memmap(self._path, dtype, "r", start, (count,))

    def _rebuilt(
        self,
        storage: np.ndarray,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: Any,
    ) -> np.ndarray:
        steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        first = offset + sum(s for s in steps if s < 0)
        last = offset + sum(s for s in steps if s > 0)
        if 0 not in shape and not 0 <= first <= last < storage.size:
            raise ValueError(
                f"A tensor lies within its storage, but one of {self._path} of shape "
                f"{shape}, strides {strides} at {offset} leaves {storage.size} numbers."
                " The file is damaged: copy it again."
            )
        return np.lib.stride_tricks.as_strided(
            storage[offset:],
            shape,
            [s * storage.itemsize for s in strides],
            writeable=False,
        )
