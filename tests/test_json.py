"""Frozen dataclasses <-> JSON."""

import json
from dataclasses import dataclass

import pytest

from wdno import official
from wdno._json import from_json, to_json
from wdno.official.array_layout import PARTS, TiledTargets
from wdno.wavelets.field import Field


@dataclass(frozen=True)
class Leaf:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Twig:
    leaf: Leaf
    others: tuple[Leaf | None, ...] = ()
    length: float = 1.5


TREE = Twig(Leaf("a", (1, 2)), (Leaf("b"), None, Leaf("c", (3,))), 0.25)
ENTRY = {
    "kind": "Twig",
    "leaf": {"kind": "Leaf", "name": "a", "sizes": [1, 2]},
    "others": [
        {"kind": "Leaf", "name": "b", "sizes": []},
        None,
        {"kind": "Leaf", "name": "c", "sizes": [3]},
    ],
    "length": 0.25,
}


def test_each_dataclass_is_an_object_that_names_its_class():
    assert to_json(TREE) == ENTRY
    assert list(to_json(TREE)) == ["kind", "leaf", "others", "length"]


def test_lists_and_numbers_are_themselves():
    assert to_json([1, (2.5, "x"), None, True]) == [1, [2.5, "x"], None, True]
    assert from_json([1, [2.5, "x"], None, True], ()) == (1, (2.5, "x"), None, True)


@pytest.mark.parametrize("value", [TREE, Leaf("d"), ((), (1, (2.0, "x"))), 7, "text"])
def test_from_json_undoes_to_json(value):
    written = json.dumps(to_json(value))
    assert from_json(json.loads(written), (Leaf, Twig)) == value


def test_kinds_may_come_only_once_and_what_is_read_stays_as_it_was():
    entry = json.loads(json.dumps(ENTRY))
    assert from_json(entry, iter((Leaf, Twig))) == TREE
    assert entry == ENTRY


@pytest.mark.parametrize("kind", official.KINDS.values(), ids=official.KINDS)
def test_a_tiled_layout_comes_back_as_it_was(kind):
    layout = TiledTargets(kind.tiling, kind.generated)
    entry = json.loads(json.dumps(to_json(layout)))
    came = from_json(entry, (TiledTargets, Field, *PARTS))
    assert came == layout and hash(came) == hash(layout)
    assert came.channels == layout.channels


@pytest.mark.parametrize("kinds", [(), (Twig,), (Leaf,)])
def test_a_class_that_is_not_among_the_kinds_is_a_key_error(kinds):
    missing = "Leaf" if Leaf not in kinds else "Twig"
    with pytest.raises(KeyError, match=missing):
        from_json(ENTRY, kinds)


def test_an_object_without_kind_is_a_key_error():
    with pytest.raises(KeyError, match="kind"):
        from_json({"name": "a"}, (Leaf,))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"kind": "Leaf"}, "name"),
        ({"kind": "Leaf", "name": "a", "colour": "red"}, "colour"),
        ({"kind": "Twig", "leaf": {"kind": "Leaf", "sizes": [1]}}, "name"),
    ],
)
def test_an_entry_too_few_or_too_many_is_a_type_error(entry, named):
    with pytest.raises(TypeError, match=named):
        from_json(entry, (Leaf, Twig))


def test_an_entry_with_a_default_may_lack():
    assert from_json({"kind": "Leaf", "name": "a"}, (Leaf,)) == Leaf("a")
