"""A run is continued with what it was begun with."""

from dataclasses import replace

import pytest
from oracles import labelled, make_fields

from wdno.networks import FourierConfig
from wdno.training.begun import check_begun, check_new
from wdno.training.config import TrainingConfig
from wdno.training.recipe import Recipe

RECIPE = Recipe(("u",), ("f",), 4, levels=1, network=FourierConfig((2, 2), 4, 1))
CONFIG = TrainingConfig(steps=5, seed=3)
DATA = labelled(make_fields(6, 8, 16))
SAME = {
    "the same": {},
    "a longer run": {"config": replace(CONFIG, steps=9)},
    "a look more often": {"config": replace(CONFIG, log_every=0.5)},
    "turned axes": {"dataset": DATA.transpose("x", "time", "sample")},
    "data in pieces": {"dataset": DATA.chunk({"sample": 1})},
}
OTHER = {
    "seed": ({"config": replace(CONFIG, seed=4)}, "seed = 3, now 4"),
    "rate": (
        {"config": replace(CONFIG, learning_rate=0.1)},
        "learning_rate = 0.001, now 0.1",
    ),
    "recipe": ({"recipe": replace(RECIPE, levels=2)}, r"recipe\.levels = 1, now 2"),
    "values": ({"dataset": DATA.assign(u=1.001 * DATA.u)}, "data = "),
    "samples": ({"dataset": DATA.isel(sample=slice(5))}, '"sample": 6.*"sample": 5'),
    "places": ({"dataset": DATA.assign_coords(x=2 * DATA.x)}, "data = "),
}


def asked(folder, resume, changes):
    arguments = {"recipe": RECIPE, "config": CONFIG, "dataset": DATA, **changes}
    check_begun(folder / "run", **arguments, resume=resume)


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_the_same_run_goes_on(changes, tmp_path):
    asked(tmp_path, False, {})
    asked(tmp_path, True, changes)


@pytest.mark.parametrize(("changes", "message"), OTHER.values(), ids=OTHER)
def test_another_run_is_refused(changes, message, tmp_path):
    asked(tmp_path, False, {})
    with pytest.raises(ValueError, match=rf"begun with .*{message}.*another folder"):
        asked(tmp_path, True, changes)
    asked(tmp_path, True, {})


def test_a_run_without_notes_goes_on_and_is_noted(tmp_path):
    asked(tmp_path, True, {})
    with pytest.raises(ValueError, match="seed = 3, now 4"):
        asked(tmp_path, True, OTHER["seed"][0])


def test_a_new_run_changes_nothing_of_one_that_has_checkpoints(tmp_path):
    asked(tmp_path, False, {})
    (tmp_path / "run" / "mean" / "checkpoints" / "5").mkdir(parents=True)
    with pytest.raises(ValueError, match="run holds some. Resume it or choose"):
        check_new(tmp_path / "run", resume=False)
    check_new(tmp_path / "run", resume=True)
    check_new(tmp_path / "absent", resume=False)


@pytest.mark.parametrize("text", ["", "[]", '{"seed": 3', "\x00"])
def test_damaged_notes_are_told(tmp_path, text):
    asked(tmp_path, False, {})
    (tmp_path / "run" / "begun.json").write_text(text)
    with pytest.raises(ValueError, match=r"begun\.json is none .*delete it"):
        asked(tmp_path, True, {})
    asked(tmp_path, False, {})  # a new one
