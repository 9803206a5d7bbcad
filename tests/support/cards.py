"""Cards of a tiny model, and every way to replace one value on a card."""

import copy
import hashlib
import json
import math
import re
from dataclasses import replace

import numpy as np
from flax import nnx

import wdno
from wdno._json import entries_of
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig, Shape, build
from wdno.operator import Interpolation, tasks
from wdno.operator.card import abstract_model, card_of
from wdno.operator.card_file import CHECKSUM, parse, with_notes

DIMS = ("time", "x")
NOTES = {"metrics": {"mse": [0.1, 0.2]}}


def make_model():
    """A refiner with something in every entry of its card; shapes for parameters."""
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
    shape = Shape(2, len(targets.channels), len(given.channels) + features)
    config = LocalConfig((3, 3), width=4, depth=1)
    backbone = nnx.eval_shape(lambda: build(config, shape, rngs=nnx.Rngs(0)))
    return wdno.WDNO(
        targets,
        given,
        Denoiser(freeze(backbone), EDMPreconditioning(0.5), 9.0),
        wdno.Domain((1.0, 0.5), (0.25, 0.125)),
        KarrasSchedule(0.002, 20.0),
        Interpolation(),
    )


def make_card(notes=NOTES):  # noqa: B006
    """The card of that model, as it stands in a file."""
    return with_notes(entries_of(card_of(make_model(), "0123456789abcdef" * 4)), notes)


def read(card):
    """The model of a card, by way of a file."""
    return abstract_model(parse(json.dumps(card).encode(), "card.json"))


def description(model):
    """All of a model but the values of its parameters; equal for equal models."""
    return card_of(model, "0" * 64)


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
