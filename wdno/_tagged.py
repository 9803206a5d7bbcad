"""Frozen dataclasses as JSON: each is an object that names its class under "kind"."""

import dataclasses
from collections.abc import Iterable
from typing import Any


def to_json(value: Any) -> Any:
    """Objects for dataclasses, with those inside them; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        entries = {name: to_json(getattr(value, name)) for name in names}
        return {"kind": type(value).__name__} | entries
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def from_json(entry: Any, kinds: Iterable[type]) -> Any:
    """Undo `to_json`; lists become tuples.

    Raises:
        KeyError: an object is of a class that is not among `kinds`.
        TypeError: an object lacks an entry of its class, or has one too many.
    """
    by_name = {kind.__name__: kind for kind in kinds}

    def build(entry: Any) -> Any:
        if isinstance(entry, dict):
            values = {name: build(value) for name, value in entry.items()}
            return by_name[values.pop("kind")](**values)
        return tuple(map(build, entry)) if isinstance(entry, list) else entry

    return build(entry)
