"""Frozen dataclasses as JSON: each is an object that names its class under "kind".

Which classes a file may name is a registry, `register`; nothing is imported because a
file says so. A package that adds classes registers them when it is imported, and may
announce them as entry points of the group "wdno.kinds", so that they are found without
an import by the user.
"""

import dataclasses
from enum import Enum
from importlib import metadata
from typing import Any, TypeVar, get_type_hints

Kind = TypeVar("Kind", bound=type)

ENTRY_POINTS = "wdno.kinds"
"""Group of entry points that announce classes: name of the class = its place."""

_REGISTERED: dict[str, type] = {}


def register(kind: Kind) -> Kind:
    """Let files name a frozen dataclass, as a decorator or a function.

    Raises:
        ValueError: another class of that name is registered, or it is no dataclass.
    """
    name = kind.__name__
    before = _REGISTERED.get(name)
    same = before is None or before.__module__ == kind.__module__
    if not dataclasses.is_dataclass(kind) or not same:
        raise ValueError(
            "Files name dataclasses, each by a name of its own, but got "
            f"{kind.__module__}.{name} beside {before}. Decorate it with @dataclass, "
            "or rename it."
        )
    _REGISTERED[name] = kind
    return kind  # pyright: ignore[reportReturnType]


def registered(name: str) -> type:
    """The class of that name.

    Raises:
        KeyError: no class of that name is registered or announced.
    """
    if name not in _REGISTERED:
        for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
            register(entry.load())
    return _REGISTERED[name]


def to_json(value: Any) -> Any:
    """Objects for dataclasses, with those inside them; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        entries = {name: to_json(getattr(value, name)) for name in names}
        return {"kind": type(value).__name__} | entries
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def from_json(entry: Any) -> Any:
    """Undo `to_json`; lists become tuples.

    Raises:
        KeyError: an object is of a class that is not registered.
        TypeError: an object lacks an entry of its class, or has one too many.
    """
    if isinstance(entry, dict):
        values = {name: from_json(value) for name, value in entry.items()}
        kind = registered(values.pop("kind"))
        for name, hint in get_type_hints(kind).items():
            if isinstance(hint, type) and issubclass(hint, Enum) and name in values:
                values[name] = hint(values[name])
        return kind(**values)
    return tuple(map(from_json, entry)) if isinstance(entry, list) else entry
