"""Cards as files: one JSON object with the entries of a `Card`, notes and a checksum.

Notes are what the maker recorded: data, training, metrics with confidence intervals.
The checksum is over them too, so that whatever was changed by accident is told.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from wdno.operator.card import ENTRIES, FORMAT
from wdno.operator.card_format_1 import upgraded

CHECKSUM = "card_sha256"
"""Entry with the checksum of the others."""


def sealed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a card as JSON has them, with their checksum.

    That is the SHA-256 of all other entries as JSON with sorted keys, no spaces and
    nothing but ASCII, as Python's `json.dumps` writes it. JSON has no keys but text,
    and no numbers that are not finite: both become text.

    Raises:
        ValueError: an entry is neither text, a number, nor made of these.
    """
    rest = {name: value for name, value in entries.items() if name != CHECKSUM}
    try:
        rest = json.loads(json.dumps(rest), parse_constant=str)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Cards hold text, numbers, lists and dictionaries of these, but an entry "
            f"holds something else: {error}. Leave it out, or write it as text."
        ) from error
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def with_notes(entries: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """A sealed card with further notes.

    Raises:
        ValueError: a note has the name of an entry that makes the model.
    """
    if taken := sorted({*ENTRIES, CHECKSUM} & notes.keys()):
        raise ValueError(
            f"Notes of a card stand beside what makes the model, but {taken} are names "
            "of that. Rename these notes, or save another model."
        )
    return sealed({**entries, **notes})


def notes_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """What stands on a card besides what makes the model."""
    makes = {*ENTRIES, CHECKSUM}
    return {name: value for name, value in card.items() if name not in makes}


def parse(text: bytes, place: object) -> dict[str, Any]:
    """The entries of a card of any format as those of this one, its checksum verified.

    Args:
        text: of the file.
        place: of the file, for what is said of it.

    Raises:
        ValueError: it is not JSON, of an unknown format, or not as it was written.
    """
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"A model card is a JSON file, but {place} is not ({error}). Copy it again."
        ) from error
    found = card.get("format") if isinstance(card, dict) else None
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise ValueError(
            f"Model cards up to format {FORMAT} are known, but {place} has format "
            f"{found}. Use the version of wdno that wrote it."
        )
    if found == 1:
        # Notes of old cards may have infinities, which become text.
        return sealed(upgraded(card, place))
    intact = sealed(card)
    if card.get(CHECKSUM) != intact[CHECKSUM]:
        raise ValueError(
            f"A card has the checksum of its other entries, {intact[CHECKSUM]}, but "
            f"{place} has {card.get(CHECKSUM)!r}: it was altered after it was written. "
            "Copy it again; to write notes use `wdno.annotate`, to change the model "
            "`wdno.save`."
        )
    return intact
