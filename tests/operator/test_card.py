"""Cards: what makes a model is written, read, and nothing else passes for it."""

import json

import pytest
from cards import (
    THREE_PARTS,
    description,
    drawn,
    every_change,
    is_a_model_too,
    make_card,
    make_model,
    read,
    replaced,
    resealed,
)

import wdno
from wdno._json import entries_of, from_entries
from wdno.operator.card import ENTRIES, Card


@pytest.fixture(scope="module")
def card():
    return make_card()


def test_a_card_has_all_that_makes_the_model():
    model, found = make_model(), read(make_card())
    assert description(found) == description(model)
    shapes, values = (x.denoiser.backbone.parameters for x in (found, model))
    assert {n: x.shape for n, x in shapes.items()} == {
        n: x.shape for n, x in values.items()
    }


@pytest.mark.parametrize("name", wdno.shipped())
def test_shipped_cards_are_as_they_would_be_written(name):
    card = wdno.read_card(name)
    made_of = {entry: card[entry] for entry in ENTRIES}
    again = entries_of(from_entries(made_of, Card))
    assert json.dumps(again) == json.dumps(made_of)


def test_a_model_is_not_made_of_wrong_parts(card):
    """Nor if the checksum is made anew, as by another program."""
    changes = [
        change
        for change in every_change(card, ENTRIES)
        if not is_a_model_too(card, *change)
    ]
    assert len(changes) > 500
    for at, value in drawn(changes, 150):
        with pytest.raises(ValueError, match=THREE_PARTS):
            read(resealed(replaced(card, at, value)))


def test_what_describes_a_model_too_is_read(card):
    """The exceptions are exceptions: another model comes, not an error."""
    others = [c for c in every_change(card, ENTRIES) if is_a_model_too(card, *c)]
    assert len(others) > 10
    for at, value in drawn(others, 10):
        other = read(resealed(replaced(card, at, value)))
        assert description(other) != description(read(card))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("network", "depth"), 10**9),
        (("network", "width"), 10**12),
        (("network", "reach", 0), 10**12),
        (("targets", "levels"), 10**12),
        (("targets", "levels"), 9),
        (("targets", "fields", 0, "level"), 10**12),
        (("targets", "grid", 0), 0),
        (("schedule", "sigma_min"), 30.0),
        (("schedule", "sigma_max"), 0.002),
        (("preconditioning", "sigma_data"), 0),
        (
            ("preconditioning",),
            {"kind": "KarrasSchedule", "sigma_min": 1, "sigma_max": 2},
        ),
        (("preconditioning",), {"kind": "Interpolation"}),
        (("schedule",), {"kind": "EDMPreconditioning", "sigma_data": 1.0}),
        (("schedule",), {"kind": "CosineSchedule", "timesteps": 10**12}),
        (("domain", "spacing", 0), -0.25),
        (("domain", "spacing", 1), 0.0),
        (("domain", "spacing", 1), 10**400),
        (("residual",), None),
        (("parameters",), 7),
        (("given", "dims", 0), "age"),
        (("given", "wavelet"), "db3"),
        (("given", "mode", 0), "boundary"),
    ],
)
def test_ranges_and_fits_are_checked(card, at, value):
    with pytest.raises(ValueError, match=THREE_PARTS):
        read(resealed(replaced(card, at, value)))
