"""Frozen dataclasses as JSON: each is an object that names its class under "kind".

Which classes a file may name is a registry, `register`; nothing is imported because a
file says so. A package that adds classes registers them when it is imported, and may
announce them as entry points of the group "wdno.kinds", so that they are found without
an import by the user.

What is read is checked by the annotations of the classes (msgspec), and by their own
`__post_init__`: an object has every entry of its class and no other, whole numbers are
no text, and a class stands only where the annotation wants it or a protocol it fulfils.
"""

import dataclasses
from abc import ABCMeta
from enum import Enum
from functools import cache
from importlib import metadata
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

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
        ValueError: no class of that name is registered or announced.
    """
    if name not in _REGISTERED:
        for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
            register(entry.load())
    if name not in _REGISTERED:
        raise ValueError(
            f"Files name classes that are registered, but {name!r} is not. Import the "
            "module that registers it, or correct the name."
        )
    return _REGISTERED[name]


def to_json(value: Any) -> Any:
    """Objects for dataclasses, with those inside them; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | entries_of(value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def entries_of(value: Any) -> dict[str, Any]:
    """What `to_json` writes of a dataclass besides its kind."""
    names = (field.name for field in dataclasses.fields(value))
    return {name: to_json(getattr(value, name)) for name in names}


def from_json(entry: Any, wanted: Any) -> Any:
    """Undo `to_json`; lists become tuples.

    Args:
        entry: objects, lists, text and numbers.
        wanted: type of the value, such as a protocol or ``tuple[Field, ...]``.

    Raises:
        ValueError: the entry is none of this type, an object lacks an entry or has one
            too many, or its class is not registered or refuses the values.
    """
    return msgspec.convert(entry, _understood(wanted), dec_hook=_named)


def from_entries(entries: Any, kind: type) -> Any:
    """Undo `entries_of`; raises as `from_json` does."""
    values = msgspec.convert(entries, _entries(kind), dec_hook=_named)
    return kind(**msgspec.structs.asdict(values))


def _named(wanted: type, entry: Any) -> Any:
    """The value of an object that names its class; msgspec checks that it is wanted."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        raise ValueError(
            f'Expected an object with the name of its class as "kind", got {entry!r}'
        )
    entries = {name: value for name, value in entry.items() if name != "kind"}
    try:
        return from_entries(entries, registered(entry["kind"]))
    except msgspec.ValidationError as error:
        # As any other error it is given its place in the object around.
        raise ValueError(str(error)) from error


@cache
def _entries(kind: type) -> type[msgspec.Struct]:
    """The entries of a class, which msgspec decodes; defaults complete no file."""
    hints = get_type_hints(kind, include_extras=True)
    entries = [(f.name, _understood(hints[f.name])) for f in dataclasses.fields(kind)]
    return msgspec.defstruct(kind.__name__, entries, forbid_unknown_fields=True)


def _understood(hint: Any) -> Any:
    """The hint with a virtual base class for each dataclass in it.

    Dataclasses msgspec would decode by itself, whatever their kind; what it does not
    know it leaves to `_named`.
    """
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _base(hint)
    inside = tuple(map(_understood, get_args(hint)))
    if get_origin(hint) is tuple:
        return tuple[inside]  # pyright: ignore[reportInvalidTypeArguments]
    return Union[inside] if get_origin(hint) in (Union, UnionType) else hint  # noqa: UP007


@cache
def _base(kind: type) -> type:
    base = ABCMeta(kind.__name__, (), {})
    ABCMeta.register(base, kind)
    return base
