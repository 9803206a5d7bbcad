"""Frozen dataclasses <-> JSON."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import pytest

from wdno import official
from wdno._json import from_json, register, to_json
from wdno.diffusion.preconditioning import DiscreteVariancePreserving
from wdno.diffusion.schedules import CosineSchedule, SigmoidSchedule
from wdno.official.array_layout import TiledConditions, TiledTargets
from wdno.official.inpainting import InpaintingConfig
from wdno.wavelets.protocols import Layout


class Season(Enum):
    SPRING = "spring"
    AUTUMN = "autumn"


@runtime_checkable
class Growing(Protocol):
    def grow(self): ...


@register
@dataclass(frozen=True)
class Leaf:
    name: str
    sizes: tuple[int, ...] = ()

    def __post_init__(self):
        if self.sizes and min(self.sizes) < 0:
            raise ValueError(f"Leaves have sizes, but got {self.sizes}. Grow them.")


@register
@dataclass(frozen=True)
class Needle(Leaf):
    season: Season = Season.SPRING

    def grow(self):
        return self


@register
@dataclass(frozen=True)
class Twig:
    leaf: Leaf
    others: tuple[Leaf | None, ...] = ()
    length: float = 1.5
    tip: Growing | None = None


TREE = Twig(
    Leaf("a", (1, 2)), (Needle("b", (), Season.AUTUMN), None), 0.25, Needle("c")
)
ENTRY = {
    "kind": "Twig",
    "leaf": {"kind": "Leaf", "name": "a", "sizes": [1, 2]},
    "others": [
        {"kind": "Needle", "name": "b", "sizes": [], "season": "autumn"},
        None,
    ],
    "length": 0.25,
    "tip": {"kind": "Needle", "name": "c", "sizes": [], "season": "spring"},
}


def altered(path, value):
    """The entry with another value at a place; a key that lacks is added."""
    entry = json.loads(json.dumps(ENTRY))
    *way, last = path
    inside = entry
    for key in way:
        inside = inside[key]
    inside[last] = value
    return entry


def without(path):
    entry = altered(path, None)
    *way, last = path
    inside = entry
    for key in way:
        inside = inside[key]
    del inside[last]
    return entry


def test_each_dataclass_is_an_object_that_names_its_class():
    assert to_json(TREE) == ENTRY
    assert list(to_json(TREE)) == ["kind", "leaf", "others", "length", "tip"]


def test_lists_and_numbers_are_themselves():
    assert to_json([1, (2.5, "x"), None, True]) == [1, [2.5, "x"], None, True]
    assert from_json([[1, 2], [3, 4]], tuple[tuple[int, int], ...]) == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (TREE, Twig),
        (Needle("d"), Leaf),
        (Needle("d"), Growing),
        ((Leaf("d"), Needle("e")), tuple[Leaf, ...]),
        (None, Leaf | None),
        (DiscreteVariancePreserving(SigmoidSchedule(30)), DiscreteVariancePreserving),
    ],
)
def test_from_json_undoes_to_json(value, wanted):
    entry = json.loads(json.dumps(to_json(value)))
    before = json.dumps(entry)
    found = from_json(entry, wanted)
    assert found == value and type(found) is type(value)
    assert json.dumps(entry) == before


@pytest.mark.parametrize("kind", official.KINDS.values(), ids=official.KINDS)
def test_parts_of_official_models_come_back_as_they_were(kind):
    targets = TiledTargets(kind.tiling, kind.generated)
    parts = (TiledConditions(kind.tiling, kind.given), InpaintingConfig(kind.network))
    for part in (targets, *parts, kind.domain, kind.schedule):
        found = from_json(json.loads(json.dumps(to_json(part))), type(part))
        assert found == part and hash(found) == hash(part)
    assert from_json(to_json(targets), Layout).channels == targets.channels


def test_whole_numbers_may_stand_for_numbers():
    found = from_json(altered(["length"], 2), Twig).length
    assert found == 2 and type(found) is float


WRONG = {
    "text for a number": (altered(["length"], "long"), r"`float`.*\$\.length"),
    "truth for a number": (altered(["length"], True), r"`float`.*\$\.length"),
    "fraction": (altered(["leaf", "sizes", 1], 1.5), r"`int`.*sizes\[1\].*\$\.leaf"),
    "null": (altered(["leaf"], None), r"Expected an object.*\$\.leaf"),
    "list for an object": (altered(["leaf"], []), r"Expected an object.*\$\.leaf"),
    "object for a list": (altered(["others"], {}), r"`array`.*\$\.others"),
    "text for a list": (altered(["leaf", "sizes"], "12"), r"`array`.*\$\.leaf"),
    "unknown text": (altered(["tip", "season"], "winter"), "Invalid enum value"),
    "surplus": (altered(["others", 0, "colour"], "red"), r"colour.*others\[0\]"),
    "lacking": (without(["leaf", "name"]), "missing.*`name`"),
    "lacking, with a default": (without(["length"]), "missing.*`length`"),
    "without kind": (without(["leaf", "kind"]), r'as "kind".*\$\.leaf'),
    "number for a kind": (altered(["leaf", "kind"], 3), r'as "kind".*\$\.leaf'),
    "unknown kind": (altered(["kind"], "Bush"), "'Bush' is not. Import the module"),
    "other kind": (altered(["leaf"], to_json(CosineSchedule())), r"Leaf.*\$\.leaf"),
    "protocol": (altered(["tip"], ENTRY["leaf"]), r"`Growing`.*\$\.tip"),
    "out of range": (altered(["leaf", "sizes", 0], -1), r"Grow them.*\$\.leaf"),
}


@pytest.mark.parametrize(("entry", "said"), WRONG.values(), ids=WRONG)
def test_an_entry_is_of_its_type_and_in_its_range(entry, said):
    with pytest.raises(ValueError, match=said):
        from_json(entry, Twig)
