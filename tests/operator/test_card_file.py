"""Cards as files: notes, checksums, and what is no card."""

import json
import math

import numpy as np
import pytest
from cards import description, every_change, make_card, read, replaced, resealed

import wdno
from wdno.operator.card import ENTRIES
from wdno.operator.card_file import CHECKSUM, parse, with_notes


@pytest.fixture(scope="module")
def card():
    return make_card()


def test_what_is_no_json_is_text_in_notes():
    card = make_card(notes={"budget": math.inf, "found": {10: (1, 2), 9: math.nan}})
    found = parse(json.dumps(card, allow_nan=False).encode(), "card.json")
    assert found["budget"] == "Infinity"
    assert found["found"] == {"10": [1, 2], "9": "NaN"}
    with pytest.raises(ValueError, match="holds something else.*ndarray"):
        make_card(notes={"errors": np.zeros(3)})


def test_notes_leave_the_model_alone(card):
    for name in ("scale", "metrics"):
        assert description(read(with_notes(card, {name: 3}))) == description(read(card))
    for name in (*ENTRIES, CHECKSUM):
        with pytest.raises(ValueError, match=f"'{name}'.*Rename these notes"):
            with_notes(card, {name: 3})


def test_a_folder_is_annotated(tmp_path, card):
    (tmp_path / "card.json").write_text(json.dumps(card))
    wdno.annotate(tmp_path, authors=["A"], metrics=None)
    found = wdno.read_card(tmp_path)
    assert found["authors"] == ["A"] and found["metrics"] is None
    assert description(read(found)) == description(read(card))
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]
    with pytest.raises(ValueError, match="'bound'.*Rename these notes"):
        wdno.annotate(tmp_path, bound=3.0)
    with pytest.raises(FileNotFoundError, match="there is no .*Give the folder"):
        wdno.annotate(tmp_path / "none", authors=["A"])


@pytest.mark.parametrize(
    "text", [b"", b"{", b"weights: none", b"\xff\xfe", b"[" * 9999]
)
def test_a_card_is_json(text):
    with pytest.raises(ValueError, match="A model card is a JSON file"):
        parse(text, "card.json")


@pytest.mark.parametrize("found", [3, 0, 1.0, True, "2", None, [2]])
def test_a_card_of_another_format_is_refused(card, found):
    with pytest.raises(ValueError, match="Model cards up to format 2 are known"):
        read(resealed(card | {"format": found}))


@pytest.mark.parametrize("text", [b"{}", b"[]", b"3"])
def test_json_that_is_no_card_is_refused(text):
    with pytest.raises(ValueError, match="has format None"):
        parse(text, "card.json")


def test_any_change_is_told_by_the_checksum(card):
    for at, value in every_change(card, card):
        if at == ("format",):
            continue
        with pytest.raises(
            ValueError, match="(?s)A card has the checksum.*Copy it again"
        ):
            parse(json.dumps(replaced(card, at, value)).encode(), "card.json")
