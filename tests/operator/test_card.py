"""Cards: what is written is what is read, and nothing else passes for it."""

import copy
import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import wdno
from wdno._json import entries_of, from_entries
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.samplers import Sampler
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig, TransformerConfig, build
from wdno.operator import tasks
from wdno.operator.card import ENTRIES, Card, abstract_model, card_of
from wdno.operator.card_file import CHECKSUM, parse, with_notes
from wdno.operator.residual import Interpolation

FORMAT_1 = Path(__file__).parent / "format_1"
DIMS = ("time", "x")
REFINING = LocalConfig((3, 3), width=4, depth=1)


def make_card(network=REFINING, notes=None):
    """A refiner's card, with something in every entry, as it stands in a file."""
    task = tasks.refinement(("u",), ("f",), DIMS)
    walls = tuple(replace(q, walls=("x",)) for q in task.targets)
    plain = (
        wdno.WaveletLayout(fields, DIMS, (4, 8), "db2", ("zero", "periodization"))
        for fields in (walls, task.given)
    )
    targets, given = (
        replace(layout, scale=tuple(np.linspace(0.5, 2.0, len(layout.channels))))
        for layout in plain
    )
    features = Interpolation().channels(targets, given)
    channels = len(targets.channels), len(given.channels) + features
    backbone = freeze(build(network, 2, *channels, rngs=nnx.Rngs(0)))
    model = wdno.WDNO(
        targets,
        given,
        Denoiser(backbone, EDMPreconditioning(0.5), 9.0),
        wdno.Domain((1.0, 0.5), (0.25, 0.125)),
        KarrasSchedule(0.002, 20.0),
        Interpolation(),
    )
    card = entries_of(card_of(model, "0123456789abcdef" * 4))
    return model, with_notes(card, {"metrics": {"mse": [0.1, 0.2]}} | (notes or {}))


@pytest.fixture(scope="module")
def card():
    return make_card()[1]


def read(card):
    """The model of a card, by way of a file."""
    return abstract_model(parse(json.dumps(card).encode(), "card.json"))


def description(model):
    """All of a model but the values of its parameters; equal for equal models."""
    return card_of(model, "0" * 64)


# As it is written


def test_a_card_has_all_that_makes_the_model():
    model, card = make_card()
    found = read(card)
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


def test_what_is_no_json_is_text_in_notes():
    _, card = make_card(notes={"budget": math.inf, "found": {10: (1, 2), 9: math.nan}})
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


# Files that are no cards


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


# Cards with one value replaced

DELETED = object()
VALUES = (None, "text", -1, [], [1.5, "text"], math.nan, DELETED)


def places(entry, at=()):
    """Where a value may be replaced, the whole of each part included."""
    if at:
        yield at
    if isinstance(entry, dict | list):
        for key in entry if isinstance(entry, dict) else range(len(entry)):
            yield from places(entry[key], (*at, key))


def value_at(entry, at):
    for key in at:
        entry = entry[key]
    return entry


def replaced(card, at, value):
    card = copy.deepcopy(card)
    part = value_at(card, at[:-1])
    if value is DELETED:
        del part[at[-1]]
    else:
        part[at[-1]] = value
    return card


def every_change(card, names):
    """Each replacement of a value under these entries that changes something."""
    return [
        (at, value)
        for at in places({name: card[name] for name in names})
        for value in VALUES
        if value is DELETED or json.dumps(value) != json.dumps(value_at(card, at))
    ]


def is_a_model_too(card, at, value):
    """Whether a card with this change describes another model, as right as its own.

    Samples may lie anywhere and run downwards in space; coefficients need no bound,
    scales may be 1 everywhere, which is written as none, and no field needs walls. A
    field may have any name that no other field refers to.
    """
    last = at[-1]
    if at[:2] == ("domain", "start") or at == ("domain", "spacing", 1):
        return value == -1 and len(at) == 3
    if last == "name":
        fields = (*card["targets"]["fields"], *card["given"]["fields"])
        referred = {quantity.get("of") for quantity in fields}
        return value == "text" and value_at(card, at) not in referred
    return (
        (at == ("bound",) and value is None)
        or (last in ("scale", "walls") and value == [])
        or (at[-2:-1] == ("walls",) and value is DELETED)
    )


def drawn(changes, count):
    picked = np.random.default_rng(0).choice(len(changes), count, replace=False)
    return [changes[i] for i in sorted(picked)]


def resealed(card):
    """With the checksum made anew, as another program would by the recipe."""
    rest = {name: value for name, value in card.items() if name != CHECKSUM}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


THREE_PARTS = re.compile(
    r"(A model card|Model cards|A card) .*, but .*\. (Copy|Use) .*\.$", re.DOTALL
)
"""The rule, what came, what to do."""


def test_any_change_is_told_by_the_checksum(card):
    for at, value in every_change(card, card):
        if at == ("format",):
            continue
        with pytest.raises(
            ValueError, match="(?s)A card has the checksum.*Copy it again"
        ):
            parse(json.dumps(replaced(card, at, value)).encode(), "card.json")


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


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        TransformerConfig((1, 2), width=8, depth=1, heads=3)


# Format 1


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
    known = {q.name: jnp.asarray(stored[q.name]) for q in model.given.fields}
    levels = jnp.asarray([1.5, 0.0])
    found = wdno.generate(model, known, once, levels, jax.random.key(0))
    assert list(found) == ["u"]
    np.testing.assert_allclose(found["u"], stored["u"], rtol=0, atol=1e-6)


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
