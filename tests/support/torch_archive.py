"""Files as ``torch.save`` writes them, made without PyTorch.

Values of any kind can be written, also those that a reader has to refuse.
"""

import pickle
import zipfile
from dataclasses import dataclass

import numpy as np


@dataclass
class Named:
    """A function or class that the pickle refers to."""

    module: str
    name: str


@dataclass
class Call:
    """What a named function returns for these arguments."""

    function: Named
    arguments: tuple


@dataclass
class Storage:
    """The numbers kept beside the pickle."""

    kind: str
    name: str
    count: int


ORDERED = Named("collections", "OrderedDict")
KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


def encoded(value):
    """Instructions of a pickle that put `value` on the stack."""
    match value:
        case Named():
            return pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode()
        case Call():
            return encoded(value.function) + encoded(value.arguments) + pickle.REDUCE
        case Storage():
            kind = Named("torch", value.kind)
            address = ("storage", kind, value.name, "cpu", value.count)
            return encoded(address) + pickle.BINPERSID
        case dict():
            pairs = b"".join(encoded(k) + encoded(v) for k, v in value.items())
            return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS
        case list():
            items = b"".join(map(encoded, value))
            return pickle.EMPTY_LIST + pickle.MARK + items + pickle.APPENDS
        case tuple():
            return pickle.MARK + b"".join(map(encoded, value)) + pickle.TUPLE
        case _:
            return pickle.dumps(value, 2)[2:-1]


def tensor(storage, shape, strides, offset=0):
    """The call that makes a tensor of a storage."""
    hooks = Call(ORDERED, ())
    arguments = (storage, offset, shape, strides, False, hooks)
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), arguments)


def archive(path, value, compression=zipfile.ZIP_STORED, **storages):
    """A file of `value` (or of these instructions), with arrays as its storages."""
    program = value if isinstance(value, bytes) else b"\x80\2" + encoded(value) + b"."
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("any/data.pkl", program)
        for name, array in storages.items():
            file.writestr(f"any/data/{name}", array.tobytes())
        file.writestr("any/version", "3\n")  # PyTorch asks for it
    return path


def saved(path, arrays):
    """A file of a dictionary of arrays."""
    storages = {f"s{n}": np.array(a, order="C") for n, a in enumerate(arrays.values())}
    tensors = [stored(name, array) for name, array in storages.items()]
    return archive(path, dict(zip(arrays, tensors, strict=True)), **storages)


def stored(name, array):
    """The call that makes a tensor of all numbers of the storage `name`."""
    strides = tuple(step // array.itemsize for step in array.strides)
    storage = Storage(KINDS[str(array.dtype)], name, array.size)
    return tensor(storage, array.shape, strides)
