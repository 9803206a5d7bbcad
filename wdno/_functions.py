"""Functions compared by what they do, so that equal ones are compiled once.

`jax.jit` compiles anew for every static argument that it has not met, and functions are
equal only to themselves: a lambda written inside a call, ``system.over(8).solve`` or
``optax.adam(0.1)`` are new objects each time. `by_value` gives them an equality that
sees code, closures and the globals that they read, as cloudpickle collects these.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import cloudpickle

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ByValue(Generic[T]):
    """A value with a key that stands for it in comparisons with others."""

    value: T = field(repr=False)
    key: Hashable

    def __eq__(self, other: object) -> bool:
        """The same object, whatever has changed around it, or one that does the same.

        The first is what `jax.jit` asks of a function too.
        """
        if not isinstance(other, ByValue):
            return NotImplemented
        return self.value is other.value or self.key == other.key

    def __hash__(self) -> int:
        """Of what neither of the two changes: the code of a function, or the type."""
        return hash(getattr(self.value, "__code__", type(self.value)))


def by_value(value: T) -> ByValue[T]:
    """The value, equal to others that do the same.

    Compared as ever are functions that cannot be pickled, such as those that close over
    values which JAX is tracing, those that close over lists, dictionaries or sets, in
    which they may leave something, and objects that are no functions.

    Example:
        >>> first, second = (by_value(lambda x: x + 1) for _ in range(2))
        >>> first == second
        True
    """
    return ByValue(value, _key(value))


def _key(value: object) -> Hashable:
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, tuple) and all(isinstance(v, FunctionType) for v in value):
        return type(value), *map(_key, value)  # samplers, optimisers
    if not isinstance(value, FunctionType | partial | tuple) or _may_write(value):
        return value
    if isinstance(value, tuple):
        return _pickled(value)
    if value not in _MET:
        found = _pickled(value)
        if found is value:  # which would keep itself
            return found
        _MET[value] = found
    return _MET[value]


_MET: WeakKeyDictionary[FunctionType | partial, Hashable] = WeakKeyDictionary()
"""Keys of functions that are alive; one is what it was when it was first met."""


def _pickled(value: object) -> Hashable:
    """What cloudpickle collects, which takes milliseconds; else the value itself."""
    try:
        return hashlib.sha256(cloudpickle.dumps(value)).digest()
    except Exception:  # whatever a captured object raises
        return value


def _may_write(value: object) -> bool:
    """Whether a function closes over containers that it could write into."""
    if isinstance(value, list | dict | set):
        return True
    cells = getattr(value, "__closure__", None) or ()
    return any(_may_write(cell.cell_contents) for cell in cells)
