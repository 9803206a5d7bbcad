"""Cards of format 1: old files can be read, for good."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cards import (
    DELETED,
    THREE_PARTS,
    drawn,
    every_change,
    is_a_model_too,
    read,
    replaced,
)

import wdno
from wdno.diffusion.samplers import Sampler
from wdno.operator.card import ENTRIES
from wdno.operator.card_file import with_notes

FORMAT_1 = Path(__file__).parent / "format_1"


@pytest.mark.parametrize("name", ["simulation", "refinement"])
def test_models_of_format_1_give_their_forecasts(name):
    """Old files can be read: written once with wdno 0.1.0, and never again."""
    model = wdno.load(FORMAT_1 / name)
    stored = dict(np.load(FORMAT_1 / name / "forecast.npz"))
    start = jnp.asarray(stored.pop("start"))
    # One estimate from a stored start, whatever becomes of random numbers.
    once = Sampler(
        lambda x: (),
        lambda denoise, x, sigma, sigma_next, state, key: (
            denoise(start, sigma),
            state,
        ),
    )
    levels, key = jnp.asarray([1.5, 0.0]), jax.random.key(0)
    forecast = jax.jit(lambda known: wdno.generate(model, known, once, levels, key))
    found = forecast({q.name: stored[q.name] for q in model.given.fields})
    assert list(found) == ["u"]
    # Of the largest value: that is five units of its last place.
    largest = np.abs(stored["u"]).max()
    np.testing.assert_allclose(found["u"] / largest, stored["u"] / largest, atol=6e-7)


def test_an_annotated_card_of_format_1_becomes_one_of_today(tmp_path):
    text = (FORMAT_1 / "refinement" / "card.json").read_text()
    (tmp_path / "card.json").write_text(text)
    before = wdno.read_card(tmp_path)
    wdno.annotate(tmp_path, authors=["A"])
    after = wdno.read_card(tmp_path)
    assert json.loads((tmp_path / "card.json").read_text())["format"] == 2
    assert after == with_notes(before, {"authors": ["A"]})
    assert before["training"] == {"budget": "Infinity"}


@pytest.mark.parametrize("name", ["simulation", "refinement"])
def test_a_model_of_format_1_is_not_made_of_wrong_parts(name):
    """There, fields may lack walls, and no field refers to another by its name."""
    card = json.loads((FORMAT_1 / name / "card.json").read_text())
    changes = [
        (at, value)
        for at, value in every_change(card, [n for n in ENTRIES if n in card])
        if not is_a_model_too(card, at, value)
        and not (at[-1] == "walls" and value is DELETED)
    ]
    for at, value in drawn(changes, 75):
        with pytest.raises(ValueError, match=THREE_PARTS):
            read(replaced(card, at, value))
