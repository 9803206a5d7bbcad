"""Model cards of format 1, as ones of format 2: old files can be read.

Format 1 said by suffixes of names what format 2 says by roles, called the
preconditioning by its first author, left unsaid that refiners generate residuals, and
had no checksum.
"""

import copy
from collections.abc import Mapping
from typing import Any

from wdno.wavelets.field import Role


def upgraded(card: Mapping[str, Any], place: object) -> dict[str, Any]:
    """The card in format 2.

    Args:
        card: of format 1.
        place: of the file, for what is said of it.

    Raises:
        ValueError: an entry is missing, or of another kind.
    """
    try:
        return _upgraded(copy.deepcopy(dict(card)))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            "A model card of format 1 describes two layouts, their fields and the "
            f"preconditioning, but in {place} an entry is missing or wrong: {error}. "
            "Copy it again."
        ) from error


def _upgraded(card: dict[str, Any]) -> dict[str, Any]:
    targets, given = card["targets"], card["given"]
    generated = {field["name"] for field in targets["fields"]}
    time = _time_axis(targets)
    for layout in (targets, given):
        layout["fields"] = [
            _with_role(field, generated if layout is given else set(), time)
            for field in layout["fields"]
        ]
    if card["preconditioning"]["kind"] == "Karras":
        card["preconditioning"]["kind"] = "EDMPreconditioning"
    card["domain"] = {"kind": "Domain"} | card["domain"]
    refines = any(field["role"] == Role.COARSE.value for field in given["fields"])
    card["residual"] = {"kind": "Interpolation"} if refines else None
    return card | {"format": 2}


def _time_axis(layout: Mapping[str, Any]) -> str:
    tiling = layout.get("tiling")
    return (layout if tiling is None else tiling["geometry"])["dims"][0]


def _with_role(
    field: Mapping[str, Any], generated: set[str], time: str
) -> dict[str, Any]:
    """The field with its role in place of suffixes."""
    name, field = field["name"], dict(field)
    piecewise_constant = field.pop("held")
    if not isinstance(piecewise_constant, bool):
        raise TypeError(f"`held` of {name!r} is {piecewise_constant}")
    role, of = Role.EVOLVING, ""
    if name.removesuffix("_coarse") in generated and field["level"]:
        role, of = Role.COARSE, name.removesuffix("_coarse")
    elif name.endswith("0") and name[:-1] in generated:
        role, of = Role.INITIAL, name[:-1]
    elif name.endswith("T") and name[:-1] in generated:
        role, of = Role.FINAL, name[:-1]
    elif time not in field["dims"]:
        role = Role.PAST if name.endswith("_before") else Role.STATIC
    elif piecewise_constant:
        role = Role.PIECEWISE_CONSTANT
    # The first cards were written before fields had walls.
    return {"walls": []} | field | {"role": role.value, "of": of}
