"""Foreign trajectories, from nothing but their names and axes to a forecast."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import wdno
from wdno.networks import FourierConfig
from wdno.operator import LearnedMean, LocalScale
from wdno.training.parts import in_samples
from wdno.training.recipe_file import load_recipe, save_recipe
from wdno.training.recipes import RECIPES
from wdno.training.suggestion import fitting_window, suggest

BRIEF = wdno.TrainingConfig(steps=60, learning_rate=2e-2)
LONG_AXES = {"y": 9, "x": 12, "z": 8, "ring": 16}


def waves(dims, samples=4, frames=8, names=("temperature",)):
    """Decaying waves on these axes; "ring" closes on itself, the others have ends."""
    space = {dim: np.linspace(0, 1, LONG_AXES[dim], endpoint=False) for dim in dims}
    coords = {"time": 0.1 * np.arange(frames + 1), **space}
    draw = np.random.default_rng(0)
    phase = xr.DataArray(draw.uniform(0, 6, samples), dims="sample")
    axes = [xr.DataArray(points, dims=dim) for dim, points in coords.items()]
    turns = sum(
        (2 * np.pi if dim == "ring" else 1.3) * axis
        for dim, axis in zip(space, axes[1:], strict=True)
    )
    field = np.exp(-axes[0]) * np.cos(turns + phase - axes[0])
    order = ("sample", "time", *dims)
    return xr.Dataset(
        {name: field.transpose(*order).astype("f4") for name in names}, coords=coords
    )


def small(recipe):
    """The recipe with a network that compiles at once."""
    network = FourierConfig((2,) * len(recipe.mode), width=4, depth=1)
    return replace(
        recipe,
        network=network,
        residual=LocalScale(LearnedMean(network)),
        batch_size=2,
    )


def test_what_is_suggested_follows_from_axes_and_names():
    ring = suggest(waves(("ring",)))
    assert ring.state == ("temperature",) and not ring.control
    assert (ring.wavelet, ring.mode) == ("bior2.4", ("periodization",) * 2)
    data = waves(("y", "x"), names=("temperature", "heating", "humidity"))
    data = data.assign_coords(
        conductivity=("sample", np.arange(4.0)), mask=(("y", "x"), np.ones((9, 12)))
    )
    plate = suggest(data, control=("heating",))
    assert plate.state == ("temperature", "humidity")
    assert plate.control == ("heating",)
    # nine points two do not divide, and the axes have ends
    assert plate.mode == ("periodization", "symmetric", "periodization")
    assert plate.wavelet == "haar"
    given = {quantity.name: quantity.dims for quantity in plate.beside.given}
    assert given == {"conductivity": (), "mask": ("y", "x")}
    assert not suggest(data, static=()).beside.given


@pytest.mark.parametrize(
    ("frames", "window"), [(2, 2), (3, 2), (16, 16), (33, 18), (79, 28), (100, 26)]
)
def test_windows_hardly_exceed_the_record(frames, window):
    assert fitting_window(frames, 32) == window


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_files(name, tmp_path):
    save_recipe(RECIPES[name], tmp_path / "recipe.json")
    found = load_recipe(tmp_path / "recipe.json")
    assert found.notes() == RECIPES[name].notes()
    assert found.task is RECIPES[name].task
    assert found.beside == RECIPES[name].beside


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("window", "ten", "window: Expected `int`, got `str`"),
        ("task", "guess", "a task is one of"),
        ("mean_share", 3.0, "Shares lie between 0 and 1"),
        ("network", {"kind": "Guess"}, "'Guess' is not"),
        ("colour", "red", "a recipe has the entries"),
    ],
)
def test_files_that_are_no_recipe(entry, value, message, tmp_path):
    notes = suggest(waves(("ring",))).notes() | {entry: value}
    path = tmp_path / "recipe.json"
    path.write_text(wdno.training.recipe_file.json.dumps(notes))
    with pytest.raises(ValueError, match=message):
        load_recipe(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dims", "control"),
    [
        (("ring",), ("force",)),
        (("y", "x"), ()),
        (("z", "y", "x"), ()),
    ],
)
def test_from_trajectories_to_a_forecast(dims, control, tmp_path):
    data = waves(dims, names=("temperature", *control))
    recipe = small(suggest(data, control=control))
    model = wdno.train(data, tmp_path / "own", BRIEF, recipe=recipe)
    assert load_recipe(tmp_path / "own/recipe.json").notes() == recipe.notes()
    card = wdno.read_card(tmp_path / "own/model")
    assert card["name"] == "own"
    start = data[["temperature"]].isel(time=0)
    found = wdno.simulate(
        model, start, data[list(control)], frames=8, key=jax.random.key(0)
    )
    assert found.temperature.dims == data.temperature.dims
    assert np.isfinite(found.temperature).all()
    kept = wdno.load(tmp_path / "own/model")
    again = wdno.simulate(
        kept, start, data[list(control)], frames=8, key=jax.random.key(0)
    )
    xr.testing.assert_identical(found, again)


def test_a_single_record_is_cut_into_parts_that_follow_each_other():
    record = waves(("ring",), samples=1, frames=70).isel(sample=0)
    record = record.assign_coords(depth=2.0)
    parts = in_samples(record)
    assert parts.sizes == {"sample": 4, "time": 17, "ring": 16}
    joined = parts.temperature.values
    np.testing.assert_array_equal(joined[1:, 0], joined[:-1, -1])
    np.testing.assert_array_equal(joined[2, 3], record.temperature[35])
    xr.testing.assert_identical(in_samples(record.expand_dims("sample")), parts)
    assert suggest(record).window == 16  # that of a part
    with pytest.raises(ValueError, match="two intervals or more"):
        in_samples(record.isel(time=slice(4)))
    with pytest.raises(ValueError, match='an axis "time"'):
        in_samples(record.rename(time="t"))


@pytest.mark.slow
def test_a_model_goes_on_with_another_grid_and_time_step(tmp_path):
    data = waves(("ring",))
    recipe = small(suggest(data))
    config = replace(BRIEF, steps=30)
    wdno.train(data, tmp_path / "first", config, recipe=recipe)
    other = data.isel(ring=slice(None, None, 2))
    other = other.assign_coords(time=0.3 * other.time, ring=5 * other.ring)
    model = wdno.finetune(tmp_path / "first/model", other, tmp_path / "second", config)
    assert model.targets.grid == (8, 8)
    np.testing.assert_allclose(model.domain.spacing, (0.03, 0.625))
    with pytest.raises(ValueError, match="axes .* of the model, but"):
        wdno.finetune(
            tmp_path / "first/model",
            data.rename(ring="x"),
            tmp_path / "third",
            BRIEF,
        )


def test_records_that_no_recipe_fits(unchecked):
    data = waves(("ring",))
    with pytest.raises(ValueError, match="two intervals or more"):
        suggest(data.isel(time=slice(2)))
    with pytest.raises(ValueError, match=r"two points or more.*'ring': 1"):
        suggest(data.isel(ring=[0]))
    with pytest.raises(ValueError, match="a state that evolves"):
        suggest(data, control=("temperature",))
    with pytest.raises(ValueError, match="either evolves or acts, but .'temperature'"):
        suggest(data, ("temperature",), control=("temperature",))
    everyone = data.expand_dims(member=3)
    with pytest.raises(ValueError, match='3 along "member".*isel'):
        suggest(everyone)
    joined = xr.concat([everyone.isel(member=n) for n in range(3)], "sample")
    assert suggest(joined).notes() == suggest(data).notes()
    with pytest.raises(ValueError, match=r"complex64.*`\.real` and `\.imag`"):
        suggest(data.astype("c8"))
    with pytest.raises(ValueError, match="an xarray.Dataset of named fields"):
        suggest(data.temperature)
